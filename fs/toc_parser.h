#pragma once

#include "actors/digest.h"
#include "actors/result.h"
#include "fs/index_compiler.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace firstlight {

/// One entry of a TOC as its JSON says it, types checked and nothing else.
///
/// Source: stargz-snapshotter docs/estargz.md, "TOCEntry".
struct toc_entry {
    enum class kind { none, directory, regular, symlink, hardlink, character, block, fifo, chunk };

    kind type = kind::none;
    std::string name;
    std::string link_name;
    std::int64_t size = 0;
    std::int64_t mtime = 0; // 0 where the TOC gives none
    std::int64_t mode = 0;
    std::int64_t uid = 0;
    std::int64_t gid = 0;
    std::int64_t device_major = 0;
    std::int64_t device_minor = 0;
    std::int64_t offset = 0;
    std::int64_t inner_offset = 0;
    std::int64_t chunk_offset = 0;
    std::int64_t chunk_size = 0; // 0: to the end of the file
    std::optional<digest> file_digest;
    std::optional<digest> chunk_digest;
    std::vector<std::pair<std::string, std::string>> xattrs; // in the TOC's order, decoded

    /// As new, but keeps its memory.
    void clear();
};

/// Called with each entry in the TOC's order; a fault ends the parse.
using toc_entry_sink = std::function<result<void>(const toc_entry&)>;

/// Parses the TOC in the gzip member `input.member` while it inflates, and
/// returns the digest of its JSON, which matched input.expected if that was given.
/// Errors as compile_index().
result<digest>
parse_toc(const toc_input& input, const toc_limits& limits, const toc_entry_sink& sink);

/// `text` for an error message: shortened, with what is not ASCII print as "?".
std::string printable(std::string_view text);

/// Seconds since 1970 of an RFC 3339 time; fractions are dropped.
std::optional<std::int64_t> parse_rfc3339(std::string_view text);

} // namespace firstlight
