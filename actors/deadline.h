#pragma once

#include "actors/result.h"
#include "actors/task.h"

#include <chrono>
#include <stop_token>

namespace firstlight {

/// When a request must be over. A value: it travels in messages, so that a
/// child never outlives its parent's patience.
class deadline {
public:
    using clock = std::chrono::steady_clock;

    static deadline after(clock::duration d) noexcept { return deadline(clock::now() + d); }
    static deadline never() noexcept { return deadline(clock::time_point::max()); }

    clock::time_point at() const noexcept { return at_; }
    bool expired() const noexcept { return clock::now() >= at_; }
    /// Time left, never negative.
    clock::duration left() const noexcept {
        const auto now = clock::now();
        return at_ > now ? at_ - now : clock::duration::zero();
    }
    /// The earlier of this deadline and `d` from now.
    deadline within(clock::duration d) const noexcept {
        return deadline(left() < d ? at_ : clock::now() + d);
    }

private:
    explicit deadline(clock::time_point at) noexcept
      : at_(at) {}
    clock::time_point at_;
};

/// Sleeps for `d` on the caller's executor, or until `stop` is requested on the
/// same shard: then errc::stopping.
task<result<void>> sleep_for(deadline::clock::duration d, std::stop_token stop = {});

} // namespace firstlight
