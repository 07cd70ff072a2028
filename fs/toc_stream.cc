#include "fs/toc_stream.h"

#include "fs/gzip_member.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace firstlight {

namespace {

constexpr std::size_t piece_size = 64 << 10;
constexpr std::size_t tar_block = 512;
constexpr std::size_t vector_bytes = 64; // the longest stride of a vector instruction

fault corrupt_toc(std::string_view why) {
    return fault(errc::corrupt, std::string(why)).in("layer's TOC");
}

fault ends_early() {
    return corrupt_toc("gzip stream is damaged or ends too early");
}

std::string_view field(std::string_view block, std::size_t offset, std::size_t size) {
    auto text = block.substr(offset, size);
    return text.substr(0, text.find('\0'));
}

std::optional<std::uint64_t> octal(std::string_view text) {
    while (text.starts_with(' ')) {
        text.remove_prefix(1);
    }
    while (text.ends_with(' ')) {
        text.remove_suffix(1);
    }
    std::uint64_t value = 0; // at most 12 digits: 36 bits
    for (const char c : text) {
        if (c < '0' || c > '7') {
            return std::nullopt;
        }
        value = value << 3 | static_cast<unsigned>(c - '0');
    }
    return text.empty() ? std::nullopt : std::optional(value);
}

// POSIX ustar: the sum of the header's bytes with the sum itself as blanks.
bool sum_matches(std::string_view block) {
    const auto stated = octal(field(block, 148, 8));
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < block.size(); ++i) {
        sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(block[i]);
    }
    return stated == sum;
}

// What the tar's first header says of the JSON's length.
result<std::uint64_t> json_size(std::string_view header, std::uint64_t max_json_bytes) {
    if (field(header, 0, 100) != "stargz.index.json" || !sum_matches(header)) {
        return corrupt_toc("first file of the tar is not stargz.index.json");
    }
    const char type = header[156];
    const auto size = octal(field(header, 124, 12));
    if ((type != '0' && type != '\0') || !size) {
        return corrupt_toc("stargz.index.json has no usable tar header");
    }
    if (*size > max_json_bytes) {
        return fault(
          errc::unsupported, "layer's TOC has " + std::to_string(*size) +
                               " bytes of JSON, more than " + std::to_string(max_json_bytes));
    }
    return *size;
}

} // namespace

std::optional<toc_text>
toc_text::inflate(std::span<const std::byte> member, std::uint64_t max_bytes) {
    const auto stated = stated_length(member);
    if (stated < tar_block || stated > max_bytes) {
        return std::nullopt;
    }
    const auto decompressor = make_gzip_decompressor();
    buffer tar(stated + vector_bytes);
    std::memset(tar.data() + stated, 0, vector_bytes);
    std::size_t made = 0;
    const auto outcome = libdeflate_gzip_decompress(
      decompressor.get(), member.data(), member.size(), tar.data(), stated, &made);
    if (outcome != LIBDEFLATE_SUCCESS || made != stated) {
        return std::nullopt;
    }
    return toc_text(std::move(tar), stated);
}

result<std::span<char>> toc_text::json(std::uint64_t max_json_bytes) {
    auto* const begin = reinterpret_cast<char*>(tar_.data());
    const auto size = json_size(std::string_view(begin, tar_block), max_json_bytes);
    if (!size) {
        return size.error();
    }
    if (*size > size_ - tar_block) {
        return ends_early();
    }
    begin[tar_block + *size] = '\0';
    return std::span(begin + tar_block, *size);
}

struct toc_stream::inflater {
    explicit inflater(std::span<const std::byte> member)
      : left(member) {
        // 16: a gzip header, nothing else.
        if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK) {
            throw std::bad_alloc();
        }
    }
    ~inflater() { inflateEnd(&z); }
    inflater(const inflater&) = delete;
    inflater& operator=(const inflater&) = delete;

    // Exactly `size` bytes of output, or nothing if the member does not have them.
    std::optional<std::span<const std::byte>> take(std::size_t size) {
        z.next_out = reinterpret_cast<Bytef*>(out.data());
        z.avail_out = static_cast<uInt>(size);
        while (z.avail_out > 0) {
            const auto step = std::min<std::size_t>(left.size(), std::numeric_limits<uInt>::max());
            z.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(left.data()));
            z.avail_in = static_cast<uInt>(step);
            const int state = inflate(&z, Z_NO_FLUSH);
            left = left.subspan(step - z.avail_in);
            if (state != Z_OK && !(state == Z_STREAM_END && z.avail_out == 0)) {
                return std::nullopt;
            }
        }
        return std::span<const std::byte>(out).first(size);
    }

    z_stream z{};
    std::span<const std::byte> left;
    std::array<std::byte, piece_size> out;
};

toc_stream::toc_stream(std::span<const std::byte> member, std::uint64_t max_json_bytes)
  : inflater_(std::make_unique<inflater>(member))
  , max_json_bytes_(max_json_bytes) {
}

toc_stream::~toc_stream() = default;

result<std::uint64_t> toc_stream::begin() {
    const auto block = inflater_->take(tar_block);
    if (!block) {
        return corrupt_toc("is no gzip stream of a tar; the blob is damaged or its footer lies");
    }
    auto size = json_size(as_text(*block), max_json_bytes_);
    left_ = size ? *size : 0;
    return size;
}

result<std::span<const std::byte>> toc_stream::next() {
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, piece_size));
    if (size == 0) {
        return std::span<const std::byte>();
    }
    const auto piece = inflater_->take(size);
    if (!piece) {
        return ends_early();
    }
    left_ -= size;
    hasher_.update(*piece);
    return *piece;
}

digest toc_stream::finish() {
    return hasher_.finish();
}

} // namespace firstlight
