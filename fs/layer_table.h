#pragma once

#include "actors/runtime.h"
#include "fs/layer.h"

#include <map>
#include <vector>

namespace firstlight {

/// The mounted layers, as every shard sees them: one table per shard, kept equal
/// by messages, so that a request finds its layer without a hop or a lock.
class layer_table {
public:
    using view = std::map<std::uint32_t, layer_ptr>;

    explicit layer_table(runtime& shards);

    /// This shard's table. Only on a shard, and not across a suspension.
    const view& here() const noexcept;
    /// The layer `number` in this shard's table, or null.
    layer_ptr find(std::uint32_t number) const noexcept;

    /// Enters or replaces `l` on every shard; when it returns, all of them know.
    /// From any shard; calls about one number do not overlap (shard 0 makes them).
    task<result<void>> insert(layer_ptr l);
    task<result<void>> remove(std::uint32_t number);

private:
    runtime& shards_;
    std::vector<view> views_; // by shard id; each touched by its own shard only
};

} // namespace firstlight
