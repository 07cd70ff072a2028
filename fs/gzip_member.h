#pragma once
// What both readers of gzip members need to use libdeflate.

#include <libdeflate.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <span>

namespace firstlight {

struct free_decompressor {
    void operator()(libdeflate_decompressor* d) const noexcept { libdeflate_free_decompressor(d); }
};
using gzip_decompressor = std::unique_ptr<libdeflate_decompressor, free_decompressor>;

/// Throws std::bad_alloc.
inline gzip_decompressor make_gzip_decompressor() {
    gzip_decompressor made(libdeflate_alloc_decompressor());
    if (!made) {
        throw std::bad_alloc();
    }
    return made;
}

/// The length, modulo 2^32, that the last member of `compressed` states at its end (RFC
/// 1952, ISIZE); 0 where there is no room for it. Not to be trusted.
inline std::uint32_t stated_length(std::span<const std::byte> compressed) noexcept {
    std::uint32_t stated = 0;
    if (compressed.size() >= sizeof stated) {
        std::memcpy(&stated, compressed.data() + compressed.size() - sizeof stated, sizeof stated);
    }
    return stated;
}

} // namespace firstlight
