// Streams of a blob: the first six bytes say which two pieces are wanted, the
// rest is the stream. Each piece is right, or refused, whatever else was asked.

#include "actors/buffer.h"
#include "fs/gunzip.h"

#include <array>
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace firstlight;
    if (size < 6) {
        return 0;
    }
    const auto number = [data](std::size_t at) -> std::uint32_t {
        return data[at] | data[at + 1] << 8;
    };
    const auto stream = as_bytes({reinterpret_cast<const char*>(data) + 6, size - 6});
    const std::array<wanted_bytes, 2> wanted{
      wanted_bytes{number(0), data[4] * 16U}, wanted_bytes{number(2) * 64, data[5] * 256U}};
    auto both = decode_chunks(stream, wanted);
    for (std::size_t i = 0; both && i < wanted.size(); ++i) {
        auto alone = decode_chunks(stream, {&wanted[i], 1});
        // Refused alone is no fault: zlib looks at a header's checksum, libdeflate does not.
        if (alone && as_text((*alone)[0].span()) != as_text((*both)[i].span())) {
            std::abort();
        }
    }
    return 0;
}
