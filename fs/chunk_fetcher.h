#pragma once

#include "actors/background.h"
#include "actors/deadline.h"
#include "actors/memory_budget.h"
#include "actors/runtime.h"
#include "cache/chunk_cache.h"
#include "fs/fetch_run.h"
#include "fs/fs_metrics.h"
#include "fs/layer.h"
#include "fs/layer_errors.h"
#include "net/registry_client.h"

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

namespace firstlight {

/// Joins the cache to the registries: makes chunks of a layer present, each
/// fetched once on the whole node, and verified before anybody sees it.
///
/// One instance per shard, used on that shard only. The cache decides who
/// fetches what; this class turns what it must fetch into as few ranges as
/// possible, and decodes. What that takes in buffers is bounded: at the bound, a
/// fetch stops reading, those of the lower lanes first.
class chunk_fetcher {
public:
    /// A chunk's position in its index's all_chunks().
    using chunk_number = std::uint32_t;
    /// Bytes of one shard's buffers in flight.
    static constexpr std::uint64_t default_memory = 64 << 20;

    chunk_fetcher(
      runtime& shards, shard& home, chunk_cache& cache, registry_client& registry,
      layer_errors& errors, fs_metrics& counted, std::uint64_t memory_bytes = default_memory);
    ~chunk_fetcher();

    /// The chunks `wanted`, in that order. Those that are missing are fetched in
    /// lane `l`, and whatever shares a compressed stream with them. The first fault
    /// ends the call, and so does `stop`, requested on this shard; what was begun goes
    /// on for others. Errors: corrupt, timed_out, interrupted, and those of the
    /// registry client.
    task<result<std::vector<chunk_handle>>> get(
      layer_ptr source, std::vector<chunk_number> wanted, lane l, deadline patience,
      std::stop_token stop = {});

    /// Has what is missing of `wanted` fetched in lane `l`, and returns when that is
    /// done; chunks that somebody else is fetching are left to him. False if some could
    /// not be had: nobody's loss, who reads them will try again.
    task<bool> prefetch(layer_ptr source, std::vector<chunk_number> wanted, lane l);
    /// The same, for a caller on another shard.
    task<bool> prefetch_from_elsewhere(layer_ptr source, std::vector<chunk_number> wanted, lane l);

    /// Waits for the fetches of this shard. After the registry client's stop.
    task<void> stop() { return fills_.stop(); }
    shard& home() noexcept { return home_; }
    /// Of this shard's buffers in flight; also for those that replies are made in.
    memory_budget& memory() noexcept { return memory_; }

private:
    using pieces = std::vector<fetch_piece_ptr>;
    using run_ptr = std::shared_ptr<fetch_run>;

    struct claim;
    struct arrival;
    task<result<claim>> look_up(layer_ptr source, std::vector<chunk_number> asked, lane l);
    task<result<std::vector<chunk_handle>>> get_once(
      layer_ptr source, std::vector<chunk_number> wanted, lane l, deadline patience,
      std::stop_token stop);
    static task<result<chunk_handle>>
    landed(layer_ptr source, fetch_piece_ptr mine, deadline patience, std::stop_token stop);

    void begin(const layer_ptr& source, pieces missing, lane l);
    void raised(const chunk_key& key);
    void fetch_urgent_apart(const layer_ptr& source, const run_ptr& r);
    task<void> fill(layer_ptr source, run_ptr r);
    task<result<void>> fetch(layer_ptr source, run_ptr r, deadline patience);
    task<result<void>> receive(layer_ptr source, run_ptr r, blob_stream& from);
    task<void> decode(layer_ptr source, run_ptr r, std::shared_ptr<arrival> came);
    void settle(const layer& source, fetch_piece& p, result<buffer> content);

    struct flying { // a piece that has not landed
        layer_ptr source;
        run_ptr in;
    };

    runtime& shards_;
    shard& home_;
    chunk_cache& cache_;
    registry_client& registry_;
    layer_errors& errors_;
    fs_metrics& counted_;
    const std::shared_ptr<const raise_listener> listener_;
    std::unordered_map<chunk_key, flying> flying_;
    memory_budget memory_;
    background_tasks fills_;
};

} // namespace firstlight
