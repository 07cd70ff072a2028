#pragma once

#include "actors/shard.h"
#include "net/net_metrics.h"

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace firstlight {

/// Which servers the process takes for dead. Each connection pool decides for itself, on
/// its shard (circuit_breaker), so that no request waits for a message; here it tells the
/// others, so that they need not find out for themselves, and go on together. Logged here,
/// once for each outage, and counted.
///
/// One per process, an actor on `home`; shared with messages on their way. All methods on
/// `home` but the constructor and home().
class circuit_board {
public:
    using clock = std::chrono::steady_clock;

    /// What a pool is told: `origin` is dead since `since`, or alive.
    class notice {
    public:
        notice(std::string o, bool d, clock::time_point s, std::string w)
          : origin(std::move(o))
          , dead(d)
          , since(s)
          , why(std::move(w)) {}

        std::string origin;
        bool dead;
        clock::time_point since;
        std::string why; // the last failure, without credentials
    };

    /// A pool, as the board knows it. `told` is called, and emptied, on the pool's shard.
    struct member {
        explicit member(shard& h) noexcept
          : home(h) {}
        shard& home;
        std::function<void(const notice&)> told;
    };
    using member_ptr = std::shared_ptr<member>;

    circuit_board(shard& home, net_metrics& metrics) noexcept
      : home_(home)
      , metrics_(metrics) {}

    shard& home() noexcept { return home_; }
    void add(member_ptr m) { members_.push_back(std::move(m)); }
    void remove(const member_ptr& m) { std::erase(members_, m); }

    /// `by` has found this out.
    void report(const member_ptr& by, const notice& n);
    /// The pools have no room left to remember it.
    void forget(const std::string& origin);

private:
    void tell(const member_ptr& by, const notice& n);

    shard& home_;
    net_metrics& metrics_;
    std::vector<member_ptr> members_;
    std::unordered_map<std::string, clock::time_point> dead_; // origin: since when
};

} // namespace firstlight
