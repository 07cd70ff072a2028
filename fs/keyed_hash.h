#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string_view>

namespace firstlight {

/// A hash of text under a secret drawn for each object, so that nobody can make
/// up names that collide and so slow a table down. Only for tables in memory.
class keyed_hash {
public:
    keyed_hash() {
        std::random_device from;
        seed_ = std::uint64_t{from()} << 32 | from();
    }

    std::size_t operator()(std::string_view text, std::uint64_t salt = 0) const noexcept {
        // Both factors of each product hold the secret, as in wyhash.
        const std::uint64_t secret = seed_ ^ 0xd6e8feb86659fd93;
        std::uint64_t state = mix(salt ^ seed_, 0x9e3779b97f4a7c15 ^ (seed_ << 1));
        for (std::size_t at = 0; at < text.size(); at += 8) {
            std::uint64_t word = 0;
            std::memcpy(&word, text.data() + at, std::min<std::size_t>(8, text.size() - at));
            state = mix(state ^ word, secret + at);
        }
        return mix(state ^ text.size(), secret);
    }

private:
    static std::uint64_t mix(std::uint64_t a, std::uint64_t b) noexcept {
        __extension__ using wide = unsigned __int128;
        const auto product = static_cast<wide>(a) * b;
        return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
    }

    std::uint64_t seed_ = 0;
};

} // namespace firstlight
