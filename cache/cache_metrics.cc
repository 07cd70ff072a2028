#include "cache/cache_metrics.h"

namespace firstlight {

namespace {

std::shared_ptr<gauges_of_shards> make_gauges(unsigned shards) {
    auto all = std::make_shared<gauges_of_shards>();
    for (unsigned i = 0; i < shards; ++i) {
        all->push_back(std::make_unique<cache_gauges>());
    }
    return all;
}

std::uint64_t
total(const gauges_of_shards& all, std::atomic<std::uint64_t> cache_gauges::* which) noexcept {
    std::uint64_t sum = 0;
    for (const auto& each : all) {
        sum += ((*each).*which).load(std::memory_order_relaxed);
    }
    return sum;
}

counter& lookups(metrics& m, const char* outcome) {
    return m.add_counter(
      "firstlight_cache_lookups_total", "Chunks asked for, by what was found.",
      {{"result", outcome}});
}

} // namespace

cache_metrics::cache_metrics(metrics& m, unsigned shards, std::uint64_t limit)
  : table_hits(lookups(m, "table"))
  , disk_hits(lookups(m, "disk"))
  , memory_hits(lookups(m, "memory"))
  , joins(lookups(m, "joined"))
  , misses(lookups(m, "miss"))
  , stored(m.add_counter("firstlight_cache_stored_chunks_total", "Chunks written to disk."))
  , stored_bytes(m.add_counter("firstlight_cache_stored_bytes_total", "Bytes written to disk."))
  , not_stored(m.add_counter(
      "firstlight_cache_not_stored_total",
      "Chunks that memory had to let go before they were stored."))
  , write_failures(m.add_counter(
      "firstlight_cache_write_failures_total", "Failed writes to the cache directory."))
  , evictions(m.add_counter("firstlight_cache_evictions_total", "Chunks evicted from disk."))
  , evicted_bytes(m.add_counter("firstlight_cache_evicted_bytes_total", "Bytes evicted from disk."))
  , damaged(m.add_counter(
      "firstlight_cache_damaged_total", "Chunks or records on disk found damaged and dropped."))
  , verified(m.add_counter(
      "firstlight_cache_verified_total", "Chunks left by an earlier process and found good."))
  , gauges_(make_gauges(shards)) {
    auto gauge = [&](const char* name, const char* help, auto which) {
        m.add_gauge(
          name, help, [all = gauges_, which] { return static_cast<double>(total(*all, which)); });
    };
    gauge("firstlight_cache_bytes", "Bytes allocated on disk for chunks.", &cache_gauges::bytes);
    gauge("firstlight_cache_chunks", "Chunks on disk.", &cache_gauges::chunks);
    gauge(
      "firstlight_cache_memory_bytes", "Bytes of chunks that are in memory only.",
      &cache_gauges::memory_bytes);
    gauge("firstlight_cache_flights", "Chunks being brought.", &cache_gauges::flights);
    m.add_gauge("firstlight_cache_limit_bytes", "The budget for chunks on disk.", [limit] {
        return static_cast<double>(limit);
    });
}

std::uint64_t cache_metrics::sum(std::atomic<std::uint64_t> cache_gauges::* which) const noexcept {
    return total(*gauges_, which);
}

} // namespace firstlight
