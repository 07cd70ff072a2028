#include "app/metrics_exporter.h"

#include "app/process_figures.h"

#include <prometheus/collectable.h>
#include <prometheus/exposer.h>
#include <prometheus/metric_family.h>

#include <algorithm>
#include <charconv>
#include <exception>
#include <string_view>
#include <vector>

namespace firstlight {

namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

std::string exported_name(const metrics::series& s) {
    constexpr std::string_view unit = "_seconds";
    return s.durations && !s.name.ends_with(unit) ? s.name + std::string(unit) : s.name;
}

MetricType type_of(const metrics::series& s) {
    if (s.durations) {
        return MetricType::Histogram;
    }
    return s.count ? MetricType::Counter : MetricType::Gauge;
}

double seconds(std::uint64_t us) {
    return static_cast<double>(us) / 1e6;
}

ClientMetric::Histogram buckets_of(const histogram& h) {
    const auto now = h.read();
    ClientMetric::Histogram out;
    out.sample_sum = seconds(now.sum_us);
    // Prometheus' buckets are cumulative; the serialiser adds +Inf from the total.
    for (std::size_t i = 0; i < histogram::bounds; ++i) {
        out.sample_count += now.counts[i];
        out.bucket.push_back({out.sample_count, seconds(histogram::bound_us(i))});
    }
    out.sample_count += now.counts[histogram::bounds];
    return out;
}

ClientMetric sample(const metrics::series& s) {
    ClientMetric m;
    for (const auto& [name, value] : s.labels) {
        m.label.push_back({name, value});
    }
    if (s.count) {
        m.counter.value = static_cast<double>(s.count->value());
    } else if (s.durations) {
        m.histogram = buckets_of(*s.durations);
    } else {
        m.gauge.value = s.gauge();
    }
    return m;
}

// One family a name: Prometheus refuses a page with two.
MetricFamily& family_of(std::vector<MetricFamily>& all, const metrics::series& s) {
    const auto name = exported_name(s);
    const auto known = std::ranges::find(all, name, &MetricFamily::name);
    if (known != all.end()) {
        return *known;
    }
    return all.emplace_back(MetricFamily{name, s.help, type_of(s), {}});
}

void add_figure(
  std::vector<MetricFamily>& all, const char* name, const char* help, MetricType type,
  double value) {
    ClientMetric m;
    (type == MetricType::Counter ? m.counter.value : m.gauge.value) = value;
    all.push_back(MetricFamily{name, help, type, {m}});
}

void add_process(std::vector<MetricFamily>& all) {
    const auto p = process_figures::read();
    const auto gauge = [&all](const char* name, const char* help, std::uint64_t value) {
        add_figure(all, name, help, MetricType::Gauge, static_cast<double>(value));
    };
    add_figure(
      all, "process_cpu_seconds_total", "User and system CPU time spent, in seconds.",
      MetricType::Counter, p.cpu_seconds);
    gauge("process_resident_memory_bytes", "Resident memory, in bytes.", p.resident_bytes);
    gauge("process_virtual_memory_bytes", "Virtual memory, in bytes.", p.virtual_bytes);
    gauge("process_open_fds", "Open file descriptors.", p.open_fds);
    gauge("process_max_fds", "The most file descriptors that may be open.", p.max_fds);
    gauge("process_threads", "Threads.", p.threads);
}

class page : public prometheus::Collectable {
public:
    explicit page(const metrics& all)
      : all_(all) {}

    std::vector<MetricFamily> Collect() const override {
        std::vector<MetricFamily> families;
        for (const auto& s : all_.all()) {
            family_of(families, s).metric.push_back(sample(s));
        }
        add_process(families);
        return families;
    }

private:
    const metrics& all_;
};

// As the web server wants it. Its syntax has more (lists, TLS suffixes) than an
// address, so all else is refused here.
result<std::string> listening_address(const std::string& address) {
    const auto colon = address.rfind(':');
    const auto digits = address.substr(colon == std::string::npos ? 0 : colon + 1);
    std::uint16_t port = 0;
    const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (
      colon == std::string::npos || failed != std::errc() || end != digits.data() + digits.size() ||
      address.find_first_of(", +") != std::string::npos) {
        return fault(
          errc::invalid_argument,
          "metrics address \"" + address + "\": expected host:port or :port");
    }
    return colon == 0 ? "0.0.0.0" + address : address;
}

} // namespace

class metrics_exporter::implementation {
public:
    implementation(const metrics& all, const std::string& address)
      : page_(std::make_shared<page>(all))
      , server_(address, 2) {
        server_.RegisterCollectable(page_);
    }

    std::uint16_t port() const {
        const auto ports = server_.GetListeningPorts();
        return ports.empty() ? std::uint16_t{0} : static_cast<std::uint16_t>(ports.front());
    }

private:
    std::shared_ptr<page> page_; // the server holds it weakly
    prometheus::Exposer server_;
};

metrics_exporter::metrics_exporter(std::unique_ptr<implementation> i)
  : implementation_(std::move(i)) {
}

metrics_exporter::~metrics_exporter() = default;

std::uint16_t metrics_exporter::port() const noexcept {
    return implementation_->port();
}

result<std::unique_ptr<metrics_exporter>>
metrics_exporter::start(const metrics& all, const std::string& address) {
    const auto listening = listening_address(address);
    if (!listening) {
        return listening.error();
    }
    try {
        auto made = std::make_unique<implementation>(all, *listening);
        return std::unique_ptr<metrics_exporter>(new metrics_exporter(std::move(made)));
    } catch (const std::exception& e) { // the web server's only way to say so
        return fault(
          errc::unavailable, "serving metrics at " + address + ": " + e.what() +
                               "; is the port taken, or the host not of this machine?");
    }
}

} // namespace firstlight
