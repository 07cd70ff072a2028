#include "net/backoff.h"

#include <algorithm>

namespace firstlight {

std::chrono::milliseconds backoff::next(std::chrono::milliseconds asked_for) {
    constexpr unsigned most_doublings = 20; // keeps the shift small
    const auto doubled = config_->min_wait * (1LL << std::min(failures_, most_doublings));
    ++failures_;
    const auto capped = std::min<std::chrono::milliseconds>(doubled, config_->max_wait);
    std::uniform_real_distribution<double> jitter(1.0, 2.0);
    const auto waited = std::chrono::duration<double, std::milli>(capped) * jitter(*random_);
    return std::max(std::chrono::duration_cast<std::chrono::milliseconds>(waited), asked_for);
}

} // namespace firstlight
