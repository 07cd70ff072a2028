#pragma once

#include "actors/lane.h"
#include "actors/metrics.h"

#include <atomic>
#include <memory>
#include <vector>

namespace firstlight {

/// What one shard of the cache last said of itself; written by that shard alone.
struct alignas(64) cache_gauges {
    std::atomic<std::uint64_t> bytes{0};
    std::atomic<std::uint64_t> chunks{0};
    std::atomic<std::uint64_t> memory_bytes{0};
    std::atomic<std::uint64_t> flights{0};
};
using gauges_of_shards = std::vector<std::unique_ptr<cache_gauges>>;

/// The cache's counters, `firstlight_cache_…`. References into a `metrics` that
/// outlives the cache; the gauges outlive it themselves.
class cache_metrics {
public:
    cache_metrics(metrics& m, unsigned shards, std::uint64_t limit);

    counter& table_hits;   // found in the reading shard's own table
    counter& disk_hits;    // looked up: on disk
    counter& memory_hits;  // looked up: in memory, not stored yet
    counter& joins;        // looked up: a flight was on
    counter& misses;       // looked up: a ticket was given
    counter& stored;       // chunks written to disk
    counter& stored_bytes; // their bytes
    counter& not_stored;   // dropped from memory before they were stored
    counter& write_failures;
    counter& evictions;
    counter& evicted_bytes;
    counter& damaged;  // chunks or records on disk found damaged and dropped
    counter& verified; // chunks of an earlier process found good

    cache_gauges& of(unsigned shard) noexcept { return *(*gauges_)[shard]; }
    std::uint64_t sum(std::atomic<std::uint64_t> cache_gauges::* which) const noexcept;

private:
    std::shared_ptr<gauges_of_shards> gauges_;
};

} // namespace firstlight
