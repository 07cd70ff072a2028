#pragma once

#include "actors/lane.h"

#include <chrono>
#include <cstdint>

namespace firstlight {

/// How fast the background may read from its sockets. ("Demand" is prefetch as well here:
/// both are served first.)
///
/// While no process waits it takes all that the link gives. While one does, and for a
/// moment after, it is paced at what demand leaves over of the link's rate: nothing of it
/// queues up in front of an answer that a process waits for, and what demand has no use
/// for is not wasted either. It is never stopped for good.
///
/// The link's rate is not known, so it is measured. While the background runs free, it is
/// what arrives. While it is paced, answers tell whether something queues up in front of
/// them: if even the quickest of a while took longer than the way there and back, the link
/// is full, and what arrives is its rate; if not, there is room, and the pace grows. (Who
/// looks at the quickest only does not take the bursts of demand itself for a full link;
/// RFC 8289, section 3, and RFC 6817 are built on the same two observations.)
///
/// Pure arithmetic on the times it is given, which must not decrease. One thread.
class link_share {
public:
    using clock = std::chrono::steady_clock;

    /// One more response that a process waits for, or one less.
    void demand_began(clock::time_point now);
    void demand_ended(clock::time_point now);
    /// Requests have been answered, `queued` later at least than the `nearest` that their
    /// servers ever took.
    void answered(clock::duration queued, clock::duration nearest, clock::time_point now);
    /// `bytes` of body have been read in lane `l`.
    void received(lane l, std::uint64_t bytes, clock::time_point now);

    /// Whether the background must ask admit() before it reads.
    bool paced(clock::time_point now) const noexcept;
    /// Whether the background may read `bytes` now; if so, they count as read.
    bool admit(std::uint64_t bytes, clock::time_point now);
    /// When admit() may next say yes.
    clock::time_point next_admission() const noexcept { return free_at_; }

    /// What the background may read while paced, and what the link is taken for;
    /// bytes a second.
    double pace() const noexcept;
    double rate() const noexcept { return rate_; }

private:
    struct window {
        clock::time_point end;
        std::uint64_t all = 0;
        std::uint64_t demand = 0;
        bool kept_waiting = false; // the background was not admitted at once
        bool paced = false;
    };
    // Of the windows since the last look at what the pace brought.
    struct account {
        double seconds = 0;
        double asked = 0; // bytes
        double arrived = 0;
        unsigned answers = 0;
        clock::duration queued = clock::duration::max(); // the least
        clock::duration nearest{};                       // the most
        bool kept_waiting = false;
    };

    void roll(clock::time_point now);
    void close_window();
    void measure_free(double arrived);
    void measure_paced(double arrived);
    clock::duration time_to_drain(clock::duration queued) const noexcept;

    unsigned waiting_ = 0; // responses of demand
    clock::time_point demand_until_{};
    window now_;
    bool begun_ = false;
    double rate_ = 0;
    bool known_ = false; // rate_ is the link's, and not what we happened to ask for
    unsigned free_windows_ = 0;
    account paced_;
    double growth_ = 0.32; // of rate_, next time: fast, until something queues up
    unsigned quiet_ = 0;   // looks since then
    double demand_rate_ = 0;
    clock::time_point free_at_{};
};

} // namespace firstlight
