#pragma once
// What the tests of the formats share: a layer compiled and opened, and a walk by path.

#include "actors/buffer.h"
#include "fs/index.h"
#include "fs/index_compiler.h"
#include "test/estargz_builder.h"
#include "test/result_text.h"

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace firstlight::test {

inline result<compiled_index> compile(const estargz_blob& blob, const toc_limits& limits = {}) {
    toc_input input;
    input.member = blob.toc_member();
    input.payload_size = blob.toc_offset;
    input.expected = blob.toc;
    return compile_index(input, limits);
}

/// The index of a layer that must be good.
inline std::shared_ptr<const index> opened(const estargz_blob& blob) {
    auto compiled = compile(blob);
    REQUIRE_MESSAGE(compiled, compiled.error().context());
    auto made = index::from_buffer(std::move(compiled->bytes));
    REQUIRE_MESSAGE(made, made.error().context());
    return *made;
}

inline std::shared_ptr<const index> opened(const estargz_builder& builder) {
    return opened(builder.build());
}

inline std::optional<entry_id> look_up(const index& i, std::string_view path) {
    entry_id at = 0;
    while (!path.empty()) {
        const auto slash = path.find('/');
        const auto next = i.find(at, path.substr(0, slash));
        if (!next) {
            return std::nullopt;
        }
        at = *next;
        path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    }
    return at;
}

/// The entry at `path`, which must be there.
inline entry_id at(const index& i, std::string_view path) {
    const auto found = look_up(i, path);
    REQUIRE_MESSAGE(found, path);
    return *found;
}

inline std::vector<std::string> names(const index& i, entry_id directory) {
    std::vector<std::string> all;
    for (std::uint32_t n = 0; n < i.child_count(directory); ++n) {
        all.emplace_back(i.child(directory, n).name);
    }
    return all;
}

/// The fault of a TOC with these entries (JSON text), which must be refused.
/// The layer's data end at byte 1000.
inline fault refusal(std::string_view entries, const toc_limits& limits = {}) {
    const auto member = toc_member_of("{\"version\":1,\"entries\":[" + std::string(entries) + "]}");
    toc_input input;
    input.member = as_bytes(member);
    input.payload_size = 1000;
    auto compiled = compile_index(input, limits);
    REQUIRE_FALSE(compiled);
    return compiled.error();
}

} // namespace firstlight::test
