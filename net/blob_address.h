#pragma once

#include "actors/digest.h"

#include <compare>
#include <cstdint>
#include <string>
#include <utility>

namespace firstlight {

/// Where a blob is to be had: a registry, a repository there, and the blob's
/// digest. A value.
class blob_address {
public:
    /// `registry` and `repository` as image_reference gives them; anything else
    /// is refused (invalid_argument) by whoever is asked to fetch it.
    blob_address(std::string registry, std::string repository, const digest& blob)
      : registry_(std::move(registry))
      , repository_(std::move(repository))
      , blob_(blob) {}

    const std::string& registry() const noexcept { return registry_; }
    const std::string& repository() const noexcept { return repository_; }
    const digest& blob() const noexcept { return blob_; }
    /// "host/repository@sha256:…", for logs and faults.
    std::string to_string() const {
        return registry_ + "/" + repository_ + "@" + blob_.to_string();
    }

    friend auto operator<=>(const blob_address&, const blob_address&) = default;

private:
    std::string registry_;
    std::string repository_;
    digest blob_;
};

/// Bytes [begin, end) of a blob.
class byte_range {
public:
    byte_range(std::uint64_t begin, std::uint64_t end) noexcept
      : begin_(begin)
      , end_(end) {}

    std::uint64_t begin() const noexcept { return begin_; }
    std::uint64_t end() const noexcept { return end_; }
    /// In bytes; 0 for an empty or inverted range.
    std::uint64_t size() const noexcept { return end_ > begin_ ? end_ - begin_ : 0; }
    friend auto operator<=>(const byte_range&, const byte_range&) = default;

private:
    std::uint64_t begin_;
    std::uint64_t end_;
};

} // namespace firstlight
