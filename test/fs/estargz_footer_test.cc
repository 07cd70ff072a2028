#include "fs/estargz_footer.h"

#include "actors/buffer.h"
#include "test/estargz_builder.h"
#include "test/result_text.h"

#include <doctest/doctest.h>

#include <string>

namespace firstlight {

namespace {

result<toc_location> parsed(std::string_view tail, std::uint64_t blob_size) {
    return parse_footer(as_bytes(tail), blob_size);
}

errc refusal(std::string_view tail, std::uint64_t blob_size) {
    auto found = parsed(tail, blob_size);
    REQUIRE_FALSE(found);
    return found.error().code();
}

} // namespace

TEST_CASE("an eStargz footer says where the TOC is") {
    const auto footer = test::estargz_footer(1234);
    CHECK(footer.size() == 51);
    auto found = parsed(footer, 2000);
    REQUIRE(found);
    CHECK(found->kind == toc_location::format::estargz);
    CHECK(found->toc_offset == 1234);
    CHECK(found->toc_size == 2000 - 51 - 1234);
    CHECK(found->footer_size == 51);
    CHECK(found->payload_size() == 1234);
}

TEST_CASE("a legacy stargz footer is four bytes shorter") {
    const auto footer = test::estargz_footer(1234, true);
    CHECK(footer.size() == 47);
    auto found = parsed("....." + footer, 2000);
    REQUIRE(found);
    CHECK(found->kind == toc_location::format::legacy_stargz);
    CHECK(found->toc_size == 2000 - 47 - 1234);
}

TEST_CASE("more of the tail than the footer does no harm") {
    CHECK(parsed(std::string(4000, 'x') + test::estargz_footer(10), 5000)->toc_offset == 10);
}

TEST_CASE("a footer that points outside of the blob is corrupt") {
    CHECK(refusal(test::estargz_footer(2000 - 51), 2000) == errc::corrupt); // no room for a TOC
    CHECK(refusal(test::estargz_footer(2000), 2000) == errc::corrupt);
    CHECK(refusal(test::estargz_footer(~0ULL), 2000) == errc::corrupt);
    CHECK(refusal("...." + test::estargz_footer(1 << 20, true), 2000) == errc::corrupt);
    CHECK(parsed(test::estargz_footer(2000 - 52), 2000)->toc_size == 1);
}

TEST_CASE("what cannot be mounted lazily is named") {
    const auto text_of = [](std::string_view tail) {
        auto found = parsed(tail, 5000);
        REQUIRE_FALSE(found);
        CHECK(found.error().code() == errc::unsupported);
        return found.error().context();
    };
    const std::string pad(60, '\0');
    CHECK(text_of(pad + "GnUlInUx").find("zstd:chunked") != std::string::npos);
    CHECK(text_of(pad + "GNUlInUx").find("zstd:chunked") != std::string::npos);
    const std::string external = std::string("\x1f\x8b\x08\x04\0\0\0\0\0\xff\x15\0SG\x11\0", 16) +
                                 "STARGZEXTERNALTOC" +
                                 std::string("\x01\x00\x00\xff\xff\0\0\0\0\0\0\0\0", 13);
    CHECK(external.size() == 46);
    CHECK(text_of(pad + external).find("TOC in another image") != std::string::npos);
    CHECK(text_of(test::gzip_member(pad) + pad).find("plain archive") != std::string::npos);
}

TEST_CASE("blobs smaller than a footer are plain archives") {
    CHECK(refusal("", 0) == errc::unsupported);
    CHECK(refusal("abc", 3) == errc::unsupported);
}

TEST_CASE("a tail that cannot be the blob's is the caller's mistake") {
    CHECK(refusal("abc", 2000) == errc::invalid_argument);
    CHECK(refusal(test::estargz_footer(0), 20) == errc::invalid_argument);
}

TEST_CASE("no change of one byte of a footer is taken for another place") {
    const auto good = test::estargz_footer(0x12345);
    for (std::size_t i = 0; i < good.size(); ++i) {
        for (const char to : {'\0', '\x7f', 'g', 'S', '\xff'}) {
            auto bad = good;
            bad[i] = to;
            auto found = parsed(bad, 1 << 20);
            // Digits are the offset, and bytes 4 to 9 mean nothing.
            const bool may = (i >= 4 && i < 10) || bad == good;
            CHECK(found.has_value() == may);
        }
    }
}

} // namespace firstlight
