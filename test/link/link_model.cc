#include "test/link/link_model.h"

#include <algorithm>

namespace firstlight::link {

namespace {

constexpr std::size_t initial_window = std::size_t{10} * 1460; // RFC 6928
constexpr std::size_t least_window = std::size_t{256} * 1024;
constexpr std::size_t unlimited_window = std::size_t{4} * 1024 * 1024;

} // namespace

line::line(double bytes_per_second, clock::duration delay, std::size_t burst)
  : bytes_per_second_(bytes_per_second)
  , delay_(delay)
  , burst_(transmission(burst)) {
}

clock::duration line::transmission(std::size_t bytes) const {
    if (bytes_per_second_ <= 0) {
        return clock::duration::zero();
    }
    const std::chrono::duration<double> seconds(static_cast<double>(bytes) / bytes_per_second_);
    return std::chrono::duration_cast<clock::duration>(seconds);
}

clock::time_point line::carry(clock::time_point now, std::size_t bytes) {
    // `free_at_` lags behind `now` by at most the burst: the tokens saved up.
    free_at_ = std::max(free_at_, now - burst_) + transmission(bytes);
    return std::max(free_at_, now) + delay_;
}

window::window(std::size_t cap, bool slow_start)
  : cap_(cap)
  , limit_(slow_start ? std::min(initial_window, cap) : cap) {
}

std::size_t window::room(clock::time_point now) {
    const bool grows = limit_ < cap_;
    while (!credits_.empty() && credits_.front().when <= now) {
        in_flight_ -= credits_.front().bytes;
        if (grows) {
            limit_ = std::min(cap_, limit_ + credits_.front().bytes);
        }
        credits_.pop_front();
    }
    return limit_ > in_flight_ ? limit_ - in_flight_ : 0;
}

void window::acknowledged(std::size_t bytes, clock::time_point when) {
    credits_.push_back({when, bytes});
}

std::optional<clock::time_point> window::next_acknowledgement() const {
    if (credits_.empty()) {
        return std::nullopt;
    }
    return credits_.front().when;
}

std::size_t default_window(double bytes_per_second, clock::duration delay) {
    if (bytes_per_second <= 0) {
        return unlimited_window;
    }
    const double round_trip = std::chrono::duration<double>(2 * delay).count();
    return std::max(least_window, static_cast<std::size_t>(2 * bytes_per_second * round_trip));
}

} // namespace firstlight::link
