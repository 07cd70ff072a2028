#pragma once

#include "actors/deadline.h"
#include "actors/runtime.h"
#include "fs/index_compiler.h"
#include "fs/index_store.h"
#include "net/registry_client.h"

#include <cstdint>
#include <memory>
#include <optional>

namespace firstlight {

/// A layer whose TOC has been fetched, compiled and stored. Not yet trusted:
/// whoever mounts it compares the index's TOC digest with the one the image says.
class resolved_layer {
public:
    resolved_layer() = default;
    resolved_layer(std::uint64_t blob_size, std::shared_ptr<const index> toc) noexcept
      : blob_size_(blob_size)
      , toc_(std::move(toc)) {}
    std::uint64_t blob_size() const noexcept { return blob_size_; }
    const std::shared_ptr<const index>& toc() const noexcept { return toc_; }

private:
    std::uint64_t blob_size_ = 0;
    std::shared_ptr<const index> toc_;
};

/// Finds out what a layer holds: its blob's end is fetched (size, footer and TOC
/// in one suffix range, and the rest of a long TOC in a second one), and compiled.
///
/// One per shard, used on that shard.
class layer_resolver {
public:
    layer_resolver(runtime& shards, registry_client& registry, index_store store)
      : shards_(shards)
      , registry_(registry)
      , store_(std::move(store)) {}

    /// `expected`: what the TOC must hash to, if that is known; checked before
    /// anything is compiled. Errors: those of the registry client, parse_footer and
    /// compile_index.
    task<result<resolved_layer>>
    resolve(blob_address blob, std::optional<digest> expected, lane l, deadline patience);

private:
    task<result<std::shared_ptr<const index>>>
    compile(buffer member, std::uint64_t payload_size, std::optional<digest> expected, lane l);

    runtime& shards_;
    registry_client& registry_;
    const index_store store_;
};

} // namespace firstlight
