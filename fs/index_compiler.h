#pragma once

#include "actors/buffer.h"
#include "actors/digest.h"
#include "actors/result.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace firstlight {

/// What a TOC may cost us at most. The defaults let a layer of a million files
/// through (its TOC is some 450 MB of JSON) and bound the memory of a compile
/// to about 600 MB in the worst case, 250 bytes an entry in the usual one.
struct toc_limits {
    std::uint64_t max_json_bytes = 512ULL << 20;
    std::uint32_t max_entries = 2'000'000;       // of the TOC, chunks among them
    std::uint64_t max_text_bytes = 512ULL << 20; // names, link targets and xattrs together
    std::uint32_t max_token_bytes = 1 << 20;     // one JSON string, number or run of blanks
                                                 // of a TOC too long to be held whole
    std::uint32_t max_path_bytes = 4096;         // a name as the TOC gives it
};

/// A TOC as it was fetched: the bytes and what is known about them.
struct toc_input {
    std::span<const std::byte> member; // gzip: [toc_offset, blob_size - footer_size) of the blob
    std::uint64_t payload_size = 0;    // where the chunks' data end in the blob
    std::optional<digest> expected;    // nothing: take any TOC (verification is off)
};

/// An index file's bytes, ready for index_store::put() or index::from_buffer().
struct compiled_index {
    buffer bytes;
    digest toc; // what the TOC's JSON hashes to; equals `expected` where that was given
};

/// Inflates, verifies and checks a TOC, and compiles it. The same TOC gives the
/// same bytes on every machine.
///
/// Long (50 ms for 11,000 files, some seconds for a million): for runtime.cpu(),
/// not for a shard.
/// Memory and time are bounded by `limits`, whatever the input says.
///
/// Errors: corrupt for bytes that do not match the digest, that are no TOC, or
/// that lie (offsets beyond the data, names that climb, loops of hard links, a
/// file used as a directory, ...); unsupported for what is valid but cannot be
/// mounted or verified (large files without chunk digests), or exceeds `limits`.
/// The text names the entry.
///
/// Source: stargz-snapshotter docs/estargz.md, "TOC" and "TOCEntry".
result<compiled_index> compile_index(const toc_input& input, const toc_limits& limits = {});

} // namespace firstlight
