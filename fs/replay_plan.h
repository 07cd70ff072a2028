#pragma once

#include "fs/index.h"
#include "fs/read_profile.h"

#include <cstdint>
#include <vector>

namespace firstlight {

/// Chunks side by side in the blob that are fetched in one request.
struct replay_stretch {
    std::uint32_t at_us = 0;           // when the first of them is read
    std::uint64_t bytes = 0;           // compressed
    std::vector<std::uint32_t> chunks; // numbers, in the order of the blob
};

struct replay_limits {
    /// Two streams are fetched together, with what lies between, if that is so many
    /// compressed bytes at most: the time they take on a link is below that of a request.
    std::uint64_t gap = 64 << 10;
    /// A stretch has so many compressed bytes at most, unless it is a single stream.
    std::uint64_t stretch = 1 << 20;
    /// The last stream of a stretch is read so long after the first one at most, or
    /// fetching it there would hold up what is read before.
    std::uint32_t spread_us = 1'000'000;
    /// Compressed bytes in all; what is read after so many is left out.
    std::uint64_t total = 512ULL << 20;
};

/// What to fetch, in this order, so that a start like those that `profile` knows finds
/// its chunks. Streams that the index does not have are passed over. May touch pages of
/// the index for the first time: for runtime.io(), not for a shard.
std::vector<replay_stretch>
plan_replay(const index& toc, const read_profile& profile, const replay_limits& l);

} // namespace firstlight
