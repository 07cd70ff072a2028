#pragma once

#include "actors/background.h"
#include "actors/deadline.h"
#include "actors/runtime.h"
#include "cache/chunk_cache.h"
#include "fs/fs_metrics.h"
#include "fs/layer.h"
#include "fs/layer_errors.h"
#include "net/registry_client.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace firstlight {

/// Joins the cache to the registries: makes chunks of a layer present, each
/// fetched once on the whole node, and verified before anybody sees it.
///
/// One instance per shard, used on that shard only. The cache decides who
/// fetches what; this class turns what it must fetch into as few ranges as
/// possible, and decodes.
class chunk_fetcher {
public:
    /// A chunk's position in its index's all_chunks().
    using chunk_number = std::uint32_t;

    chunk_fetcher(
      runtime& shards, shard& home, chunk_cache& cache, registry_client& registry,
      layer_errors& errors, fs_metrics& counted);
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

    /// Waits for the fetches of this shard. After the registry client's stop.
    task<void> stop() { return fills_.stop(); }
    shard& home() noexcept { return home_; }

private:
    struct piece; // a chunk that this shard must fetch, and where its bytes go
    struct run;   // pieces side by side in the blob: one range request

    task<result<std::vector<chunk_handle>>> get_once(
      layer_ptr source, std::vector<chunk_number> wanted, lane l, deadline patience,
      std::stop_token stop);
    static task<result<chunk_handle>> outcome_of(
      layer_ptr source, run& r, chunk_number wanted, deadline patience, std::stop_token stop);
    std::vector<std::shared_ptr<run>>
    begin(const layer_ptr& source, std::vector<piece> missing, lane l);
    task<void> fill(layer_ptr source, std::shared_ptr<run> r, lane l);
    task<result<void>> fetch(layer_ptr source, std::shared_ptr<run> r, lane l, deadline patience);
    task<result<void>>
    receive(layer_ptr source, std::shared_ptr<run> r, blob_stream& from, lane l, deadline patience);
    task<void> decode(
      layer_ptr source, std::shared_ptr<run> r, std::size_t from, std::size_t to,
      buffer compressed);
    void settle(const layer& source, run& r, std::size_t i, result<buffer> content);

    runtime& shards_;
    shard& home_;
    chunk_cache& cache_;
    registry_client& registry_;
    layer_errors& errors_;
    fs_metrics& counted_;
    background_tasks fills_;
};

} // namespace firstlight
