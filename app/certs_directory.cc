#include "app/certs_directory.h"

#include "actors/log.h"
#include "net/tls_context.h"

#include <stdexcept>

namespace firstlight {

namespace {

constexpr std::size_t most_registries = 1024;

void tell(
  const std::string& registry, const host_directory& read, const result<endpoint_list>& says) {
    for (const auto& warning : read.warnings) {
        log::warn("registry hosts", {{"warning", warning}});
    }
    if (!says) {
        log::error("registry hosts", {{"registry", registry}, {"error", says.error().context()}});
    } else if (!read.path.empty()) {
        log::info("registry hosts", {{"registry", registry}, {"directory", read.path}});
    }
}

} // namespace

certs_directory::certs_directory(worker_pool& pool, std::vector<std::string> roots)
  : pool_(pool)
  , roots_(std::move(roots)) {
}

certs_directory::answer_ptr certs_directory::known(const std::string& registry) const {
    const auto found = answers_.find(registry);
    return found == answers_.end() ? nullptr : found->second;
}

task<result<endpoint_list>> certs_directory::find(std::string registry) {
    const auto before = known(registry);
    auto look = [roots = roots_, registry,
                 seen = before ? before->from : nullptr]() -> result<directory_ptr> {
        if (seen && seen->stamps.hold()) {
            return seen;
        }
        return std::make_shared<const host_directory>(read_host_directory(roots, registry));
    };
    const auto read = co_await pool_.run(lane::demand, std::move(look));
    if (!read) {
        co_return read.error();
    }
    if (before && *read == before->from) {
        co_return before->says;
    }
    auto says = co_await build(registry, *read);
    if (const auto now = known(registry); now != before && now) {
        co_return now->says; // somebody else has been here meanwhile
    }
    tell(registry, **read, says);
    if (!says && before && before->says) {
        says = before->says;
    }
    if (answers_.size() >= most_registries) {
        answers_.clear();
    }
    answers_[registry] = std::make_shared<const answer>(answer{*read, says});
    co_return says;
}

task<result<endpoint_list>> certs_directory::build(std::string registry, directory_ptr from) {
    if (from->bad) {
        co_return *from->bad;
    }
    if (from->hosts.empty()) {
        co_return endpoint_list();
    }
    const auto made = co_await contexts_for(from);
    if (!made) {
        co_return made.error();
    }
    std::vector<endpoint> all;
    for (const auto& [settings, tls] : from->hosts) {
        endpoint_trust trust;
        if (!settings.tls.empty()) {
            trust = endpoint_trust(made->at(tls), made->at(tls.anonymous()));
        }
        auto each = endpoint::make(settings, registry, endpoint::role::mirror, std::move(trust));
        if (!each) {
            co_return each.error().in(from->path);
        }
        all.push_back(std::move(*each));
    }
    co_return std::make_shared<const std::vector<endpoint>>(std::move(all));
}

task<result<certs_directory::contexts>> certs_directory::contexts_for(directory_ptr from) {
    contexts have;
    for (const auto& [settings, tls] : from->hosts) {
        if (settings.tls.empty()) {
            continue; // the general one will do
        }
        for (const auto& material : {tls, tls.anonymous()}) {
            const auto found = contexts_.find(material);
            have[material] = found == contexts_.end() ? nullptr : found->second.lock();
        }
    }
    auto make = [have = std::move(have)]() mutable -> result<contexts> {
        try {
            for (auto& [material, context] : have) {
                context = context ? context : make_tls_context(material);
            }
        } catch (const std::runtime_error& e) {
            return fault(errc::invalid_argument, e.what());
        }
        return std::move(have);
    };
    auto made = co_await pool_.run(lane::demand, std::move(make));
    if (!made) {
        co_return made.error().in(from->path);
    }
    std::erase_if(contexts_, [](const auto& each) { return each.second.expired(); });
    for (const auto& [material, context] : *made) {
        contexts_[material] = context;
    }
    co_return made;
}

void certs_directory::distrust() {
    for (auto& [registry, each] : answers_) {
        each = std::make_shared<const answer>(answer{nullptr, each->says});
    }
}

} // namespace firstlight
