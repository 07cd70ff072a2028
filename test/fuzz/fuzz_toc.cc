// Footers and TOCs: whatever the bytes are, compiling them ends, within limits,
// and what compiles opens. The first byte says what follows it: 'B' a whole
// blob, anything else the JSON of a TOC.

#include "actors/buffer.h"
#include "fs/estargz_footer.h"
#include "fs/index_compiler.h"
#include "test/estargz_builder.h"
#include "test/fuzz/walk.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

namespace firstlight {

namespace {

void compile(std::span<const std::byte> member, std::uint64_t payload_size) {
    toc_limits limits;
    limits.max_json_bytes = 4 << 20;
    limits.max_entries = 2000;
    limits.max_text_bytes = 1 << 20;
    toc_input input;
    input.member = member;
    input.payload_size = payload_size;
    auto compiled = compile_index(input, limits);
    if (!compiled) {
        return;
    }
    auto opened = index::from_buffer(std::move(compiled->bytes));
    if (!opened) {
        std::abort();
    }
    test::walk(**opened);
}

void blob(std::span<const std::byte> bytes) {
    const auto tail = bytes.last(std::min(bytes.size(), max_footer_size));
    const auto toc = parse_footer(tail, bytes.size());
    if (toc) {
        compile(bytes.subspan(toc->toc_offset, toc->toc_size), toc->payload_size());
    }
}

} // namespace
} // namespace firstlight

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace firstlight;
    const auto bytes = as_bytes({reinterpret_cast<const char*>(data), size});
    if (size > 0 && data[0] == 'B') {
        blob(bytes.subspan(1));
    } else if (size > 0) {
        const auto member = test::toc_member_of(as_text(bytes.subspan(1)), 0);
        compile(as_bytes(member), 1 << 20);
    }
    return 0;
}
