#pragma once

#include "actors/lane.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>

namespace firstlight {

/// On whose behalf a request is, and how many bytes it asks for.
class flow_claim {
public:
    flow_claim() = default;
    flow_claim(std::string f, std::uint64_t b)
      : flow(std::move(f))
      , bytes(b) {}

    std::string flow;
    std::uint64_t bytes = 0;
};

/// Whose turn it is among flows (images) that want the same few connections, so that
/// one's flood of requests does not hold up another's single one.
///
/// Fair by bytes, as requests are of very different sizes: start-time fair queueing. Each
/// flow's next request begins where its last one's bytes ended, in a time that counts
/// bytes, but not before the time at which everybody is; the earliest goes first. A flow
/// that has just come is served next. Besides, while others wait, who holds more than an
/// even share of the connections comes after those who do not.
/// Source: Goyal, Vin, Cheng, "Start-time fair queuing", SIGCOMM 1996.
///
/// Lanes are accounted for apart. Pure arithmetic, single-threaded.
class flow_turns {
public:
    class flow {
    public:
        explicit flow(std::string name)
          : name_(std::move(name)) {}

    private:
        friend class flow_turns;
        std::string name_;
        unsigned present_ = 0; // requests, waiting or served
        unsigned served_ = 0;
        per_lane<std::uint64_t> paid_until_{};
    };

    /// One more request of the flow called `name`: waiting.
    flow& enter(const std::string& name);
    /// One that waited gives up.
    void give_up(flow& f);
    /// One that waited gets what it waited for, which is good for `bytes`.
    void serve(flow& f, lane l, std::uint64_t bytes);
    /// One that was served has ended.
    void end(flow& f);

    /// The least goes first, of those in lane `l`. `places`: what there is to be had.
    std::pair<bool, std::uint64_t> rank(const flow& f, lane l, unsigned places) const noexcept;

    std::size_t flows() const noexcept { return flows_.size(); }

private:
    void forget(flow& f);

    std::unordered_map<std::string, flow> flows_;
    std::size_t active_ = 0;  // flows with requests
    std::size_t waiting_ = 0; // requests
    per_lane<std::uint64_t> now_{};
};

} // namespace firstlight
