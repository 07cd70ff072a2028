#pragma once

#include "actors/metrics.h"
#include "actors/result.h"

#include <cstdint>
#include <memory>
#include <string>

namespace firstlight {

/// Serves all metrics at http://ADDRESS/metrics in Prometheus' text format, from
/// threads of its own: a scrape never enters a shard. Durations are in seconds,
/// under a name that ends in _seconds. The process' own figures (memory, descriptors,
/// threads, processor time) are added under Prometheus' customary names.
///
/// Used from main's thread; stops when destroyed.
class metrics_exporter {
public:
    /// `address`: "host:port" or ":port" (all IPv4 addresses); port 0: any free one.
    /// `all` must outlive the exporter, and get no new series while it runs.
    ///
    /// Errors: invalid_argument for an address that is none; unavailable, when
    /// nothing can listen there.
    static result<std::unique_ptr<metrics_exporter>>
    start(const metrics& all, const std::string& address);

    ~metrics_exporter();
    metrics_exporter(const metrics_exporter&) = delete;
    metrics_exporter& operator=(const metrics_exporter&) = delete;

    /// The port it listens on.
    std::uint16_t port() const noexcept;

private:
    class implementation; // the only user of prometheus-cpp's headers
    explicit metrics_exporter(std::unique_ptr<implementation> i);
    std::unique_ptr<implementation> implementation_;
};

} // namespace firstlight
