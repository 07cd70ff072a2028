#pragma once

#include "actors/result.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace firstlight {

/// Where a layer's table of contents is, as its footer says.
///
/// Nothing in a footer is trusted: it only tells where to look, and what is
/// found there must match the TOC digest.
struct toc_location {
    enum class format { estargz, legacy_stargz };
    format kind = format::estargz;
    std::uint64_t toc_offset = 0; // of the gzip member that holds the TOC
    std::uint64_t toc_size = 0;   // bytes from there to the footer; never 0
    std::uint64_t footer_size = 0;

    /// End of the chunks' data in the blob.
    std::uint64_t payload_size() const noexcept { return toc_offset; }
};

/// The largest footer we read; ask for at least this many bytes of the blob's end.
inline constexpr std::size_t max_footer_size = 51;

/// Finds the TOC by `tail`, the last bytes of a blob of `blob_size` bytes
/// (max_footer_size of them or more, or the whole of a smaller blob).
///
/// Errors: unsupported for the formats we cannot mount lazily (zstd:chunked,
/// external TOC, a plain archive), each named; corrupt for a footer that points
/// outside of the blob. Pure; any thread.
///
/// Source: stargz-snapshotter docs/estargz.md, "Footer"; CRFS for the legacy one.
result<toc_location> parse_footer(std::span<const std::byte> tail, std::uint64_t blob_size);

} // namespace firstlight
