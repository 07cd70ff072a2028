#pragma once

#include "actors/result.h"

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace firstlight {

/// A SHA-256 digest. Ordered, hashable, 32 bytes.
///
/// Source of the text form: OCI image specification, "Digests"; only the
/// registered algorithm sha256 is accepted, in lower-case hexadecimal.
class digest {
public:
    static constexpr std::size_t size = 32;

    digest() noexcept = default; // all zeros
    explicit digest(const std::array<std::byte, size>& raw) noexcept
      : raw_(raw) {}

    /// "sha256:" + 64 hexadecimal digits. invalid_argument otherwise.
    static result<digest> parse(std::string_view text);
    static digest of(std::span<const std::byte> data);

    /// "sha256:…", as parse() reads it.
    std::string to_string() const;
    /// The 64 digits alone, for file names.
    std::string hex() const;

    std::span<const std::byte, size> bytes() const noexcept { return raw_; }
    /// Uniform already: the leading eight bytes.
    std::uint64_t hash() const noexcept {
        std::uint64_t h;
        std::memcpy(&h, raw_.data(), sizeof h);
        return h;
    }
    friend auto operator<=>(const digest&, const digest&) noexcept = default;

private:
    std::array<std::byte, size> raw_{};
};

/// SHA-256 of a stream.
class hasher {
public:
    hasher();
    ~hasher();
    hasher(hasher&&) noexcept;
    hasher& operator=(hasher&&) noexcept;

    void update(std::span<const std::byte> data);
    /// The digest of all that was given; the hasher starts anew afterwards.
    digest finish();

private:
    struct context;
    std::unique_ptr<context> context_;
};

} // namespace firstlight

template <>
struct std::hash<firstlight::digest> {
    std::size_t operator()(const firstlight::digest& d) const noexcept { return d.hash(); }
};
