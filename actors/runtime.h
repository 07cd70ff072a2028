#pragma once

#include "actors/shard.h"
#include "actors/worker_pool.h"

#include <memory>
#include <vector>

namespace firstlight {

/// The shards of the process and the pools beside them. Built, started and
/// stopped by main; everything else gets a reference.
class runtime {
public:
    struct options {
        unsigned shards = 0;      // 0: one per processor this process may use
        bool pin = true;          // shard i runs on the i-th such processor only
        unsigned io_threads = 4;  // blocking system calls
        unsigned cpu_threads = 0; // long decodes; 0: one per processor, at least 2
    };

    explicit runtime(options o);
    ~runtime();
    runtime(const runtime&) = delete;
    runtime& operator=(const runtime&) = delete;

    void start();
    /// Stops the pools, then the shards. The actors have been stopped before.
    void stop();

    unsigned size() const noexcept { return static_cast<unsigned>(shards_.size()); }
    shard& at(unsigned id) noexcept { return *shards_[id]; }
    /// The shard that owns whatever hashes to `hash`, the same until restart.
    shard& shard_of(std::uint64_t hash) noexcept { return *shards_[hash % shards_.size()]; }

    /// Blocking system calls.
    worker_pool& io() noexcept { return io_; }
    /// CPU work longer than a slice.
    worker_pool& cpu() noexcept { return cpu_; }

private:
    std::vector<std::unique_ptr<shard>> shards_;
    worker_pool io_;
    worker_pool cpu_;
    bool running_ = false;
};

} // namespace firstlight
