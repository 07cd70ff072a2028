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
/// The link's rate is not known, so it is measured: what arrives while the background
/// runs free. Where demand came first, the pace grows until no more arrives. The rate must
/// not be guessed too high, or the background fills a queue, demand gets less, and the
/// background takes that as well. So while it is paced the rate is only corrected
/// downwards, and measured anew when demand pauses.
///
/// Pure arithmetic on the times it is given, which must not decrease. One thread.
class link_share {
public:
    using clock = std::chrono::steady_clock;

    /// One more response that a process waits for, or one less.
    void demand_began(clock::time_point now);
    void demand_ended(clock::time_point now);
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
        unsigned windows = 0;
        unsigned kept_waiting = 0;
        double asked = 0; // bytes
        double arrived = 0;
        double lower = 0;
    };

    void roll(clock::time_point now);
    void close_window();
    void measure_free(double arrived);
    void measure_paced(double arrived);

    unsigned waiting_ = 0; // responses of demand
    clock::time_point demand_until_{};
    window now_;
    bool begun_ = false;
    double rate_ = 0;
    bool saturated_ = false; // rate_ is the link's, and not what we happened to ask for
    unsigned free_windows_ = 0;
    account paced_;
    unsigned settling_ = 0; // windows
    double demand_rate_ = 0;
    clock::time_point free_at_{};
};

} // namespace firstlight
