#pragma once

#include "actors/log.h"
#include "bench/lanes/node.h"
#include "bench/lanes/processes.h"
#include "test/temporary_directory.h"

#include <optional>
#include <string>
#include <vector>

namespace firstlight::lanes {

/// What all scenarios have: a registry with layers, and the link to it. Made before
/// anything that starts a thread.
class stage {
public:
    stage(const settings& s, const std::vector<layer_plan>& plans)
      : registry_(plans)
      , host_(registry_.host()) {
        if (s.rate_mbit > 0) {
            link_.emplace(s, registry_.host());
            host_ = link_->host();
        }
        // That a dead host is dead is no news.
        log::start(s.scenario == "dead" ? log::level::error : log::level::warn);
    }

    /// Where the node finds the registry.
    const std::string& host() const noexcept { return host_; }
    const registry_process& registry() const noexcept { return registry_; }
    /// What shares the processors with the node.
    std::vector<pid_t> processes() const {
        std::vector<pid_t> all(1, registry_.pid());
        if (link_) {
            all.push_back(link_->pid());
        }
        return all;
    }

private:
    registry_process registry_;
    std::optional<link_process> link_;
    std::string host_;
};

/// A node and the directory of its cache.
struct fresh_node {
    test::temporary_directory disk;
    node itself{disk.path()};
};

/// So many layers with `files` small files in all.
std::vector<layer_plan> plan_files(unsigned files, std::uint64_t seed);
/// How many files readers can read in `seconds` at most.
unsigned files_for(const settings& s, double seconds);

} // namespace firstlight::lanes
