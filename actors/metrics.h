#pragma once
// Counters and histograms that a shard updates without sharing a cache line,
// summed when somebody looks.

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace firstlight {

using metric_labels = std::map<std::string, std::string>;

/// A number that only grows. Any thread; a shard writes its own slot, foreign
/// threads share one.
class counter {
public:
    explicit counter(unsigned shards);
    void add(std::uint64_t n = 1) noexcept;
    std::uint64_t value() const noexcept;

private:
    struct alignas(64) slot {
        std::atomic<std::uint64_t> n{0};
    };
    std::vector<slot> slots_; // one per shard, and the last for foreign threads
};

/// Durations in microseconds, in buckets whose bounds double: ≤ 1, 2, 4 … 2^26 µs
/// (67 s), and the rest.
class histogram {
public:
    static constexpr std::size_t bounds = 27;

    explicit histogram(unsigned shards);
    void record(std::chrono::steady_clock::duration d) noexcept;

    struct snapshot {
        std::array<std::uint64_t, bounds + 1> counts{}; // not cumulative; last: above all bounds
        std::uint64_t sum_us = 0;
        std::uint64_t total() const noexcept;
    };
    snapshot read() const noexcept;
    static std::uint64_t bound_us(std::size_t bucket) noexcept { return 1ULL << bucket; }

private:
    struct alignas(64) slot {
        std::array<std::atomic<std::uint64_t>, bounds + 1> counts{};
        std::atomic<std::uint64_t> sum_us{0};
    };
    std::vector<slot> slots_;
};

/// All metrics of the process. Series are made while the graph is wired, before
/// the shards start; collect() may run at any time on any thread.
class metrics {
public:
    explicit metrics(unsigned shards) noexcept
      : shards_(shards) {}

    /// References stay valid as long as this object. `name` follows Prometheus'
    /// naming practice (snake_case, unit and _total suffixes).
    counter& add_counter(std::string name, std::string help, metric_labels labels = {});
    histogram& add_histogram(std::string name, std::string help, metric_labels labels = {});
    /// `read` is called by collect() on its thread, so it may only look at atomics.
    void add_gauge(
      std::string name, std::string help, std::function<double()> read, metric_labels labels = {});

    struct series {
        std::string name;
        std::string help;
        metric_labels labels;
        // Exactly one is set.
        std::unique_ptr<counter> count;
        std::unique_ptr<histogram> durations;
        std::function<double()> gauge;
    };
    /// For the exporter: in the order they were made.
    const std::deque<series>& all() const noexcept { return series_; }
    /// The sum of the counters called `name` whose labels include `labels`; 0 if none.
    std::uint64_t counted(const std::string& name, const metric_labels& labels = {}) const;

private:
    series& add(std::string name, std::string help, metric_labels labels);

    const unsigned shards_;
    std::deque<series> series_;
};

} // namespace firstlight
