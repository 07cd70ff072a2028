#include "test/net/net_rig.h"

using namespace firstlight;
using namespace firstlight::test;

namespace {

struct read_rig : net_rig {
    std::string content = pattern(1'000'000);
    digest blob = registry.add_blob(content);

    void check_read(byte_range r) {
        const auto got = read(blob, r);
        REQUIRE_MESSAGE(got.has_value(), got.error().context());
        CHECK(*got == slice(content, r));
    }
};

struct streamed {
    std::string text;
    std::size_t longest = 0;
    fault why;
};

task<streamed> stream_all(registry_client& client, blob_address blob, byte_range r) {
    streamed all;
    auto opened = co_await client.open(blob, r, lane::demand, deadline::after(5s));
    if (!opened) {
        all.why = opened.error();
        co_return all;
    }
    auto& stream = **opened;
    while (true) {
        const auto before = stream.left();
        auto part = co_await stream.next();
        if (!part) {
            all.why = part.error();
            co_return all;
        }
        if (part->empty()) {
            co_return all;
        }
        all.text += as_text(*part);
        all.longest = std::max(all.longest, part->size());
        CHECK(stream.left() == before - part->size());
    }
}

// Reads the first bytes, pauses, and reports what the server had sent by then.
task<std::uint64_t>
pause_after_open(registry_client& client, blob_address blob, registry_imposter& registry) {
    const byte_range all(0, 64 << 20);
    auto opened = co_await client.open(blob, all, lane::background, deadline::after(5s));
    REQUIRE(opened.has_value());
    auto first = co_await (*opened)->next();
    REQUIRE(first.has_value());
    (void)co_await sleep_for(100ms);
    co_return registry.bytes_sent();
}

} // namespace

TEST_CASE_FIXTURE(read_rig, "ranges are read exactly, over one connection") {
    for (const auto& r :
         {byte_range(0, 1), byte_range(999'999, 1'000'000), byte_range(0, 1'000'000),
          byte_range(12'345, 678'901), byte_range(5, 5)}) {
        check_read(r);
    }
    CHECK(registry.connections() == 1);
    CHECK(registry.log().size() == 4); // the empty one needs no request
    CHECK(registry.log()[0].range == "bytes=0-0");
    CHECK(registry.log()[0].headers.at("accept-encoding") == "identity");
    CHECK(total("firstlight_registry_bytes_total", {{"lane", "demand"}}) == 1'666'558);
    CHECK(total("firstlight_registry_requests_total", {{"class", "2xx"}}) == 4);
    CHECK(total("firstlight_registry_connections_total") == 1);
    CHECK(series.round_trip().read().total() == 4);
}

TEST_CASE_FIXTURE(read_rig, "a stream gives the range in slices, then nothing") {
    const auto got = start(a, stream_all(*client, at(blob), byte_range(1000, 900'000))).get();
    CHECK(got.text == slice(content, byte_range(1000, 900'000)));
    CHECK(got.longest <= 64 << 10);
    CHECK(registry.connections() == 1);
    check_read(byte_range(0, 10));
    CHECK(registry.connections() == 1); // the stream gave its connection back
}

TEST_CASE_FIXTURE(read_rig, "a stream that is not asked for more stops its sender") {
    const auto large = registry.add_blob(std::string(64 << 20, 'x'));
    const auto sent = start(a, pause_after_open(*client, at(large), registry)).get();
    CHECK(sent < 32 << 20); // what the kernel's buffers took
}

TEST_CASE_FIXTURE(read_rig, "a stream is resumed at the last good byte") {
    for (const std::uint64_t good : {0, 1, 70'000}) {
        registry.clear_log();
        imposter_fault f;
        f.close_after = good;
        registry.fail(f);
        const auto got = start(a, stream_all(*client, at(blob), byte_range(100, 200'000))).get();
        CHECK(got.text == slice(content, byte_range(100, 200'000)));
        REQUIRE(registry.log().size() == 2);
        CHECK(registry.log()[1].range == "bytes=" + std::to_string(100 + good) + "-199999");
    }
    CHECK(total("firstlight_registry_retries_total") == 3);
}

TEST_CASE_FIXTURE(read_rig, "chunked bodies are read like others") {
    imposter_fault f;
    f.chunked = true;
    registry.fail_always(f);
    check_read(byte_range(1, 999'999));
    f.close_after = 100'000;
    registry.forgive();
    registry.fail(f);
    check_read(byte_range(1, 999'999));
    CHECK(registry.log().back().range == "bytes=100001-999998");
}

TEST_CASE_FIXTURE(read_rig, "a whole blob in answer to a range is skipped to the range") {
    imposter_fault f;
    f.ignore_range = true;
    registry.fail_always(f);
    check_read(byte_range(500'000, 500'010));
    check_read(byte_range(0, 10));
    check_read(byte_range(999'990, 1'000'000));
}

TEST_CASE_FIXTURE(read_rig, "a whole blob too far to skip is refused") {
    auto config = quick();
    config.max_skip = 1000;
    restart(config);
    imposter_fault f;
    f.ignore_range = true;
    registry.fail_always(f);
    check_read(byte_range(1000, 1010));
    const auto got = read(blob, byte_range(1001, 1010));
    REQUIRE(!got);
    CHECK(got.error().code() == errc::unsupported);
}

TEST_CASE_FIXTURE(read_rig, "a part of the range is taken, and the rest asked for") {
    imposter_fault f;
    f.close_after = 10;
    f.content_length = 10;
    f.content_range = "bytes 100-109/1000000";
    registry.fail(f);
    check_read(byte_range(100, 200));
    CHECK(registry.log().back().range == "bytes=110-199");
}

TEST_CASE_FIXTURE(read_rig, "answers that lie are corrupt and not asked for again") {
    struct lie {
        const char* range;
        std::optional<std::uint64_t> length;
    };
    for (const auto& each :
         {lie{"none", {}}, lie{"bytes 0-9/1000000", {}}, lie{"bytes 100-199/150", {}},
          lie{"garbage", {}}, lie{"bytes 100-199/1000000", 99}}) {
        CAPTURE(each.range);
        registry.clear_log();
        imposter_fault f;
        f.content_range = each.range;
        f.content_length = each.length;
        registry.fail(f);
        const auto got = read(blob, byte_range(100, 200));
        REQUIRE(!got);
        CHECK(got.error().code() == errc::corrupt);
        CHECK(got.error().context().find(registry.host()) != std::string::npos);
        CHECK(got.error().context().find("bytes 100-199") != std::string::npos);
        CHECK(registry.log().size() == 1);
    }
}

TEST_CASE_FIXTURE(read_rig, "a range beyond the blob's end is corrupt") {
    const auto got = read(blob, byte_range(999'990, 1'000'001));
    REQUIRE(!got);
    CHECK(got.error().code() == errc::corrupt);
    CHECK(read(blob, byte_range(2'000'000, 2'000'001)).error().code() == errc::corrupt);
}

TEST_CASE_FIXTURE(read_rig, "an address that is none is refused without a request") {
    const blob_address evil(registry.host(), "x/../../y", blob);
    auto got = reading(evil, byte_range(0, 1)).get();
    REQUIRE(!got);
    CHECK(got.error().code() == errc::invalid_argument);
    const blob_address nowhere("ho st", "y", blob);
    got = reading(nowhere, byte_range(0, 1)).get();
    CHECK(got.error().code() == errc::invalid_argument);
    CHECK(registry.log().empty());
}
