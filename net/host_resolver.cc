#include "net/host_resolver.h"

#include <algorithm>

namespace firstlight {

namespace {

// getaddrinfo(3) does not tell the records' own time to live.
constexpr std::chrono::seconds time_to_live{30};
constexpr std::size_t most_names = 1024;

host_resolver::addresses loopback() {
    host_resolver::addresses both;
    both.emplace_back(asio::ip::address_v4::loopback());
    both.emplace_back(asio::ip::address_v6::loopback());
    return both;
}

} // namespace

host_resolver::host_resolver(shard& home)
  : resolver_(home.on(lane::demand))
  , lookups_(home) {
}

task<result<host_resolver::addresses>>
host_resolver::resolve(std::string name, deadline d, std::stop_token stop) {
    boost::system::error_code not_an_address;
    const auto literal = asio::ip::make_address(name, not_an_address);
    if (!not_an_address) {
        co_return addresses(1, literal);
    }
    if (name == "localhost") { // RFC 6761, section 6.3: also without /etc/hosts
        co_return loopback();
    }
    const auto hit = known_.find(name);
    if (hit != known_.end() && std::chrono::steady_clock::now() < hit->second.fresh_until) {
        co_return hit->second.found;
    }
    auto& joined_slot = flights_[name];
    if (!joined_slot) {
        joined_slot = std::make_shared<flight>();
        auto work = [this, name, mine = joined_slot](std::stop_token) {
            return look_up(name, mine);
        };
        lookups_.spawn("resolve " + name, lane::demand, std::move(work));
    }
    auto joined = joined_slot; // keeps it alive past its erasure
    std::stop_callback give_up(stop, [&joined] { joined->landed.notify_all(); });
    while (!joined->outcome && !aborted_ && !stop.stop_requested()) {
        if (d.expired()) {
            co_return fault(errc::timed_out, "resolving " + name);
        }
        co_await joined->landed.wait_for(
          std::min<deadline::clock::duration>(d.left(), std::chrono::hours(1)));
    }
    if (!joined->outcome) {
        co_return fault(errc::stopping, "resolving " + name);
    }
    co_return *joined->outcome;
}

task<void> host_resolver::look_up(std::string name, std::shared_ptr<flight> mine) {
    const auto [failed, list] =
      co_await resolver_.async_resolve(name, "", asio::ip::resolver_base::flags(), quietly);
    addresses found;
    for (const auto& each : list) {
        found.push_back(each.endpoint().address());
    }
    const auto stale = known_.find(name);
    if (!failed && !found.empty()) {
        remember(name, found);
        mine->outcome = std::make_unique<result<addresses>>(std::move(found));
    } else if (stale != known_.end()) {
        mine->outcome = std::make_unique<result<addresses>>(stale->second.found);
    } else {
        auto why = fault(errc::unavailable, failed.message()).in("resolving " + name);
        mine->outcome = std::make_unique<result<addresses>>(std::move(why));
    }
    flights_.erase(name);
    mine->landed.notify_all();
}

void host_resolver::remember(const std::string& name, const addresses& found) {
    if (known_.size() >= most_names) {
        known_.clear();
    }
    auto& entry = known_[name];
    entry.found = found;
    entry.fresh_until = std::chrono::steady_clock::now() + time_to_live;
}

void host_resolver::abort() noexcept {
    aborted_ = true;
    resolver_.cancel();
    for (auto& [name, each] : flights_) {
        each->landed.notify_all();
    }
}

task<void> host_resolver::stop() {
    abort();
    co_await lookups_.stop();
}

} // namespace firstlight
