#include "fs/estargz_footer.h"

#include "actors/buffer.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace firstlight {

namespace {

using bytes = std::span<const std::byte>;

// An empty gzip member whose header carries one extra field: 10 bytes of
// header, 2 of the field's length, the field, then a stored empty block, the
// CRC and the length (RFC 1952, 2.3).
constexpr std::size_t header_size = 12;
constexpr std::string_view empty_body("\x01\x00\x00\xff\xff\0\0\0\0\0\0\0\0", 13);
constexpr std::size_t estargz_size = 51;
constexpr std::size_t legacy_size = 47;
constexpr std::size_t external_size = 46;
static_assert(max_footer_size == estargz_size);

// The extra field of a footer of `size` bytes at the end of `tail`, if there is one.
std::optional<std::string_view> extra_field(bytes tail, std::size_t size) {
    if (tail.size() < size) {
        return std::nullopt;
    }
    const auto footer = as_text(tail.last(size));
    const auto extra = size - header_size - empty_body.size();
    // mtime, xfl and os (bytes 4 to 9) are the writer's own affair.
    if (
      !footer.starts_with("\x1f\x8b\x08\x04") || !footer.ends_with(empty_body) ||
      static_cast<unsigned char>(footer[10]) != extra || footer[11] != 0) {
        return std::nullopt;
    }
    return footer.substr(header_size, extra);
}

// The subfield `SG` (RFC 1952, 2.3.1.1) of an extra field that holds nothing else.
std::optional<std::string_view> subfield(std::string_view extra) {
    if (
      !extra.starts_with("SG") || extra.size() < 4 || extra[3] != 0 ||
      static_cast<unsigned char>(extra[2]) != extra.size() - 4) {
        return std::nullopt;
    }
    return extra.substr(4);
}

// "%016xSTARGZ"
std::optional<std::uint64_t> offset_in(std::string_view text) {
    constexpr std::size_t digits = 16;
    if (text.size() != digits + 6 || text.substr(digits) != "STARGZ") {
        return std::nullopt;
    }
    std::uint64_t value = 0;
    for (const char c : text.substr(0, digits)) {
        constexpr std::string_view hexadecimal = "0123456789abcdef";
        const auto digit = hexadecimal.find(c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c);
        if (digit == std::string_view::npos) {
            return std::nullopt;
        }
        value = value << 4 | digit;
    }
    return value;
}

result<toc_location>
located(toc_location::format kind, std::uint64_t offset, std::uint64_t footer, std::uint64_t blob) {
    const auto end = blob - footer;
    if (offset >= end) {
        return fault(
          errc::corrupt, "footer says that the TOC is at byte " + std::to_string(offset) +
                           " of a blob of " + std::to_string(blob) + " bytes");
    }
    toc_location found;
    found.kind = kind;
    found.toc_offset = offset;
    found.toc_size = end - offset;
    found.footer_size = footer;
    return found;
}

// zstd:chunked ends in a skippable frame whose last 8 bytes are one of these:
// the old magic, and that of containers/storage.
bool is_zstd_chunked(bytes tail) {
    const auto text = as_text(tail);
    return text.ends_with("GnUlInUx") || text.ends_with("GNUlInUx");
}

fault not_lazy(bytes tail) {
    if (is_zstd_chunked(tail)) {
        return {errc::unsupported, "layer is zstd:chunked, which is not supported yet"};
    }
    const auto extra = extra_field(tail, external_size);
    if (extra && subfield(*extra) == "STARGZEXTERNALTOC") {
        return {
          errc::unsupported, "layer has its TOC in another image, which is not supported yet"};
    }
    return {
      errc::unsupported,
      "layer has no eStargz footer: it is a plain archive; convert the image to mount it lazily"};
}

} // namespace

result<toc_location> parse_footer(bytes tail, std::uint64_t blob_size) {
    if (tail.size() > blob_size || tail.size() < std::min<std::uint64_t>(blob_size, estargz_size)) {
        return fault(
          errc::invalid_argument, "the last " + std::to_string(tail.size()) + " of " +
                                    std::to_string(blob_size) + " bytes are not the blob's tail");
    }
    if (const auto extra = extra_field(tail, estargz_size)) {
        const auto field = subfield(*extra);
        if (const auto offset = field ? offset_in(*field) : std::nullopt) {
            return located(toc_location::format::estargz, *offset, estargz_size, blob_size);
        }
    }
    if (const auto extra = extra_field(tail, legacy_size)) {
        if (const auto offset = offset_in(*extra)) {
            return located(toc_location::format::legacy_stargz, *offset, legacy_size, blob_size);
        }
    }
    return not_lazy(tail);
}

} // namespace firstlight
