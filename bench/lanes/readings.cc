#include "bench/lanes/readings.h"

#include "bench/lanes/node.h"
#include "bench/lanes/processes.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>

namespace firstlight::lanes {

namespace {

double now() {
    return std::chrono::duration<double>(deadline::clock::now().time_since_epoch()).count();
}

// Of /proc/self/status, in MB.
double status_mb(const std::string& key) {
    std::ifstream file("/proc/self/status");
    std::string line;
    while (std::getline(file, line)) {
        if (line.starts_with(key + ":")) {
            return std::stod(line.substr(key.size() + 1)) * 1024e-6;
        }
    }
    return 0;
}

} // namespace

double quantile(const durations& sorted, double part) {
    if (sorted.empty()) {
        return 0;
    }
    const auto i = static_cast<std::size_t>(part * static_cast<double>(sorted.size()));
    return sorted[std::min(i, sorted.size() - 1)];
}

phase& phase::operator+=(const phase& more) {
    readers.insert(readers.end(), more.readers.begin(), more.readers.end());
    seconds += more.seconds;
    demand += more.demand;
    background += more.background;
    node_cpu += more.node_cpu;
    other_cpu += more.other_cpu;
    peak_mb = std::max(peak_mb, more.peak_mb);
    return *this;
}

durations phase::sorted() const {
    durations all;
    for (const auto& r : readers) {
        all.insert(all.end(), r.took.begin(), r.took.end());
    }
    std::ranges::sort(all);
    return all;
}

unsigned phase::failed() const {
    unsigned n = 0;
    for (const auto& r : readers) {
        n += r.failed;
    }
    return n;
}

phase_meter::phase_meter(const node& n, std::vector<pid_t> others)
  : node_(n)
  , others_(std::move(others)) {
}

double phase_meter::others_cpu() const {
    double all = 0;
    for (const auto pid : others_) {
        all += cpu_seconds(pid);
    }
    return all;
}

void phase_meter::begin() {
    std::ofstream("/proc/self/clear_refs") << 5; // VmHWM counts from here on
    demand_ = node_.received("demand");
    background_ = node_.received("background");
    node_cpu_ = cpu_seconds(::getpid());
    other_cpu_ = others_cpu();
    at_ = now();
}

double phase_meter::resident_mb() {
    return status_mb("VmRSS");
}

void phase_meter::add_to(phase& p, std::vector<readings> read) {
    p.seconds += now() - at_;
    p.demand += node_.received("demand") - demand_;
    p.background += node_.received("background") - background_;
    p.node_cpu += cpu_seconds(::getpid()) - node_cpu_;
    p.other_cpu += others_cpu() - other_cpu_;
    p.peak_mb = std::max(p.peak_mb, status_mb("VmHWM"));
    std::ranges::move(read, std::back_inserter(p.readers));
}

void print_head() {
    fmt::print("| phase | reads | p50 ms | p99 ms | p99.9 ms | demand Mbit/s | background Mbit/s | "
               "node's CPUs | registry's and link's CPUs | peak RSS MB |\n"
               "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
    std::fflush(stdout);
}

void print_row(const phase& p) {
    const auto took = p.sorted();
    const auto times = took.empty() ? std::string(" | | ")
                                    : fmt::format(
                                        "{:.1f} | {:.1f} | {:.1f}", quantile(took, 0.5),
                                        quantile(took, 0.99), quantile(took, 0.999));
    fmt::print(
      "| {} | {} | {} | {:.0f} | {:.0f} | {:.2f} | {:.2f} | {:.0f} |\n", p.name, took.size(), times,
      p.demand_mbit(), p.background_mbit(), p.node_cpu / p.seconds, p.other_cpu / p.seconds,
      p.peak_mb);
    std::fflush(stdout);
}

csv_file::csv_file(const std::string& path, std::string scenario)
  : scenario_(std::move(scenario)) {
    if (path.empty()) {
        return;
    }
    file_ = std::fopen(path.c_str(), "we");
    if (file_ == nullptr) {
        give_up("cannot write " + path);
    }
    fmt::print(file_, "scenario,phase,reader,ms\n");
}

csv_file::~csv_file() {
    if (file_ != nullptr) {
        std::fclose(file_);
    }
}

void csv_file::add(const phase& p) {
    if (file_ == nullptr) {
        return;
    }
    for (std::size_t i = 0; i < p.readers.size(); ++i) {
        for (const auto ms : p.readers[i].took) {
            fmt::print(file_, "{},\"{}\",{},{:.3f}\n", scenario_, p.name, i, ms);
        }
    }
}

} // namespace firstlight::lanes
