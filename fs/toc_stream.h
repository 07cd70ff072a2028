#pragma once

#include "actors/buffer.h"
#include "actors/digest.h"
#include "actors/result.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>

namespace firstlight {

/// The JSON of a short TOC, inflated in one go. One thread.
class toc_text {
public:
    /// Nothing where the member is damaged or holds more than `max_bytes`:
    /// toc_stream takes what is long, and says what is wrong with the rest.
    static std::optional<toc_text>
    inflate(std::span<const std::byte> member, std::uint64_t max_bytes);

    /// The JSON; may be changed, and is lost then. A NUL follows it, and so much
    /// of our own memory that vector instructions may read on.
    /// Errors: as toc_stream::begin().
    result<std::span<char>> json(std::uint64_t max_json_bytes);

private:
    explicit toc_text(buffer tar, std::size_t size) noexcept
      : tar_(std::move(tar))
      , size_(size) {}

    buffer tar_; // and then some
    std::size_t size_;
};

/// The JSON of a TOC, piece by piece, out of the gzip member that holds it in a
/// tar; hashed as it passes. One thread.
class toc_stream {
public:
    /// Refuses JSON longer than `max_json_bytes` before inflating any of it.
    toc_stream(std::span<const std::byte> member, std::uint64_t max_json_bytes);
    ~toc_stream();
    toc_stream(const toc_stream&) = delete;
    toc_stream& operator=(const toc_stream&) = delete;

    /// Reads the tar's header, and returns the length of the JSON in bytes. Once,
    /// before anything else. Errors: corrupt for what is no TOC, unsupported for
    /// one that is too long.
    result<std::uint64_t> begin();
    /// The next piece, at most 64 KiB, valid until the next call; empty at the
    /// end. Errors: corrupt for a stream that is damaged or ends too early.
    result<std::span<const std::byte>> next();

    /// SHA-256 of all pieces; only at the end.
    digest finish();

private:
    struct inflater;

    std::unique_ptr<inflater> inflater_;
    hasher hasher_;
    std::uint64_t max_json_bytes_;
    std::uint64_t left_ = 0;
};

} // namespace firstlight
