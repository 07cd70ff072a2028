#pragma once

#include "actors/buffer.h"
#include "actors/digest.h"
#include "actors/result.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace firstlight {

/// The first read of a compressed stream of a layer, as seen in one start of a
/// container. Plain values.
struct first_read {
    std::uint64_t stream = 0; // its offset in the blob; one or more chunks lie in it
    std::uint32_t at_us = 0;  // microseconds since the first read of the image
};

/// What starts of containers have read of one layer, in the order of the first reads:
/// a hint of what to fetch before it is asked for.
///
/// Keyed by the layer's TOC, so images that share a layer share its profile. Streams
/// are named by their offsets in the blob, which no version of the index changes. Each
/// has a weight: more with each start that read it, less with each that did not, and
/// forgotten at 0. Bounded: `max_reads` streams, `max_images` names.
class read_profile {
public:
    struct read {
        std::uint64_t stream = 0;
        std::uint32_t at_us = 0; // in the last start that read it
        std::uint32_t weight = 0;
        friend bool operator==(const read&, const read&) = default;
    };
    static constexpr std::size_t max_reads = 8192;
    static constexpr std::size_t max_images = 8;
    static constexpr std::size_t max_image_size = 512; // bytes of a name
    // A stream that was read once outlives so many starts that do not read it.
    static constexpr std::uint32_t first_weight = 4;
    static constexpr std::uint32_t more_weight = 2;
    static constexpr std::uint32_t most_weight = 8;

    read_profile() = default; // for result<>
    /// Of a layer that nobody has read yet; `blob` is its digest, for people.
    read_profile(const digest& toc, const digest& blob)
      : toc_(toc)
      , blob_(blob) {}

    /// Takes in what one start has read; the order of `seen` does not matter, and of
    /// a stream that is named twice the earlier read counts. Nothing is said about a
    /// start that read nothing.
    ///
    /// A start that read less than half as much as is known has not been seen as a
    /// whole (warm caches), or was of another kind: then nothing decays.
    void learn(std::span<const first_read> seen, const std::string& image);

    const digest& toc() const noexcept { return toc_; }
    const digest& blob() const noexcept { return blob_; }
    /// Starts taken in.
    std::uint32_t starts() const noexcept { return starts_; }
    /// By at_us, then in the order of the blob; a stream once.
    std::span<const read> reads() const noexcept { return reads_; }
    /// References of images whose starts it learned from, the latest first.
    const std::vector<std::string>& images() const noexcept { return images_; }

    /// A few bytes a read, little-endian, with a checksum. One may follow another.
    buffer encode() const;

    struct decoded;
    /// The profile that `bytes` begin with, which are anything. Bounded in time and
    /// memory by the bounds above. Errors: corrupt; unsupported for another version
    /// of the format.
    static result<decoded> decode(std::span<const std::byte> bytes);

    friend bool operator==(const read_profile&, const read_profile&) = default;

private:
    class reader;
    void add_image(const std::string& image);
    void keep_best();

    digest toc_;
    digest blob_;
    std::uint32_t starts_ = 0;
    std::vector<read> reads_;
    std::vector<std::string> images_;
};

struct read_profile::decoded {
    read_profile profile;
    std::size_t bytes = 0; // that it took
};

} // namespace firstlight
