#pragma once

#include "actors/runtime.h"
#include "cache/chunk_cache.h"
#include "cache/chunk_owner.h"
#include "cache/chunk_store.h"
#include "cache/handle_table.h"

#include <memory>
#include <vector>

namespace firstlight {

/// The parts of a chunk_cache; apart from it because tickets refer to it weakly.
class cache_core : public std::enable_shared_from_this<cache_core> {
public:
    cache_core(runtime& shards, metrics& m, chunk_cache_options o);

    // All that lives on one shard. Aligned, so that shards do not share lines.
    struct alignas(64) part {
        part(cache_core& core, shard& home);
        handle_table table;
        chunk_store store;
        chunk_owner owner;
    };

    task<result<void>> start();
    task<void> stop();
    /// Who hears of a flight that is raised; may be null.
    using told_ptr = std::shared_ptr<const raise_listener>;
    task<result<std::vector<lookup_answer>>>
    lookup(std::vector<chunk_key> keys, lane l, told_ptr told);
    task<result<chunk_handle>> wait(chunk_key key, lane l, deadline until, std::stop_token stop);
    void land(std::shared_ptr<flight_link> link, result<chunk_handle> outcome);

    /// This shard's part; nullptr on a foreign thread.
    part* here() noexcept;
    /// A partition and all its chunks belong to one shard. With more than 64 shards
    /// the ones above own nothing.
    unsigned owner_of(const digest& id) const noexcept { return partition_of(id) % shards.size(); }

    runtime& shards;
    const chunk_cache_options options;
    cache_metrics counters;

private:
    result<void> take_directory();
    task<result<std::vector<lookup_answer>>>
    gather(std::vector<chunk_key> keys, lane l, told_ptr told);
    task<result<std::vector<lookup_answer>>>
    ask(unsigned owner, std::vector<chunk_key> keys, lane l, told_ptr told);
    task<void> unpin(std::vector<digest> ids);
    chunk_store::settings settings_of(unsigned shard) const noexcept;

    std::vector<std::unique_ptr<part>> parts_;
    std::unique_ptr<backing_file> lock_;
};

} // namespace firstlight
