#include "actors/metrics.h"

#include "actors/shard.h"

#include <algorithm>
#include <bit>

namespace firstlight {

namespace {

std::size_t my_slot(std::size_t slots) noexcept {
    const auto* here = shard::current();
    return here && here->id() + 1 < slots ? here->id() : slots - 1;
}

bool includes(const metric_labels& all, const metric_labels& some) {
    return std::includes(all.begin(), all.end(), some.begin(), some.end());
}

} // namespace

counter::counter(unsigned shards)
  : slots_(shards + 1) {
}

void counter::add(std::uint64_t n) noexcept {
    slots_[my_slot(slots_.size())].n.fetch_add(n, std::memory_order_relaxed);
}

std::uint64_t counter::value() const noexcept {
    std::uint64_t sum = 0;
    for (const auto& s : slots_) {
        sum += s.n.load(std::memory_order_relaxed);
    }
    return sum;
}

histogram::histogram(unsigned shards)
  : slots_(shards + 1) {
}

void histogram::record(std::chrono::steady_clock::duration d) noexcept {
    const auto us = static_cast<std::uint64_t>(
      std::max<std::int64_t>(0, std::chrono::duration_cast<std::chrono::microseconds>(d).count()));
    const auto bucket = us <= 1 ? 0 : static_cast<std::size_t>(std::bit_width(us - 1));
    auto& mine = slots_[my_slot(slots_.size())];
    mine.counts[std::min(bucket, bounds)].fetch_add(1, std::memory_order_relaxed);
    mine.sum_us.fetch_add(us, std::memory_order_relaxed);
}

std::uint64_t histogram::snapshot::total() const noexcept {
    std::uint64_t sum = 0;
    for (const auto n : counts) {
        sum += n;
    }
    return sum;
}

histogram::snapshot histogram::read() const noexcept {
    snapshot s;
    for (const auto& each : slots_) {
        for (std::size_t i = 0; i < s.counts.size(); ++i) {
            s.counts[i] += each.counts[i].load(std::memory_order_relaxed);
        }
        s.sum_us += each.sum_us.load(std::memory_order_relaxed);
    }
    return s;
}

metrics::series& metrics::add(std::string name, std::string help, metric_labels labels) {
    auto& s = series_.emplace_back();
    s.name = std::move(name);
    s.help = std::move(help);
    s.labels = std::move(labels);
    return s;
}

counter& metrics::add_counter(std::string name, std::string help, metric_labels labels) {
    auto& s = add(std::move(name), std::move(help), std::move(labels));
    s.count = std::make_unique<counter>(shards_);
    return *s.count;
}

histogram& metrics::add_histogram(std::string name, std::string help, metric_labels labels) {
    auto& s = add(std::move(name), std::move(help), std::move(labels));
    s.durations = std::make_unique<histogram>(shards_);
    return *s.durations;
}

void metrics::add_gauge(
  std::string name, std::string help, std::function<double()> read, metric_labels labels) {
    add(std::move(name), std::move(help), std::move(labels)).gauge = std::move(read);
}

std::uint64_t metrics::counted(const std::string& name, const metric_labels& labels) const {
    std::uint64_t sum = 0;
    for (const auto& s : series_) {
        if (s.count && s.name == name && includes(s.labels, labels)) {
            sum += s.count->value();
        }
    }
    return sum;
}

} // namespace firstlight
