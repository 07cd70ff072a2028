#pragma once

#include "actors/lane.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace firstlight {

/// The lane of one request, which whoever waits for the request may raise while
/// it is queued or running. Copies share it; a plain lane converts to one that
/// nobody else holds.
///
/// Single-shard: used on the shard of the client that the request goes through.
class request_lane {
public:
    request_lane(lane l) // implicit: most requests are never promoted
      : state_(std::make_shared<state>(l)) {}

    /// One whose urgency changes with whoever waits for its outcome: `urgency` is asked
    /// at each look, and counts where it is higher than `l`. It must stay callable.
    request_lane(lane l, std::function<lane()> urgency)
      : request_lane(l) {
        state_->urgency = std::move(urgency);
    }

    lane get() const {
        return state_->urgency ? std::min(state_->now, state_->urgency()) : state_->now;
    }
    /// Takes effect at once, also for a request that waits for a connection.
    /// A lane below the present one changes nothing.
    void promote(lane l);
    /// The computed urgency has changed: takes effect at once as well.
    void look_again();

    /// Whether a connection has been given to it: the request is sent, or about to be.
    bool granted() const noexcept { return state_->granted; }
    /// For the connection pool.
    void set_granted(bool yes) noexcept { state_->granted = yes; }

    /// Calls `changed` after each promotion and look_again(), until unwatch(owner).
    void watch(const void* owner, std::function<void()> changed);
    void unwatch(const void* owner) noexcept;

private:
    struct state {
        explicit state(lane l) noexcept
          : now(l) {}
        lane now;
        bool granted = false;
        std::function<lane()> urgency;
        std::vector<std::pair<const void*, std::function<void()>>> watchers;
    };
    std::shared_ptr<state> state_;
};

} // namespace firstlight
