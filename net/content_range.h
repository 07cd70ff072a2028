#pragma once

#include "net/blob_address.h"

#include <cstdint>
#include <optional>
#include <string_view>

namespace firstlight {

/// A Content-Range header: `bytes first-last/size`, `bytes first-last/*`, or
/// `bytes */size`. Source: RFC 9110, section 14.4.
struct content_range {
    std::optional<byte_range> range; // half open; empty for "*/size"
    std::optional<std::uint64_t> size;
};

/// Nothing unless `text` is one, with first ≤ last < size and no overflow.
std::optional<content_range> parse_content_range(std::string_view text) noexcept;

} // namespace firstlight
