#pragma once

#include "actors/lane.h"
#include "actors/metrics.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>

namespace firstlight {

/// The registry client's series, made once while the graph is wired:
///
/// - firstlight_registry_requests_total{class="2xx"…"5xx"|"error", lane}
/// - firstlight_registry_bytes_total{lane}: body bytes received
/// - firstlight_registry_retries_total{lane}: requests repeated after a failure
/// - firstlight_registry_connections_total: connections opened
/// - firstlight_registry_tokens_total: bearer tokens fetched
/// - firstlight_registry_round_trip_seconds: request sent to response header read
/// - firstlight_registry_outages_total: servers taken for dead, once for each outage
/// - firstlight_registry_open_circuits: servers taken for dead now
///
/// Any thread, as counters are.
class net_metrics {
public:
    explicit net_metrics(metrics& all);

    /// `status` 0: no response came.
    void request(lane l, unsigned status) noexcept;
    void received(lane l, std::size_t bytes) noexcept { bytes_[index_of(l)]->add(bytes); }
    void retried(lane l) noexcept { retries_[index_of(l)]->add(1); }
    void connected() noexcept { connections_->add(1); }
    void token() noexcept { tokens_->add(1); }
    void circuit_opened() noexcept {
        outages_->add(1);
        open_circuits_->fetch_add(1, std::memory_order_relaxed);
    }
    void circuit_closed() noexcept { open_circuits_->fetch_sub(1, std::memory_order_relaxed); }
    /// Now.
    unsigned open_circuits() const noexcept {
        return open_circuits_->load(std::memory_order_relaxed);
    }
    histogram& round_trip() noexcept { return *round_trip_; }

private:
    static constexpr std::size_t classes = 5; // error, 2xx, 3xx, 4xx, 5xx
    per_lane<std::array<counter*, classes>> requests_{};
    per_lane<counter*> bytes_{};
    per_lane<counter*> retries_{};
    counter* connections_;
    counter* tokens_;
    counter* outages_;
    std::shared_ptr<std::atomic<unsigned>> open_circuits_; // the gauge's as well
    histogram* round_trip_;
};

} // namespace firstlight
