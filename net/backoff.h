#pragma once

#include "net/registry_config.h"

#include <chrono>
#include <random>

namespace firstlight {

/// The retries left to one request, and how long to wait before each.
class backoff {
public:
    backoff(const registry_config& config, std::minstd_rand& random) noexcept
      : config_(&config)
      , random_(&random) {}

    /// Another retry is allowed.
    bool more() const noexcept { return failures_ < config_->max_retries; }
    /// Counts a failure. min_wait * 2^n capped at max_wait, times [1, 2); at least
    /// what the server asked for.
    std::chrono::milliseconds next(std::chrono::milliseconds asked_for);
    /// There was progress: start anew.
    void reset() noexcept { failures_ = 0; }

private:
    const registry_config* config_;
    std::minstd_rand* random_;
    unsigned failures_ = 0;
};

} // namespace firstlight
