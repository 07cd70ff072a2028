// Index files: what opens can be read whole. Size and checksum are made right,
// so that the fuzzer gets past them.

#include "fs/index.h"
#include "test/fuzz/walk.h"

#include <cstdint>
#include <cstring>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace firstlight;
    auto bytes = buffer::copy_of(as_bytes({reinterpret_cast<const char*>(data), size}));
    if (size >= sizeof(index_format::header)) {
        index_format::header h;
        std::memcpy(&h, bytes.data(), sizeof h);
        h.magic = index_format::magic;
        h.version = index_format::version;
        h.file_size = size;
        std::memcpy(bytes.data(), &h, sizeof h);
        h.checksum = index_format::checksum(bytes.span());
        std::memcpy(bytes.data(), &h, sizeof h);
    }
    if (auto opened = index::from_buffer(std::move(bytes))) {
        test::walk(**opened);
    }
    return 0;
}
