#include "fs/gunzip.h"

#include "test/fs/layer_rig.h"

#include <random>

namespace firstlight {

namespace {

using test::at;
using test::gzip_member;

// Bytes that compress to about their half.
std::string noise(std::size_t size, unsigned seed = 1) {
    std::mt19937 random(seed);
    std::string text(size, '\0');
    for (auto& c : text) {
        c = "0123456789abcdef"[random() % 16];
    }
    return text;
}

std::string piece(std::string_view compressed, std::uint64_t offset, std::uint32_t size) {
    const wanted_bytes wanted{offset, size};
    auto decoded = decode_chunks(as_bytes(compressed), {&wanted, 1});
    REQUIRE_MESSAGE(decoded, decoded.error().context());
    REQUIRE(decoded->size() == 1);
    return std::string(as_text(decoded->front().span()));
}

errc refusal(std::string_view compressed, std::uint64_t offset, std::uint32_t size) {
    const wanted_bytes wanted{offset, size};
    auto decoded = decode_chunks(as_bytes(compressed), {&wanted, 1});
    REQUIRE_FALSE(decoded);
    return decoded.error().code();
}

std::span<const std::byte> range(const test::estargz_blob& blob, const chunk_record& c) {
    return blob.span().subspan(c.blob_offset, c.compressed_end - c.blob_offset);
}

} // namespace

TEST_CASE("a piece of a stream is its bytes, whatever surrounds it") {
    const auto content = noise(300'000);
    const auto stream = gzip_member(content);
    CHECK(piece(stream, 0, 300'000) == content);
    CHECK(piece(stream, 0, 1000) == content.substr(0, 1000)); // far more follows: walked
    CHECK(piece(stream, 299'000, 1000) == content.substr(299'000));
    CHECK(piece(stream, 123'456, 77'777) == content.substr(123'456, 77'777));
    CHECK(piece(stream + "garbage behind", 0, 300'000) == content);
    CHECK(piece(stream, 5, 0).empty());
}

TEST_CASE("members that follow each other are one stream") {
    const auto content = noise(200'000);
    const auto stream = gzip_member(content.substr(0, 70'000)) + gzip_member("") +
                        gzip_member(content.substr(70'000, 1)) +
                        gzip_member(content.substr(70'001));
    CHECK(piece(stream, 0, 200'000) == content);
    CHECK(piece(stream, 69'999, 3) == content.substr(69'999, 3));
    CHECK(piece(stream, 199'000, 1000) == content.substr(199'000));
}

TEST_CASE("a stream whose far end is damaged still gives what comes before") {
    const auto content = noise(1'500'000);
    auto stream = gzip_member(content);
    stream[stream.size() - 6] ^= 1; // in the CRC
    CHECK(piece(stream, 0, 1'500'000) == content);
    stream.resize(stream.size() / 2);
    CHECK(piece(stream, 1000, 600'000) == content.substr(1000, 600'000));
    CHECK(refusal(stream, 0, 1'500'000) == errc::corrupt);
}

TEST_CASE("what is no stream, or too short a one, is corrupt") {
    CHECK(refusal("", 0, 1) == errc::corrupt);
    CHECK(refusal("no gzip", 0, 1) == errc::corrupt);
    CHECK(refusal(gzip_member("ten bytes!"), 0, 11) == errc::corrupt);
    CHECK(refusal(gzip_member("ten bytes!"), 2'000'000, 11) == errc::corrupt);
    CHECK(refusal(gzip_member("ten bytes!") + "x", 5, 6) == errc::corrupt);
    CHECK(refusal(gzip_member("x"), 1ULL << 40, 1) == errc::invalid_argument);
}

TEST_CASE("a stream that goes on for ever costs what is wanted of it") {
    const auto bomb = gzip_member(std::string(16 << 20, '\0')); // 16 KiB
    CHECK(piece(bomb, 0, 10) == std::string(10, '\0'));
    CHECK(piece(bomb, 1 << 20, 10) == std::string(10, '\0'));
}

TEST_CASE("every chunk of every layout decodes and verifies") {
    const auto big = noise(300'000);
    for (const std::uint64_t chunk_size : {50'000, 4 << 20}) {
        for (const std::uint64_t min_chunk_size : {0, 10'000, 10'000'000}) {
            CAPTURE(chunk_size);
            CAPTURE(min_chunk_size);
            test::estargz_builder builder(
              {.chunk_size = chunk_size, .min_chunk_size = min_chunk_size});
            builder.file("a", noise(5000, 2)).directory("d").file("d/big", big);
            builder.prefetch_landmark();
            for (int n = 0; n < 40; ++n) {
                builder.file("d/small" + std::to_string(n), noise(100 + n, n));
                builder.symlink("d/link" + std::to_string(n), "small");
            }
            const auto blob = builder.build();
            const auto i = test::opened(blob);
            std::string read;
            for (const auto& c : i->chunks(at(*i, "d/big"))) {
                auto decoded = decode_and_verify(range(blob, c), c);
                REQUIRE_MESSAGE(decoded, decoded.error().context());
                read += as_text(decoded->span());
            }
            CHECK(read == big);
            for (const auto& c : i->all_chunks()) {
                CHECK(decode_and_verify(range(blob, c), c));
            }
        }
    }
}

TEST_CASE("the chunks of a shared stream come out of one pass") {
    test::estargz_builder builder({.min_chunk_size = 1 << 20});
    for (int n = 0; n < 50; ++n) {
        builder.file("f" + std::to_string(n), noise(3000, n));
    }
    const auto blob = builder.build();
    const auto i = test::opened(blob);
    std::vector<const chunk_record*> chunks;
    for (const auto& c : i->all_chunks()) {
        CHECK(c.blob_offset == i->all_chunks()[0].blob_offset);
        chunks.push_back(&c);
    }
    const auto all = decode_and_verify(range(blob, *chunks[0]), chunks);
    REQUIRE(all.size() == 50);
    for (std::size_t n = 0; n < all.size(); ++n) {
        REQUIRE(all[n]);
        CHECK(all[n]->size() == 3000);
        CHECK(digest::of(all[n]->span()) == chunks[n]->chunk);
    }
}

TEST_CASE("a wrong chunk names both digests, and its neighbours are good") {
    test::estargz_builder builder({.min_chunk_size = 1 << 20});
    const auto blob = builder.file("a", "first").file("b", "second").file("c", "third").build();
    const auto i = test::opened(blob);
    auto wrong = i->chunks(at(*i, "b"))[0];
    const auto right = wrong.chunk;
    wrong.chunk = digest::of(as_bytes("something else"));
    const std::vector<const chunk_record*> chunks{
      &i->chunks(at(*i, "a"))[0], &wrong, &i->chunks(at(*i, "c"))[0]};
    const auto all = decode_and_verify(range(blob, wrong), chunks);
    REQUIRE(all.size() == 3);
    CHECK(all[0]);
    CHECK(all[2]);
    REQUIRE_FALSE(all[1]);
    CHECK(all[1].error().code() == errc::corrupt);
    CHECK(all[1].error().context().find(right.to_string()) != std::string::npos);
    CHECK(all[1].error().context().find(wrong.chunk.to_string()) != std::string::npos);
}

TEST_CASE("where a shared stream breaks, the chunks before are good") {
    test::estargz_builder builder({.min_chunk_size = 1 << 20});
    for (int n = 0; n < 40; ++n) {
        builder.file("f" + std::to_string(n), noise(8000, n));
    }
    const auto blob = builder.build();
    const auto i = test::opened(blob);
    std::vector<const chunk_record*> chunks;
    for (const auto number : i->by_offset()) {
        chunks.push_back(&i->all_chunks()[number]);
    }
    const auto whole = range(blob, *chunks[0]);
    const auto all = decode_and_verify(whole.first(whole.size() / 2), chunks);
    int good = 0;
    while (all[static_cast<std::size_t>(good)]) {
        ++good;
    }
    CHECK(good > 10);
    CHECK(good < 30);
    for (auto n = static_cast<std::size_t>(good); n < all.size(); ++n) {
        REQUIRE_FALSE(all[n]);
        CHECK(all[n].error().code() == errc::corrupt);
    }
}

TEST_CASE("no flipped bit of a chunk's bytes gives wrong data") {
    const auto content = noise(2000);
    const auto blob = test::estargz_builder().file("f", content).build();
    const auto i = test::opened(blob);
    const auto c = i->all_chunks()[0];
    const std::string good(as_text(range(blob, c)));
    int refused = 0;
    for (std::size_t n = 0; n < good.size(); ++n) {
        auto bad = good;
        bad[n] ^= static_cast<char>(1 << n % 8);
        auto decoded = decode_and_verify(as_bytes(bad), c);
        if (decoded) {
            CHECK(as_text(decoded->span()) == content); // the bit was behind the chunk
        } else {
            ++refused;
        }
    }
    CHECK(refused > 900);
}

} // namespace firstlight
