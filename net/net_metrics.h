#pragma once

#include "actors/lane.h"
#include "actors/metrics.h"

#include <array>
#include <cstddef>

namespace firstlight {

/// The registry client's series, made once while the graph is wired:
///
/// - firstlight_registry_requests_total{class="2xx"…"5xx"|"error", lane}
/// - firstlight_registry_bytes_total{lane}: body bytes received
/// - firstlight_registry_retries_total{lane}: requests repeated after a failure
/// - firstlight_registry_connections_total: connections opened
/// - firstlight_registry_tokens_total: bearer tokens fetched
/// - firstlight_registry_round_trip_seconds: request sent to response header read
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
    histogram& round_trip() noexcept { return *round_trip_; }

private:
    static constexpr std::size_t classes = 5; // error, 2xx, 3xx, 4xx, 5xx
    per_lane<std::array<counter*, classes>> requests_{};
    per_lane<counter*> bytes_{};
    per_lane<counter*> retries_{};
    counter* connections_;
    counter* tokens_;
    histogram* round_trip_;
};

} // namespace firstlight
