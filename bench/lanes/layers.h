#pragma once
// Layers for the benchmark: eStargz as a converter makes it, of seeded noise.

#include "actors/digest.h"

#include <cstdint>
#include <string>

namespace firstlight::lanes {

inline constexpr std::uint64_t file_size = 64 << 10;

/// What goes into a layer. Equal plans make equal layers.
struct layer_plan {
    unsigned files = 0;     // of file_size, each one chunk
    unsigned megabytes = 0; // in place of them, one file of so many, in 4 MiB chunks
    // Compressed to about half, as by gzip -6, so that decoding costs something; else
    // stored, so that it costs no more than the digests.
    bool packed = false;
    std::uint64_t seed = 0;
};

/// What must be known of a layer to mount it.
struct layer_outline {
    digest blob;
    std::uint64_t size = 0;
    std::uint64_t payload_size = 0;
    std::string toc_member;
};

/// A layer and its bytes, in a file that lives in memory.
struct made_layer {
    layer_outline outline;
    int bytes = -1; // a descriptor, the caller's to close
};

made_layer make_layer(const layer_plan& plan);

} // namespace firstlight::lanes
