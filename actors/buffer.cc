#include "actors/buffer.h"

#include <algorithm>

namespace firstlight {

buffer::buffer(std::size_t size)
  : bytes_(std::make_unique_for_overwrite<std::byte[]>(size))
  , size_(size) {
}

buffer buffer::copy_of(std::span<const std::byte> from) {
    buffer copy(from.size());
    std::copy(from.begin(), from.end(), copy.data());
    return copy;
}

} // namespace firstlight
