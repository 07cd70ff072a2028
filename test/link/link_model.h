#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

namespace firstlight::link {

using clock = std::chrono::steady_clock;

/// One direction of an emulated link: a serial line of limited rate behind
/// which lies a constant delay. All connections of a proxy share one, so that
/// what one of them sends holds up the others, as on a real access link.
///
/// Pure arithmetic on the times it is given; not thread safe.
class line {
public:
    /// `bytes_per_second` 0 means no limit. `burst` bytes may leave at once after
    /// the line has been idle long enough (a token bucket's depth).
    line(double bytes_per_second, clock::duration delay, std::size_t burst);

    /// Puts `bytes` on the line at `now`; the time at which the last of them is
    /// at the far end. Never earlier than for any bytes put on the line before.
    clock::time_point carry(clock::time_point now, std::size_t bytes);

    clock::duration delay() const noexcept { return delay_; }

private:
    clock::duration transmission(std::size_t bytes) const;

    double bytes_per_second_;
    clock::duration delay_;
    clock::duration burst_;
    clock::time_point free_at_{};
};

/// How many bytes of one connection may be under way in one direction: its
/// congestion window. A byte counts from when it is put on the line until its
/// acknowledgement is back, so the throughput is at most limit / round trip.
///
/// With slow start the window begins at ten segments and grows by what is
/// acknowledged, up to `cap`; without, it is `cap` from the start. Losses are
/// not emulated. Pure arithmetic; not thread safe.
class window {
public:
    window(std::size_t cap, bool slow_start);

    /// Bytes that may be sent at `now`, after taking in the acknowledgements due.
    std::size_t room(clock::time_point now);
    void sent(std::size_t bytes) { in_flight_ += bytes; }
    /// `bytes` sent earlier will be acknowledged at `when`; times must not decrease.
    void acknowledged(std::size_t bytes, clock::time_point when);
    /// When the next acknowledgement arrives, if one is under way.
    std::optional<clock::time_point> next_acknowledgement() const;
    std::size_t limit() const noexcept { return limit_; }

private:
    struct credit {
        clock::time_point when;
        std::size_t bytes;
    };

    std::size_t cap_;
    std::size_t limit_;
    std::size_t in_flight_ = 0;
    std::deque<credit> credits_;
};

/// The window a link of this rate and one-way delay needs so that one connection
/// can fill it: twice the product of rate and round trip, and at least 256 KiB;
/// 4 MiB where the rate is not limited.
std::size_t default_window(double bytes_per_second, clock::duration delay);

} // namespace firstlight::link
