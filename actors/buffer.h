#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

namespace firstlight {

/// Owned bytes of a fixed size, not initialised. Move-only.
class buffer {
public:
    buffer() noexcept = default;
    explicit buffer(std::size_t size);
    static buffer copy_of(std::span<const std::byte> from);

    std::byte* data() noexcept { return bytes_.get(); }
    const std::byte* data() const noexcept { return bytes_.get(); }
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    std::span<std::byte> span() noexcept { return {bytes_.get(), size_}; }
    std::span<const std::byte> span() const noexcept { return {bytes_.get(), size_}; }

private:
    std::unique_ptr<std::byte[]> bytes_;
    std::size_t size_ = 0;
};

/// Immutable once shared, so any shard may read it.
using shared_buffer = std::shared_ptr<const buffer>;

inline std::string_view as_text(std::span<const std::byte> b) noexcept {
    return {reinterpret_cast<const char*>(b.data()), b.size()};
}
inline std::span<const std::byte> as_bytes(std::string_view s) noexcept {
    return {reinterpret_cast<const std::byte*>(s.data()), s.size()};
}

} // namespace firstlight
