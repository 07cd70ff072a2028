#pragma once

#include "actors/background.h"
#include "actors/deadline.h"
#include "actors/event.h"
#include "actors/runtime.h"
#include "fs/layer.h"
#include "fs/read_profile.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

namespace firstlight {

/// Notes which chunks the first container of an image reads, and in what order.
///
/// The layers of an image are watched together, from their mount on; the clock starts
/// with the first read of any of them, and when the window ends each layer's reads go to
/// the sink. That is once per mount: later starts are hidden by the kernel's page cache.
///
/// Lives on shard 0, but for note(). Invariant across suspensions: a layer is in a group
/// exactly while it is watched, or about to be.
class read_recorder {
public:
    struct options {
        std::chrono::milliseconds window{10'000}; // an hour at most
    };
    struct recording {
        layer_ptr of;
        std::string image;
        std::vector<first_read> reads; // not empty; in no order
    };
    /// Called on shard 0; must not wait.
    using sink = std::function<void(recording)>;

    read_recorder(runtime& shards, options o, sink to);
    ~read_recorder();

    /// From now on reads of the layer are noted. `image` tells which layers belong
    /// together.
    task<void> watch(layer_ptr l, std::string image);
    /// When the first read of a watched image was; waits for it until `until`, or until
    /// `stop` is requested. Nothing if there was none, or if its window has ended.
    task<std::optional<deadline::clock::time_point>>
    started(std::string image, deadline until, std::stop_token stop);
    /// The layer goes: what was noted is handed on now.
    task<void> finish(std::uint32_t number);
    /// Hands on what was noted, and ends. Reads may go on.
    task<void> stop();

    /// These chunks of `l` are being read. Any shard; costs next to nothing where
    /// nothing is watched, and no more than a look into a table otherwise.
    void note(const layer& l, std::span<const chunk_record> chunks) {
        if (auto& local = here(); !local.watched.empty()) {
            note_watched(local, l, chunks);
        }
    }

private:
    using clock = std::chrono::steady_clock;
    struct noted {
        std::uint64_t stream = 0;
        clock::time_point at;
    };
    struct watched_layer {
        std::uint64_t group = 0;
        bool told = false; // shard 0 knows that it is being read
        std::map<std::uint64_t, clock::time_point> streams;
    };
    struct per_shard {
        explicit per_shard(shard& home)
          : tasks(home) {}
        std::map<std::uint32_t, watched_layer> watched; // by layer number
        background_tasks tasks;
    };
    struct group { // the layers of one image
        std::uint64_t id = 0;
        std::string image;
        std::vector<layer_ptr> layers;
        bool began = false;
        clock::time_point start;
    };

    per_shard& here() noexcept { return *state_[shard::current()->id()]; }
    void note_watched(per_shard& local, const layer& l, std::span<const chunk_record> chunks);
    task<void> tell(std::uint64_t group, clock::time_point at);
    void begin(std::uint64_t id, clock::time_point at);
    task<void> end_later(std::uint64_t id, std::stop_token stop);
    task<void> collect(group g);
    task<void> collect_layer(const group& g, layer_ptr l);
    task<std::vector<noted>> take(std::uint32_t number);
    bool in_a_group(std::uint32_t number) const;

    runtime& shards_;
    const options options_;
    const sink sink_;
    std::vector<std::unique_ptr<per_shard>> state_; // by shard id
    std::vector<group> groups_;
    std::uint64_t last_group_ = 0;
    event begun_; // of some group, or its end
    background_tasks tasks_;
};

} // namespace firstlight
