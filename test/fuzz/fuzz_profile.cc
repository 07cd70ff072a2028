// Read profiles: anything is refused or is a profile, one that can be written and
// learned from. Size and checksum are made right, so that the fuzzer gets past them.

#include "fs/read_profile.h"

#include <zlib.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace firstlight;
    auto bytes = buffer::copy_of(as_bytes({reinterpret_cast<const char*>(data), size}));
    if (size >= 20) { // checksum at 12, of all from 16 on; size at 16
        const auto length = static_cast<std::uint32_t>(size);
        std::memcpy(bytes.data() + 16, &length, sizeof length);
        const auto sum = static_cast<std::uint32_t>(::crc32(
          0, reinterpret_cast<const Bytef*>(bytes.data()) + 16, static_cast<uInt>(size - 16)));
        std::memcpy(bytes.data() + 12, &sum, sizeof sum);
    }
    auto decoded = read_profile::decode(bytes.span());
    if (!decoded) {
        return 0;
    }
    auto& profile = decoded->profile;
    if (decoded->bytes != size || as_text(profile.encode().span()) != as_text(bytes.span())) {
        std::abort();
    }
    const first_read one{42, 7};
    profile.learn({&one, 1}, "image");
    const auto written = profile.encode();
    const auto again = read_profile::decode(written.span());
    if (!again || again->profile != profile) {
        std::abort();
    }
    return 0;
}
