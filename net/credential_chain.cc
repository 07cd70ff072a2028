#include "net/credential_chain.h"

#include "actors/log.h"

namespace firstlight {

namespace {

// Faults name hosts and helpers, of which there are few.
constexpr std::size_t most_told = 64;

} // namespace

void credential_chain::add(std::string name, credential_source& source) {
    links_.push_back({std::move(name), &source, {}});
}

void credential_chain::report(link& of, const fault& f) {
    if (of.told.size() >= most_told) {
        of.told.clear();
    }
    if (of.told.insert(f.context()).second) {
        log::warn(
          "no credentials from a source of them", {{"source", of.name}, {"error", f.context()}});
    }
}

void credential_chain::recovered(link& of) {
    if (!of.told.empty()) {
        of.told.clear();
        log::info("credentials can be had again", {{"source", of.name}});
    }
}

task<result<std::optional<credentials>>> credential_chain::find(credential_query what) {
    std::optional<fault> first;
    for (auto& each : links_) {
        auto found = co_await each.source->find(what);
        if (!found && found.error().code() == errc::stopping) {
            co_return found;
        }
        if (!found) {
            report(each, found.error());
            if (!first) {
                first = found.error().in(each.name);
            }
            continue;
        }
        if (*found) {
            recovered(each);
            co_return found;
        }
    }
    if (first) {
        co_return *first;
    }
    co_return std::optional<credentials>();
}

} // namespace firstlight
