#pragma once

#include "actors/lane.h"
#include "cache/chunk.h"
#include "cache/lru_map.h"

#include <unordered_map>
#include <vector>

namespace firstlight {

/// Content that is not on disk: on its way there, or, while the disk refuses
/// writes, a small cache of its own. Bounded in bytes: beyond that the least urgent
/// and least recently used is dropped first, which means only that it will not be
/// stored. Single-shard.
class unsaved_chunks {
public:
    struct item {
        digest id;
        chunk_handle content;
        lane urgency = lane::background;
    };

    explicit unsaved_chunks(std::uint64_t budget) noexcept
      : budget_(budget) {}

    chunk_handle find(const digest& id) noexcept;
    bool contains(const digest& id) const noexcept;
    /// Keeps what is not kept yet. How many were dropped for it; one chunk is
    /// always kept, whatever its size.
    std::size_t add(item i);

    bool empty() const noexcept; // nothing waits to be written
    std::uint64_t bytes() const noexcept { return bytes_; }
    /// The next ones to write, at least one if there is any; most urgent first. They
    /// stay findable until done() or put_back().
    std::vector<item> take(std::uint64_t max_bytes, std::size_t max_count);
    void done(const item& i);
    std::size_t put_back(item i);

private:
    std::size_t trim();

    const std::uint64_t budget_;
    std::uint64_t bytes_ = 0; // of waiting_ and writing_
    per_lane<lru_map<chunk_handle>> waiting_;
    std::unordered_map<digest, chunk_handle> writing_;
};

} // namespace firstlight
