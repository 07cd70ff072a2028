#pragma once

#include "actors/digest.h"
#include "actors/result.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace firstlight {

/// The JSON of a TOC, piece by piece, out of the gzip member that holds it in a
/// tar; hashed as it passes and never held whole. One thread.
class toc_stream {
public:
    /// Refuses JSON longer than `max_json_bytes` before inflating any of it.
    toc_stream(std::span<const std::byte> member, std::uint64_t max_json_bytes);
    ~toc_stream();
    toc_stream(const toc_stream&) = delete;
    toc_stream& operator=(const toc_stream&) = delete;

    /// The next piece, at most 64 KiB, valid until the next call; empty at the
    /// end. Errors: corrupt for a stream that is no TOC, unsupported for one
    /// that is too long.
    result<std::span<const std::byte>> next();

    /// SHA-256 of all pieces; only at the end.
    digest finish();

private:
    struct inflater;

    result<void> read_tar_header();

    std::unique_ptr<inflater> inflater_;
    hasher hasher_;
    std::uint64_t max_json_bytes_;
    std::uint64_t left_ = 0;
    bool started_ = false;
};

} // namespace firstlight
