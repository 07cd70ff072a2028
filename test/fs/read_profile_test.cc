#include "fs/read_profile.h"

#include "test/result_text.h"

#include <doctest/doctest.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <string>

namespace firstlight {

namespace {

const digest toc = digest::of(as_bytes("toc"));
const digest blob = digest::of(as_bytes("blob"));

read_profile fresh() {
    return {toc, blob};
}

std::vector<first_read> reads_of(std::uint64_t first, std::uint64_t count) {
    std::vector<first_read> all;
    for (std::uint64_t i = 0; i < count; ++i) {
        all.push_back({(first + i) * 1000, static_cast<std::uint32_t>(i)});
    }
    return all;
}

const read_profile::read* find(const read_profile& p, std::uint64_t stream) {
    const auto found = std::ranges::find(p.reads(), stream, &read_profile::read::stream);
    return found == p.reads().end() ? nullptr : &*found;
}

std::string text_of(const read_profile& p) {
    return std::string(as_text(p.encode().span()));
}

errc refusal(std::string_view bytes) {
    const auto decoded = read_profile::decode(as_bytes(bytes));
    REQUIRE_FALSE(decoded);
    CHECK(decoded.error().context().starts_with("read profile: "));
    return decoded.error().code();
}

// A profile whose checksum, in bytes 12 to 15, is right whatever was done to it.
std::string lying(std::string bytes, std::size_t at, std::uint32_t number) {
    std::memcpy(bytes.data() + at, &number, sizeof number);
    const auto* checked = reinterpret_cast<const Bytef*>(bytes.data()) + 16;
    const auto sum =
      static_cast<std::uint32_t>(::crc32(0, checked, static_cast<uInt>(bytes.size() - 16)));
    std::memcpy(bytes.data() + 12, &sum, sizeof sum);
    return bytes;
}

} // namespace

TEST_CASE("read profile: it is in the order of the reads, whatever order they are told in") {
    auto p = fresh();
    p.learn(std::vector<first_read>{{500, 30}, {900, 10}, {100, 20}, {700, 10}}, "app");
    std::vector<std::uint64_t> order;
    for (const auto& r : p.reads()) {
        order.push_back(r.stream);
    }
    CHECK(order == std::vector<std::uint64_t>{700, 900, 100, 500});
    CHECK(p.starts() == 1);
}

TEST_CASE("read profile: of a stream that is named twice the earlier read counts") {
    auto p = fresh();
    p.learn(std::vector<first_read>{{500, 30}, {500, 3}, {500, 60}}, "app");
    REQUIRE(p.reads().size() == 1);
    CHECK(p.reads()[0].at_us == 3);
}

TEST_CASE("read profile: a start that reads nothing says nothing") {
    auto p = fresh();
    p.learn({}, "app");
    CHECK(p == fresh());
}

TEST_CASE("read profile: the last start says when a stream is read") {
    auto p = fresh();
    p.learn(std::vector<first_read>{{100, 1}, {200, 2}}, "app");
    p.learn(std::vector<first_read>{{100, 9}, {200, 3}}, "app");
    CHECK(p.reads()[0].stream == 200);
    CHECK(p.reads()[1].at_us == 9);
}

TEST_CASE("read profile: what is not read any more is forgotten, what was read often later") {
    auto p = fresh();
    p.learn(reads_of(0, 10), "app");
    p.learn(reads_of(0, 9), "app"); // 9000 is not read again, the others twice
    unsigned starts = 1;
    while (find(p, 9000) != nullptr) {
        p.learn(reads_of(100, 10), "app");
        ++starts;
    }
    CHECK(starts == read_profile::first_weight);
    REQUIRE(find(p, 1000) != nullptr);
    while (find(p, 1000) != nullptr) {
        p.learn(reads_of(100, 10), "app");
        ++starts;
    }
    CHECK(starts == 1 + read_profile::first_weight + read_profile::more_weight);
    CHECK(p.reads().size() == 10);
    CHECK(find(p, 100'000)->weight <= read_profile::most_weight);
}

TEST_CASE("read profile: a start that was seen in part lets nothing decay, but is learned from") {
    auto p = fresh();
    p.learn(reads_of(0, 100), "app");
    for (int i = 0; i < 20; ++i) {
        p.learn(reads_of(90, 20), "app"); // ten of the hundred, and ten more
    }
    CHECK(p.reads().size() == 110);
    CHECK(find(p, 0)->weight == read_profile::first_weight);
    CHECK(find(p, 95'000)->weight == read_profile::most_weight);
    CHECK(find(p, 105'000) != nullptr);
}

TEST_CASE("read profile: over the bound, what is read often and early stays") {
    auto p = fresh();
    p.learn(reads_of(0, 10), "app");
    p.learn(reads_of(0, 10), "app");
    p.learn(reads_of(100, read_profile::max_reads), "app");
    CHECK(p.reads().size() == read_profile::max_reads);
    CHECK(find(p, 9000) != nullptr); // late, but read often
    CHECK(find(p, 100'000) != nullptr);
    CHECK(find(p, (100 + read_profile::max_reads - 1) * 1000) == nullptr);
}

TEST_CASE("read profile: it knows the last images that it learned from") {
    auto p = fresh();
    for (int i = 0; i < 12; ++i) {
        p.learn(reads_of(0, 1), "image-" + std::to_string(i));
    }
    p.learn(reads_of(0, 1), "image-7");
    CHECK(p.images().size() == read_profile::max_images);
    CHECK(p.images()[0] == "image-7");
    CHECK(p.images()[1] == "image-11");
    CHECK(std::ranges::count(p.images(), "image-7") == 1);
    p.learn(reads_of(0, 1), "not\x1b[2Ja name");
    p.learn(reads_of(0, 1), std::string(read_profile::max_image_size + 1, 'x'));
    CHECK(p.images()[0] == "image-7");
}

TEST_CASE("read profile: what is written is read again, and what follows it is left") {
    auto p = fresh();
    SUBCASE("empty") {
    }
    SUBCASE("small") {
        p.learn(reads_of(5, 7), "docker.io/library/app:1");
        p.learn(reads_of(6, 7), "docker.io/library/app:2");
    }
    SUBCASE("as large as it gets") {
        for (std::size_t i = 0; i < read_profile::max_images; ++i) {
            p.learn(
              reads_of(0, read_profile::max_reads),
              std::string(read_profile::max_image_size, static_cast<char>('a' + i)));
        }
    }
    const auto written = text_of(p);
    const auto decoded = read_profile::decode(as_bytes(written + "more"));
    REQUIRE_MESSAGE(decoded, decoded.error().context());
    CHECK(decoded->profile == p);
    CHECK(decoded->bytes == written.size());
    CHECK(written.size() < 140'000);
}

TEST_CASE("read profile: any byte changed, or any number of them missing, is found") {
    auto p = fresh();
    p.learn(reads_of(0, 3), "app");
    const auto good = text_of(p);
    for (std::size_t i = 0; i < good.size(); ++i) {
        CAPTURE(i);
        auto bad = good;
        bad[i] ^= 1;
        CHECK(refusal(bad) == (i >= 8 && i < 12 ? errc::unsupported : errc::corrupt));
        CHECK(refusal(good.substr(0, i)) == errc::corrupt);
    }
}

TEST_CASE("read profile: one that lies under a right checksum is refused") {
    auto p = fresh();
    p.learn(std::vector<first_read>{{1000, 5}, {2000, 6}, {3000, 6}}, "app");
    const auto good = text_of(p);
    // Header: 20 starts, 24 reads, 28 images. Reads of 16 bytes from 96 on: 0 stream,
    // 8 time, 12 weight. Then the name: a length of two bytes, and the bytes.
    REQUIRE(good.size() == 96 + 3 * 16 + 2 + 3);
    CHECK(read_profile::decode(as_bytes(lying(good, 20, 7))).value().profile.starts() == 7);
    const std::pair<std::size_t, std::uint32_t> lies[] = {
      {16, 95},                         // shorter than its header
      {16, 0xffffffff},                 // longer than there is
      {24, 2},                          // fewer reads than there are
      {24, 4},                          // more
      {24, 0xffffffff},                 // more than there may be
      {28, 0},                          // a name too many
      {28, 2},                          // one too few
      {28, 0xffffffff},                 //
      {96 + 8, 7},                      // out of order
      {96 + 16, 1000},                  // a stream twice
      {96 + 12, 0},                     // of no weight
      {96 + 12, 9},                     // of too much
      {96 + 48, 0x61610000},            // a name of no bytes
      {96 + 48, 0x61610002},            // of fewer than there are
      {96 + 48, 0x6161ffff},            // of more
      {96 + 48 + 1, 0x1b616100 | 0x00}, // that no terminal should get
    };
    for (const auto& [at, number] : lies) {
        CAPTURE(at);
        CAPTURE(number);
        CHECK(refusal(lying(good, at, number)) == errc::corrupt);
    }
}

} // namespace firstlight
