#pragma once

#include "actors/event.h"
#include "actors/result.h"
#include "actors/shard.h"

#include <chrono>
#include <utility>

namespace firstlight {

/// Bounds the calls that an actor has accepted and not yet finished, per lane,
/// and lets the actor stop: the union of a semaphore and a gate.
///
/// Single-shard. A method holds its slot until it returns, including across
/// co_await, so `close` returning means that no method of the actor is running.
class mailbox {
public:
    class slot;
    using limits = per_lane<unsigned>;

    explicit mailbox(limits l) noexcept;
    ~mailbox();
    mailbox(const mailbox&) = delete;
    mailbox& operator=(const mailbox&) = delete;

    /// Waits for room in lane `l`; the wait is the back-pressure the caller
    /// feels. errc::overloaded after `patience`, errc::stopping once closed.
    task<result<slot>> admit(lane l, std::chrono::milliseconds patience);

    /// Refuses new calls and waits for the accepted ones. Call once.
    task<void> close();

    /// Calls accepted and unfinished in lane `l`; a gauge for metrics.
    unsigned depth(lane l) const noexcept { return depth_[index_of(l)]; }

private:
    void release(lane l) noexcept;

    const limits limits_;
    limits depth_{};
    bool closed_ = false;
    per_lane<event> room_;
    event drained_;
};

/// The right to run one call; gives its place back when destroyed.
class [[nodiscard]] mailbox::slot {
public:
    slot(mailbox& box, lane l) noexcept
      : box_(&box)
      , lane_(l) {}
    slot(slot&& o) noexcept
      : box_(std::exchange(o.box_, nullptr))
      , lane_(o.lane_) {}
    slot& operator=(slot&&) = delete;
    ~slot() {
        if (box_) {
            box_->release(lane_);
        }
    }

private:
    mailbox* box_;
    lane lane_;
};

} // namespace firstlight
