#pragma once
// What was measured, and how it is shown.

#include <sys/types.h>

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

namespace firstlight::lanes {

using durations = std::vector<double>; // ms

/// One reader's.
struct readings {
    durations took;
    unsigned failed = 0;
};

/// The value that `part` of `sorted` is not above; 0 if there is none.
double quantile(const durations& sorted, double part);

/// What went on while readers read, of one or several stretches of time.
struct phase {
    explicit phase(std::string n)
      : name(std::move(n)) {}

    std::string name;
    std::vector<readings> readers;
    double seconds = 0;
    std::uint64_t demand = 0;     // bytes received
    std::uint64_t background = 0; // bytes received
    double node_cpu = 0;          // seconds
    double other_cpu = 0;         // seconds of registry and link
    double peak_mb = 0;           // resident

    /// Another stretch of the same.
    phase& operator+=(const phase& more);
    /// All readers', sorted.
    durations sorted() const;
    unsigned failed() const;
    double demand_mbit() const { return static_cast<double>(demand) * 8e-6 / seconds; }
    double background_mbit() const { return static_cast<double>(background) * 8e-6 / seconds; }
};

class node;

/// Watches the node for the time of a stretch, and adds what it saw to a phase.
class phase_meter {
public:
    /// `others`: the processes that share the processors with the node.
    phase_meter(const node& n, std::vector<pid_t> others);
    void begin();
    /// Resident memory now, MB.
    static double resident_mb();
    /// Adds what went on since begin().
    void add_to(phase& p, std::vector<readings> read);

private:
    double others_cpu() const;

    const node& node_;
    const std::vector<pid_t> others_;
    double at_ = 0;
    std::uint64_t demand_ = 0;
    std::uint64_t background_ = 0;
    double node_cpu_ = 0;
    double other_cpu_ = 0;
};

/// A markdown table of phases, a row as soon as it is known.
void print_head();
void print_row(const phase& p);

/// Every read: scenario,phase,reader,ms. Nothing if `path` is empty.
class csv_file {
public:
    csv_file(const std::string& path, std::string scenario);
    ~csv_file();
    csv_file(const csv_file&) = delete;
    csv_file& operator=(const csv_file&) = delete;
    void add(const phase& p);

private:
    std::FILE* file_ = nullptr;
    const std::string scenario_;
};

} // namespace firstlight::lanes
