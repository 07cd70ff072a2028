#pragma once

#include "actors/digest.h"

#include <cstdint>
#include <functional>

namespace firstlight {

/// Names one chunk: SHA-256 of its uncompressed bytes, and how many they are.
/// The size comes from a TOC, which may lie: two keys that differ in size alone
/// are different keys, and content is only ever found under its true size.
class chunk_key {
public:
    chunk_key() noexcept = default;
    chunk_key(const digest& of, std::uint64_t bytes) noexcept
      : digest_(of)
      , size_(bytes) {}

    const digest& id() const noexcept { return digest_; }
    std::uint64_t size() const noexcept { return size_; } // bytes
    friend auto operator<=>(const chunk_key&, const chunk_key&) noexcept = default;

private:
    digest digest_;
    std::uint64_t size_ = 0;
};

} // namespace firstlight

template <>
struct std::hash<firstlight::chunk_key> {
    std::size_t operator()(const firstlight::chunk_key& k) const noexcept { return k.id().hash(); }
};
