#pragma once

#include "actors/background.h"
#include "actors/runtime.h"
#include "fs/chunk_fetcher.h"
#include "fs/layer.h"

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

namespace firstlight {

/// Fetches layers ahead of their readers, in the order of the blob: what will probably
/// be read in the prefetch lane, and then all of it in the background lane.
///
/// Layers of a lane take turns, a stretch each, so that a small one is not stuck behind
/// a big one; stretches are spread over the shards. Demand does not stop it: the lanes
/// of what it asks for see to that. A stretch that fails is tried again later, for as
/// long as its layer is mounted.
///
/// Everything will be fetched, so the order is free, and what lies near to what a
/// process waits for comes first: a program's files lie together. Where it reads again
/// and again, what follows at once is even expected, and prefetched.
///
/// Lives on shard 0.
class layer_filler {
public:
    struct options {
        // Compressed bytes asked for at once.
        std::uint64_t prefetch_stretch = 1 << 20;
        std::uint64_t background_stretch = 4 << 20;
        // Stretches under way at a time, of all layers.
        unsigned prefetch_at_once = 4;
        unsigned background_at_once = 4;
        unsigned near_at_once = 4; // besides
        // Compressed bytes behind and before what was read that come first.
        std::uint64_t near_behind = 1 << 20;
        std::uint64_t near_before = 512 << 10;
        std::uint64_t expected_behind = 256 << 10; // of these, where there is a second read
    };

    layer_filler(
      runtime& shards, std::vector<std::unique_ptr<chunk_fetcher>>& fetchers, fs_metrics& counted,
      options o);
    ~layer_filler();

    /// Fetches the chunks of `l` that begin before blob offset `prefetch_end`, and then,
    /// if `whole`, the rest. While that goes on, a second call may add the rest, and
    /// nothing else.
    void fill(layer_ptr l, std::uint64_t prefetch_end, bool whole);
    /// A process waits for what lies at `blob_offset` of a layer: what is near comes next,
    /// if the whole layer is to be fetched.
    void attend(std::uint32_t number, std::uint64_t blob_offset);
    /// Waits until what fill() was to prefetch of the layer is here. True also when
    /// there is nothing to wait for: it failed and is tried again later, or the layer
    /// is gone. False at `until`, and when `stop` is requested on shard 0.
    task<bool> prefetched(std::uint32_t number, deadline until, std::stop_token stop);
    /// Begins nothing more for the layer.
    void forget(std::uint32_t number);
    /// After the registry clients' stop.
    task<void> stop();

private:
    struct job;
    struct vicinity;
    using job_ptr = std::shared_ptr<job>;

    void attend_block(const job_ptr& j, std::uint64_t number, lane l);
    job_ptr job_of(std::uint32_t number) const noexcept; // null: there is none
    bool prefetching(std::uint32_t number) const noexcept;
    void enter(job_ptr j);
    unsigned most_at_once(lane l) const noexcept;
    void serve(lane l);
    task<void> work(lane l, std::stop_token stop);
    job_ptr next(lane l);
    task<void> fetch_stretch(job_ptr j, std::stop_token stop);
    task<void> fetch_near(lane l);
    task<bool> fetch(const job_ptr& j, std::vector<std::uint32_t> chunks, lane l);
    void retry_later(job_ptr j, std::size_t from);
    void end(const job_ptr& j);

    runtime& shards_;
    std::vector<std::unique_ptr<chunk_fetcher>>& fetchers_; // by shard id
    fs_metrics& counted_;
    const options options_;
    per_lane<std::deque<job_ptr>> waiting_;
    per_lane<unsigned> working_{};
    per_lane<std::deque<vicinity>> near_; // the latest first
    std::vector<job_ptr> jobs_;           // all that have not ended
    event prefetch_over_;                 // of some layer, whatever the outcome
    unsigned next_fetcher_ = 0;
    background_tasks tasks_;
};

} // namespace firstlight
