#include "net/link_share.h"

#include <algorithm>
#include <utility>

namespace firstlight {

namespace {

using std::chrono::milliseconds;

// Long enough that what lies in socket buffers does not look like speed.
constexpr milliseconds window_length{50};
// Demand that pauses for less than this goes on: between two reads of one process.
constexpr milliseconds demand_lingers{1000};
// Of what is over, so that no queue grows.
constexpr double headroom = 0.95;
constexpr double first_demand = 0.5; // of the link, until it is measured
constexpr double first_pace = 4 << 20;
constexpr double least_pace = 64 << 10; // nobody starves
constexpr unsigned ramp = 4;            // windows until a free run says something
constexpr double weight = 0.1;          // of a window in the measure of a free run
constexpr milliseconds burst{2};        // a pace's worth that may be made up for

// Of the rate, at a time, while there is room: the more, the longer nothing has queued up.
constexpr double first_growth = 0.015;
constexpr double most_growth = 0.04;      // once a full link has been seen
constexpr unsigned quiet_before_more = 4; // looks
constexpr double below = 0.97;            // of what arrives through a full link
constexpr double steepest_cut = 0.85;     // at once: a late answer may be somebody else's fault
// A queue that is shorter does not count, for all clocks and threads are a little late;
// and besides, this part of the way there and back.
constexpr std::chrono::microseconds unnoticed{700};
constexpr int unnoticed_part = 32;
constexpr unsigned least_answers = 5; // that say something together
constexpr double longest_account = 1; // seconds
// Of a window's demand in the measure of it. Readers come in waves: what a trough leaves is
// wanted by the next crest, and would queue up in front of it.
constexpr double rise = 0.5;
constexpr double fall = 0.15;
constexpr double least_drain = 0.1; // of the link
constexpr milliseconds longest_drain{100};

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

void link_share::answered(clock::duration queued, clock::duration nearest, clock::time_point now) {
    roll(now);
    ++paced_.answers;
    paced_.queued = std::min(paced_.queued, queued);
    paced_.nearest = std::max(paced_.nearest, nearest);
}

double link_share::pace() const noexcept {
    const double least = known_ ? least_pace : first_pace;
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
    demand_rate_ += (demand - demand_rate_) * (demand > demand_rate_ ? rise : fall);
    if (now_.paced) {
        free_windows_ = 0;
        measure_paced(arrived);
    } else {
        paced_ = account();
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
    const bool first = !known_ || free_windows_ == ramp + 1;
    rate_ = first ? std::max(arrived, known_ ? rate_ : 0.0) : rate_ + weight * (arrived - rate_);
    known_ = true;
}

// Only what demand leaves of the link drains a queue.
link_share::clock::duration link_share::time_to_drain(clock::duration queued) const noexcept {
    const double left = std::max(1 - demand_rate_ / rate_, least_drain);
    const std::chrono::duration<double> takes(seconds(queued) / left);
    return std::min(
      std::chrono::duration_cast<clock::duration>(takes), clock::duration(longest_drain));
}

void link_share::measure_paced(double arrived) {
    const double length = seconds(window_length);
    paced_.seconds += length;
    paced_.asked += (pace() + demand_rate_) * length;
    paced_.arrived += arrived * length;
    paced_.kept_waiting = paced_.kept_waiting || now_.kept_waiting;
    const bool long_enough = paced_.seconds >= 2 * seconds(paced_.nearest);
    if ((paced_.answers < least_answers || !long_enough) && paced_.seconds < longest_account) {
        return;
    }
    const auto done = std::exchange(paced_, account());
    if (done.answers < least_answers) {
        return; // nothing to conclude from that
    }
    const auto allowed = unnoticed + done.nearest / unnoticed_part;
    if (done.queued > allowed) {
        const double there = below * done.arrived / done.seconds;
        if (known_) {
            rate_ = std::min(rate_, std::max(there, steepest_cut * rate_));
        } else {
            rate_ = std::max({there, steepest_cut * rate_, steepest_cut * first_pace});
        }
        known_ = true;
        growth_ = first_growth;
        quiet_ = 0;
        free_at_ += time_to_drain(done.queued);
        return;
    }
    const bool used = done.arrived > done.asked / 2;
    if (done.kept_waiting && used) { // the pace is all that holds the background back
        const double room = 1 - seconds(done.queued) / seconds(allowed);
        rate_ = std::max(rate_, pace()) * (1 + room * growth_);
        if (++quiet_ > quiet_before_more) {
            growth_ = std::max(growth_, std::min(2 * growth_, most_growth));
        }
    }
}

} // namespace firstlight
