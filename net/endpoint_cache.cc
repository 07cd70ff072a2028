#include "net/endpoint_cache.h"

#include "actors/call.h"
#include "net/registry_hub.h"

#include <algorithm>

namespace firstlight {

namespace {

using steady = std::chrono::steady_clock;

constexpr std::size_t most_registries = 1024;

} // namespace

endpoint_cache::endpoint_cache(shard& home, registry_hub& hub)
  : hub_(hub)
  , flights_(home) {
}

void endpoint_cache::make_room() {
    if (entries_.size() >= most_registries) {
        std::erase_if(entries_, [](const auto& each) { return !each.second.flying; });
    }
}

task<result<endpoint_list>> endpoint_cache::of(std::string registry, deadline d) {
    make_room();
    auto& e = entries_[registry];
    const bool old =
      hub_.hosts_may_change() && steady::now() - e.asked_at >= hub_.config().hosts_interval;
    const bool usable = e.all && !e.in_doubt;
    if (!e.flying && (old || !usable)) {
        ask(registry, e);
    }
    if (usable) {
        co_return e.all;
    }
    const auto joined = e.flying; // `e` may be gone after a suspension
    while (!joined->outcome && !aborted_) {
        if (d.expired()) {
            co_return fault(errc::timed_out, "looking up the hosts of " + registry);
        }
        const auto longest = std::min<deadline::clock::duration>(d.left(), std::chrono::hours(1));
        co_await joined->landed.wait_for(longest);
    }
    if (!joined->outcome) {
        co_return fault(errc::stopping, "looking up the hosts of " + registry);
    }
    co_return *joined->outcome;
}

void endpoint_cache::ask(const std::string& registry, entry& e) {
    e.flying = std::make_shared<flight>();
    e.asked_at = steady::now();
    auto work = [this, registry, mine = e.flying](std::stop_token) { return fly(registry, mine); };
    flights_.spawn("hosts of " + registry, lane::demand, std::move(work));
}

task<void> endpoint_cache::fly(std::string registry, std::shared_ptr<flight> mine) {
    auto there = [&hub = hub_, registry] { return hub.endpoints(registry); };
    auto outcome = co_await call_on(hub_.home(), lane::demand, std::move(there));
    const auto known = entries_.find(registry);
    if (known != entries_.end() && known->second.flying == mine) {
        auto& e = known->second;
        e.flying = nullptr;
        e.in_doubt = false;
        if (outcome) {
            e.all = *outcome;
        } else if (e.all) {
            outcome = e.all;
        }
    }
    mine->outcome = std::make_unique<result<endpoint_list>>(std::move(outcome));
    mine->landed.notify_all();
}

void endpoint_cache::forget() {
    for (auto& [registry, each] : entries_) {
        each.in_doubt = true;
        each.flying = nullptr; // what it brings may be of before
    }
}

void endpoint_cache::abort() noexcept {
    aborted_ = true;
    for (auto& [registry, each] : entries_) {
        if (each.flying) {
            each.flying->landed.notify_all();
        }
    }
}

task<void> endpoint_cache::stop() {
    abort();
    co_await flights_.stop();
}

} // namespace firstlight
