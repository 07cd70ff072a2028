#include "net/link_share.h"

#include <algorithm>

namespace firstlight {

namespace {

using std::chrono::milliseconds;

// Long enough that what lies in socket buffers does not look like speed.
constexpr milliseconds window_length{100};
// Demand that pauses for less than this goes on: between two reads of one process.
constexpr milliseconds demand_lingers{1000};
// Of what is over, so that no queue grows.
constexpr double headroom = 0.95;
constexpr double growth = 1.5;       // of the pace, in a window, until the link is full
constexpr double full = 0.8;         // arrives of what was asked for: there is no more
constexpr double first_demand = 0.5; // of the link, until it is measured
constexpr double first_pace = 2 << 20;
constexpr double least_pace = 64 << 10; // nobody starves
constexpr unsigned ramp = 2;            // windows until a free run says something
constexpr double weight = 0.2;          // of a window in the measure of a free run
constexpr unsigned account_length = 5;  // windows
constexpr double short_of = 0.85;       // less than this of what was asked for is too little
constexpr double drain = 0.97;          // of what arrives, so that a queue goes away
constexpr unsigned settle = 5;          // windows
constexpr milliseconds burst{2};        // a pace's worth that may be made up for

double seconds(link_share::clock::duration d) {
    return std::chrono::duration<double>(d).count();
}

} // namespace

void link_share::demand_began(clock::time_point now) {
    roll(now);
    if (!paced(now)) {
        demand_rate_ = std::max(demand_rate_, first_demand * rate_); // until it is measured
    }
    ++waiting_;
}

void link_share::demand_ended(clock::time_point now) {
    roll(now);
    --waiting_;
    demand_until_ = now + demand_lingers;
}

bool link_share::paced(clock::time_point now) const noexcept {
    return waiting_ > 0 || now < demand_until_;
}

void link_share::received(lane l, std::uint64_t bytes, clock::time_point now) {
    roll(now);
    now_.all += bytes;
    now_.demand += l == lane::background ? 0 : bytes;
}

double link_share::pace() const noexcept {
    const double least = saturated_ ? least_pace : first_pace;
    return std::max(least, headroom * rate_ - demand_rate_);
}

bool link_share::admit(std::uint64_t bytes, clock::time_point now) {
    roll(now);
    if (!paced(now)) {
        return true;
    }
    if (now < free_at_) {
        now_.kept_waiting = true;
        return false;
    }
    const std::chrono::duration<double> takes(static_cast<double>(bytes) / pace());
    free_at_ = std::max(free_at_, now - burst) + std::chrono::duration_cast<clock::duration>(takes);
    return true;
}

void link_share::roll(clock::time_point now) {
    constexpr unsigned longest_gap = 50;
    if (!begun_ || now - now_.end > longest_gap * window_length) {
        begun_ = true; // or idle for long: nothing to conclude from that
        now_ = window();
        now_.end = now + window_length;
        now_.paced = paced(now);
    }
    while (now >= now_.end) {
        close_window();
        const auto end = now_.end + window_length;
        now_ = window();
        now_.end = end;
        now_.paced = paced(now);
    }
}

void link_share::close_window() {
    const double arrived = static_cast<double>(now_.all) / seconds(window_length);
    const double demand = static_cast<double>(now_.demand) / seconds(window_length);
    demand_rate_ += (demand - demand_rate_) / 2;
    if (now_.paced) {
        free_windows_ = 0;
        measure_paced(arrived);
    } else {
        paced_ = account();
        settling_ = settle;
        measure_free(arrived);
    }
}

void link_share::measure_free(double arrived) {
    if (now_.all == now_.demand) {
        free_windows_ = 0;
        return;
    }
    if (++free_windows_ <= ramp) {
        return;
    }
    const bool first = !saturated_ || free_windows_ == ramp + 1;
    rate_ =
      first ? std::max(arrived, saturated_ ? rate_ : 0.0) : rate_ + weight * (arrived - rate_);
    saturated_ = true;
}

void link_share::measure_paced(double arrived) {
    const double asked = pace() + demand_rate_;
    if (!saturated_) {
        if (!now_.kept_waiting && now_.all == now_.demand) {
            return; // nobody wanted anything
        }
        saturated_ = arrived < full * asked;
        rate_ = saturated_ ? arrived : growth * std::max(asked, rate_);
        paced_ = account();
        return;
    }
    if (settling_ > 0) { // what the free run had under way still arrives
        --settling_;
        return;
    }
    ++paced_.windows;
    paced_.kept_waiting += now_.kept_waiting ? 1 : 0;
    paced_.asked += asked;
    paced_.arrived += arrived;
    paced_.lower += static_cast<double>(now_.all - now_.demand);
    if (paced_.windows < account_length) {
        return;
    }
    // The link brought less than was asked of it: it has become slower, or was never
    // that fast. What has queued up is no reason to put more there.
    const bool never_kept = paced_.kept_waiting == 0;
    const bool too_little = paced_.arrived < short_of * paced_.asked;
    if (paced_.lower > 0 && (never_kept || too_little)) {
        const double there = drain * paced_.arrived / paced_.windows;
        rate_ = std::min(rate_, std::max(there, 0.8 * rate_));
    }
    paced_ = account();
}

} // namespace firstlight
