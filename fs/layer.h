#pragma once

#include "actors/digest.h"
#include "actors/metrics.h"
#include "fs/index.h"
#include "net/blob_address.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace firstlight {

/// A mounted lazy layer: the directory `number` of the FUSE mount. Immutable but
/// for what it counts, and shared by all shards; a layer that gains a source is
/// replaced by a copy.
class layer {
public:
    layer(
      std::uint32_t number, digest blob, std::uint64_t blob_size, std::shared_ptr<const index> toc,
      std::vector<blob_address> sources, std::shared_ptr<counter> fetched)
      : number_(number)
      , blob_(blob)
      , blob_size_(blob_size)
      , index_(std::move(toc))
      , sources_(std::move(sources))
      , fetched_(std::move(fetched)) {}

    std::uint32_t number() const noexcept { return number_; }
    const digest& blob() const noexcept { return blob_; }
    /// Compressed bytes, footer included.
    std::uint64_t blob_size() const noexcept { return blob_size_; }
    const firstlight::index& toc() const noexcept { return *index_; }
    std::shared_ptr<const firstlight::index> shared_toc() const noexcept { return index_; }
    /// The same blob in the repositories it is known to be in; never empty.
    const std::vector<blob_address>& sources() const noexcept { return sources_; }

    /// The name that entry `e` is first found under, for messages.
    std::string path_of(entry_id e) const;

    /// Compressed bytes of chunks that were fetched for this layer, by any shard.
    counter& fetched() const noexcept { return *fetched_; }

private:
    const std::uint32_t number_;
    const digest blob_;
    const std::uint64_t blob_size_;
    const std::shared_ptr<const firstlight::index> index_;
    const std::vector<blob_address> sources_;
    const std::shared_ptr<counter> fetched_; // goes on in a copy with more sources
};

using layer_ptr = std::shared_ptr<const layer>;

} // namespace firstlight
