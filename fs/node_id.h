#pragma once

#include "fs/index.h"

#include <cstdint>

namespace firstlight {

/// A FUSE node id, and the inode number that stat(2) shows: a pure function of
/// (layer number, index entry), so that a restarted daemon can answer for ids
/// that the kernel learned from its predecessor.
///
///   63        32 31         0
///   [ layer     ] [ entry    ]     layer ≥ 1; 1 alone is the root of the mount
class node_id {
public:
    static constexpr std::uint64_t mount_root = 1; // FUSE_ROOT_ID
    // Above every entry of an index, of which there are far fewer than 2^32.
    static constexpr entry_id state_directory = 0xffff'fff0;
    static constexpr entry_id state_file = 0xffff'fff1;

    explicit constexpr node_id(std::uint64_t raw) noexcept
      : raw_(raw) {}
    constexpr node_id(std::uint32_t layer, entry_id entry) noexcept
      : raw_(std::uint64_t{layer} << 32 | entry) {}

    constexpr std::uint64_t raw() const noexcept { return raw_; }
    constexpr std::uint32_t layer() const noexcept {
        return static_cast<std::uint32_t>(raw_ >> 32);
    }
    constexpr entry_id entry() const noexcept { return static_cast<entry_id>(raw_); }
    constexpr bool is_mount_root() const noexcept { return raw_ == mount_root; }
    constexpr bool is_state() const noexcept {
        return layer() != 0 && (entry() == state_directory || entry() == state_file);
    }

private:
    std::uint64_t raw_;
};

} // namespace firstlight
