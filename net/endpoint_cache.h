#pragma once

#include "actors/background.h"
#include "actors/deadline.h"
#include "actors/event.h"
#include "actors/result.h"
#include "actors/shard.h"
#include "net/endpoint.h"

#include <chrono>
#include <memory>
#include <string>
#include <unordered_map>

namespace firstlight {

class registry_hub;

/// The endpoints of registries, as a shard last heard of them from the hub. What is known
/// is used at once; if that is older than registry_config::hosts_interval the hub is asked
/// on the side, and what it says is for the requests after.
///
/// One per shard, an actor on it. Across suspensions: an entry has a flight while the hub is
/// being asked for it, but for one that forget() has cut off.
class endpoint_cache {
public:
    endpoint_cache(shard& home, registry_hub& hub);

    /// timed_out if the hub is asked, and does not answer before `d`; stopping; the faults of
    /// endpoints_of() and host_source.
    task<result<endpoint_list>> of(std::string registry, deadline d);
    /// The hub is asked before anything is used again.
    void forget();

    void abort() noexcept;
    /// After abort().
    task<void> stop();

private:
    struct flight {
        std::unique_ptr<result<endpoint_list>> outcome; // set when it has landed
        event landed;
    };
    struct entry {
        endpoint_list all;
        bool in_doubt = false;
        std::chrono::steady_clock::time_point asked_at{};
        std::shared_ptr<flight> flying;
    };
    void ask(const std::string& registry, entry& e);
    task<void> fly(std::string registry, std::shared_ptr<flight> mine);
    void make_room();

    registry_hub& hub_;
    std::unordered_map<std::string, entry> entries_;
    bool aborted_ = false;
    background_tasks flights_;
};

} // namespace firstlight
