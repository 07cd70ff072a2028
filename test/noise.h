#pragma once

#include <cstddef>
#include <string>

namespace firstlight::test {

/// Bytes that do not compress, and that nothing but `seed` decides.
inline std::string noise(std::size_t size, unsigned seed) {
    std::string text(size, '\0');
    for (auto& c : text) {
        seed = seed * 1664525 + 1013904223;
        c = static_cast<char>(seed >> 24);
    }
    return text;
}

} // namespace firstlight::test
