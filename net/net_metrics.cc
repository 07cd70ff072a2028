#include "net/net_metrics.h"

namespace firstlight {

namespace {

constexpr std::array<const char*, 5> class_names{"error", "2xx", "3xx", "4xx", "5xx"};
constexpr std::array lanes{lane::demand, lane::prefetch, lane::background};

} // namespace

net_metrics::net_metrics(metrics& all)
  : connections_(&all.add_counter(
      "firstlight_registry_connections_total", "Connections opened to registries."))
  , tokens_(&all.add_counter("firstlight_registry_tokens_total", "Bearer tokens fetched."))
  , outages_(&all.add_counter(
      "firstlight_registry_outages_total", "Servers taken for dead, once for each outage."))
  , open_circuits_(std::make_shared<std::atomic<unsigned>>(0))
  , round_trip_(&all.add_histogram(
      "firstlight_registry_round_trip_seconds",
      "From a request sent to its response header read.")) {
    all.add_gauge(
      "firstlight_registry_open_circuits", "Servers that are taken for dead, and not asked.",
      [open = open_circuits_] { return open->load(std::memory_order_relaxed); });
    for (const auto l : lanes) {
        const std::string name(to_string(l));
        for (std::size_t c = 0; c < classes; ++c) {
            requests_[index_of(l)][c] = &all.add_counter(
              "firstlight_registry_requests_total", "Requests to registries by outcome.",
              {{"class", class_names[c]}, {"lane", name}});
        }
        bytes_[index_of(l)] = &all.add_counter(
          "firstlight_registry_bytes_total", "Body bytes received from registries.",
          {{"lane", name}});
        retries_[index_of(l)] = &all.add_counter(
          "firstlight_registry_retries_total", "Requests repeated after a failure.",
          {{"lane", name}});
    }
}

void net_metrics::request(lane l, unsigned status) noexcept {
    const auto hundreds = status / 100;
    requests_[index_of(l)][hundreds >= 2 && hundreds <= 5 ? hundreds - 1 : 0]->add(1);
}

} // namespace firstlight
