#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

namespace firstlight {

/// File systems allocate and free in blocks of this many bytes (or divisors of it).
inline constexpr std::uint64_t block_size = 4096;

constexpr std::uint64_t round_up(std::uint64_t n) noexcept {
    return (n + block_size - 1) / block_size * block_size;
}

/// Where in its packs a partition puts bytes, and how many it has allocated.
///
/// Packs only grow. Content of a block or more starts on a block boundary and owns
/// its last block; smaller content shares blocks and never straddles two, and such
/// a block is free when the last of its content is. So punching what release()
/// says frees exactly what was counted.
///
/// Pure arithmetic; knows no file.
class pack_space {
public:
    struct place {
        std::uint32_t pack = 0;
        std::uint64_t offset = 0;
    };
    struct hole {
        std::uint32_t pack = 0;
        std::uint64_t offset = 0;
        std::uint64_t length = 0;
    };

    /// A pack that is `pack_bytes` long takes no more.
    explicit pack_space(std::uint64_t pack_bytes) noexcept
      : pack_bytes_(pack_bytes) {}

    /// Room for `size` > 0 bytes; counted as allocated from now on.
    place put(std::uint64_t size);

    /// Content is gone. What may be punched now, if anything; call punched() when
    /// it has been.
    std::optional<hole> release(place at, std::uint64_t size);
    void punched(const hole& h);

    /// Packs without content that will get none; the caller unlinks them.
    std::vector<std::uint32_t> take_dead();

    /// Content found at start. Then resume(): nothing below `end` is free.
    void adopt(place at, std::uint64_t size);
    void resume(std::uint32_t pack, std::uint64_t end);

    std::uint64_t allocated() const noexcept { return allocated_; } // bytes
    std::size_t packs() const noexcept { return packs_.size(); }
    /// The pack with the least in it, of those that only lose content.
    std::optional<std::uint32_t> sparsest() const;

private:
    struct pack {
        std::uint64_t end = 0;
        std::uint64_t allocated = 0;
        std::uint64_t live = 0; // pieces of content
    };
    place append(std::uint64_t bytes);
    void count(std::uint32_t pack, std::uint64_t bytes);
    static std::uint64_t block_of(place at) noexcept {
        return static_cast<std::uint64_t>(at.pack) << 32 | at.offset / block_size;
    }

    const std::uint64_t pack_bytes_;
    std::map<std::uint32_t, pack> packs_;
    std::optional<std::uint32_t> current_;
    std::uint32_t next_ = 0;
    place small_;                  // the next small content goes here …
    std::uint64_t small_left_ = 0; // … if it is no longer than this
    std::unordered_map<std::uint64_t, std::uint32_t> small_live_; // by block_of
    std::vector<std::uint32_t> dead_;
    std::uint64_t allocated_ = 0;
};

} // namespace firstlight
