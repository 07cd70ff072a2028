#include "app/metrics_exporter.h"

#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>

using namespace firstlight;
using namespace std::chrono_literals;

namespace {

std::string get(std::uint16_t port, const std::string& path) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    timeval patience{5, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    std::string answer;
    if (::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0) {
        const auto request = "GET " + path + " HTTP/1.0\r\nHost: localhost\r\n\r\n";
        if (::send(fd, request.data(), request.size(), MSG_NOSIGNAL) > 0) {
            char part[4096];
            for (ssize_t n; (n = ::recv(fd, part, sizeof part, 0)) > 0;) {
                answer.append(part, static_cast<std::size_t>(n));
            }
        }
    }
    ::close(fd);
    return answer;
}

bool has_line(const std::string& page, const std::string& line) {
    return page.find('\n' + line + '\n') != std::string::npos;
}

std::size_t count(const std::string& page, const std::string& part) {
    std::size_t n = 0;
    for (auto at = page.find(part); at != std::string::npos; at = page.find(part, at + 1)) {
        ++n;
    }
    return n;
}

struct served {
    metrics all{2};
    counter& good = all.add_counter("firstlight_reads_total", "Reads.", {{"outcome", "ok"}});
    counter& bad = all.add_counter("firstlight_reads_total", "Reads.", {{"outcome", "eio"}});
    histogram& took = all.add_histogram("firstlight_read_duration", "Time of a read.");
    served() {
        all.add_gauge("firstlight_layers", "Layers mounted.", [] { return 7.5; });
        exporter = std::move(metrics_exporter::start(all, "127.0.0.1:0").value());
    }
    std::unique_ptr<metrics_exporter> exporter;
    std::string page() const { return get(exporter->port(), "/metrics"); }
};

} // namespace

TEST_CASE_FIXTURE(served, "metrics: counters and gauges are served as Prometheus text") {
    good.add(3);
    bad.add(1);
    const auto text = page();
    CHECK(text.starts_with("HTTP/1.1 200"));
    CHECK(has_line(text, "# HELP firstlight_reads_total Reads."));
    CHECK(has_line(text, "# TYPE firstlight_reads_total counter"));
    CHECK(has_line(text, "firstlight_reads_total{outcome=\"ok\"} 3"));
    CHECK(has_line(text, "firstlight_reads_total{outcome=\"eio\"} 1"));
    CHECK(count(text, "# TYPE firstlight_reads_total") == 1);
    CHECK(has_line(text, "# TYPE firstlight_layers gauge"));
    CHECK(has_line(text, "firstlight_layers 7.5"));
}

TEST_CASE_FIXTURE(served, "metrics: durations are cumulative buckets in seconds") {
    took.record(1us);
    took.record(3us);
    took.record(1h);
    const auto text = page();
    CHECK(has_line(text, "# TYPE firstlight_read_duration_seconds histogram"));
    CHECK(has_line(text, "firstlight_read_duration_seconds_count 3"));
    CHECK(has_line(text, "firstlight_read_duration_seconds_bucket{le=\"+Inf\"} 3"));
    CHECK(text.find("firstlight_read_duration_seconds_sum 3600.000004") != std::string::npos);
    // 2^26 µs is the last bound; the hour is above it.
    CHECK(has_line(text, "firstlight_read_duration_seconds_bucket{le=\"67.108864\"} 2"));
    CHECK(count(text, "firstlight_read_duration_seconds_bucket") == histogram::bounds + 1);
}

TEST_CASE_FIXTURE(served, "metrics: the process' own figures are there, and not 0") {
    const auto text = page();
    for (const std::string name :
         {"process_resident_memory_bytes", "process_virtual_memory_bytes", "process_open_fds",
          "process_max_fds", "process_threads", "process_cpu_seconds_total"}) {
        INFO(name);
        CHECK(text.find('\n' + name + ' ') != std::string::npos);
        CHECK_FALSE((name != "process_cpu_seconds_total" && has_line(text, name + " 0")));
    }
}

TEST_CASE_FIXTURE(served, "metrics: scrapes see counters move while threads write them") {
    std::atomic<bool> done{false};
    std::thread writer([&] {
        while (!done) {
            good.add();
            took.record(5us);
        }
    });
    std::string last;
    for (int i = 0; i < 5; ++i) {
        last = page();
    }
    done = true;
    writer.join();
    CHECK(last.find("firstlight_reads_total{outcome=\"ok\"} ") != std::string::npos);
    CHECK(
      has_line(page(), "firstlight_reads_total{outcome=\"ok\"} " + std::to_string(good.value())));
}

TEST_CASE_FIXTURE(served, "metrics: other paths are not found") {
    CHECK(get(exporter->port(), "/").substr(0, 13).ends_with(" 404 "));
}

TEST_CASE_FIXTURE(served, "metrics: a port in use, and addresses that are none, are errors") {
    const auto taken = "127.0.0.1:" + std::to_string(exporter->port());
    const auto second = metrics_exporter::start(all, taken);
    REQUIRE(!second.has_value());
    CHECK(second.error().code() == errc::unavailable);
    CHECK(second.error().context().find(taken) != std::string::npos);
    for (const auto* bad_address : {"", "9100", "localhost", ":", ":99999", ":80,:81", ":443s"}) {
        INFO(bad_address);
        const auto refused = metrics_exporter::start(all, bad_address);
        REQUIRE(!refused.has_value());
        CHECK(refused.error().code() == errc::invalid_argument);
    }
}
