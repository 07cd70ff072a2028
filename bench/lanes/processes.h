#pragma once
// What stands around the node, in processes of their own: neither their memory nor their
// processor time is the node's.

#include "bench/lanes/blob_server.h"
#include "bench/lanes/layers.h"
#include "bench/lanes/settings.h"

#include <sys/types.h>

#include <string>
#include <vector>

namespace firstlight::lanes {

/// Makes layers and serves them, until this object goes.
class registry_process {
public:
    /// Forks, so before any thread is started; returns when all layers are made.
    explicit registry_process(const std::vector<layer_plan>& plans);
    ~registry_process();
    registry_process(const registry_process&) = delete;
    registry_process& operator=(const registry_process&) = delete;

    const std::string& host() const noexcept { return host_; }
    pid_t pid() const noexcept { return pid_; }
    /// In the order of the plans.
    const std::vector<layer_outline>& layers() const noexcept { return layers_; }
    traffic asked() const;

private:
    void meet(std::size_t layers);

    pid_t pid_ = -1;
    int wire_ = -1; // to the process: a byte is a question, its end is the end
    std::string host_;
    std::vector<layer_outline> layers_;
};

/// test/link/linkproxy in front of `to`, until this object goes.
class link_process {
public:
    link_process(const settings& s, const std::string& to);
    ~link_process();
    link_process(const link_process&) = delete;
    link_process& operator=(const link_process&) = delete;

    const std::string& host() const noexcept { return host_; }
    pid_t pid() const noexcept { return pid_; }

private:
    pid_t pid_ = -1;
    std::string host_;
};

/// Seconds of processor time that a process has used so far.
double cpu_seconds(pid_t pid);

} // namespace firstlight::lanes
