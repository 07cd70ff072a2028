#pragma once

#include "actors/buffer.h"
#include "actors/result.h"
#include "fs/index_format.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace firstlight {

/// A piece of what a gzip stream inflates to.
struct wanted_bytes {
    std::uint64_t inner_offset = 0;
    std::uint32_t size = 0;
};

/// Inflates one stream of a layer, and returns the wanted pieces in their order.
///
/// `compressed` starts at the stream; what follows it (more members, which are
/// followed, or garbage after the last wanted byte) does no harm. Whole members
/// go through libdeflate, what is much longer than what is wanted through zlib,
/// which stops after the last wanted byte. Allocates the pieces, and no more
/// than twice their size and 2 MiB beside them.
///
/// Takes some 3 ms per MiB: for runtime.cpu(), not for a shard, unless small.
/// Any thread. Errors: corrupt, when the stream is damaged or ends too early.
result<std::vector<buffer>>
decode_chunks(std::span<const std::byte> compressed, std::span<const wanted_bytes> wanted);

/// The chunk's bytes, verified. `compressed` is [blob_offset, compressed_end) of
/// the blob. Errors: corrupt, naming both digests when they differ.
result<buffer> decode_and_verify(std::span<const std::byte> compressed, const chunk_record& chunk);

/// As decode_and_verify for several chunks of one stream, which is inflated
/// once. An outcome each: one bad chunk does not spoil the others.
std::vector<result<buffer>> decode_and_verify(
  std::span<const std::byte> compressed, std::span<const chunk_record* const> chunks);

} // namespace firstlight
