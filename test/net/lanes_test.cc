// The background gives way to demand, wherever on the node a process waits.

#include "test/net/net_rig.h"

using namespace firstlight;
using namespace firstlight::test;

namespace {

struct lanes_rig : net_rig {
    std::string content = pattern(3'000'000);
    digest blob = registry.add_blob(content);
    digest slow = registry.add_blob("somebody waits for this");

    /// A process that waits for the registry, for as long as the future is kept.
    std::future<result<buffer>> somebody_waits() {
        imposter_fault late;
        late.delay = 1500ms;
        registry.fail(late);
        auto waiting = reading_elsewhere(at(slow), byte_range(0, 8));
        while (registry.log().empty()) {
            std::this_thread::sleep_for(1ms);
        }
        return waiting;
    }
    /// Bytes that each request for the blob asked for.
    std::vector<std::uint64_t> asked() {
        std::vector<std::uint64_t> sizes;
        for (const auto& r : registry.log()) {
            const bool ours = r.path.find(blob.to_string()) != std::string::npos;
            if (const auto range = r.bytes(); ours && range) {
                sizes.push_back(range->second - range->first);
            }
        }
        return sizes;
    }
};

task<result<std::string>> read_around(
  registry_client& client, blob_address blob, byte_range range, std::uint64_t first,
  std::uint64_t skipped) {
    auto opened = co_await client.open(blob, range, lane::background, deadline::after(10s));
    if (!opened) {
        co_return opened.error();
    }
    auto& stream = **opened;
    buffer before(first);
    auto came = co_await stream.fill(before.span());
    if (came) {
        came = co_await stream.skip(skipped);
    }
    buffer after(stream.left());
    if (came) {
        came = co_await stream.fill(after.span());
    }
    if (!came) {
        co_return came.error();
    }
    co_return std::string(as_text(before.span())) + std::string(as_text(after.span()));
}

} // namespace

TEST_CASE_FIXTURE(lanes_rig, "while a process waits, the background asks for little at once") {
    auto waiting = somebody_waits();
    const auto got = reading(at(blob), byte_range(0, 200'000), lane::background).get();
    REQUIRE_MESSAGE(got.has_value(), got.error().context());
    CHECK(as_text(got->span()) == content.substr(0, 200'000));
    CHECK(waiting.wait_for(0s) == std::future_status::timeout);
    CHECK(asked().size() == 4);
    CHECK(std::ranges::max(asked()) <= 64 << 10);
    CHECK(waiting.get().has_value());
}

TEST_CASE_FIXTURE(lanes_rig, "demand and prefetch ask for all at once, whoever waits") {
    auto waiting = somebody_waits();
    CHECK(reading(at(blob), byte_range(0, 1'000'000)).get().has_value());
    CHECK(reading(at(blob), byte_range(0, 2'000'000), lane::prefetch).get().has_value());
    CHECK(asked() == std::vector<std::uint64_t>{1'000'000, 2'000'000});
    CHECK(waiting.get().has_value());
}

TEST_CASE_FIXTURE(lanes_rig, "once nobody waits, the background asks for all of it again") {
    CHECK(somebody_waits().get().has_value());
    std::this_thread::sleep_for(1200ms); // a process that reads on is not done yet
    CHECK(reading(at(blob), byte_range(0, 1'000'000), lane::background).get().has_value());
    CHECK(asked() == std::vector<std::uint64_t>{1'000'000});
}

TEST_CASE_FIXTURE(lanes_rig, "a fetch that demand joins is not held back any more") {
    auto waiting = somebody_waits();
    const auto joined = std::make_shared<std::atomic<bool>>(false);
    const request_lane raised(
      lane::background, [joined] { return joined->load() ? lane::demand : lane::background; });
    auto fetch = reading(at(blob), byte_range(0, 3'000'000), raised);
    while (asked().empty()) {
        std::this_thread::sleep_for(1ms);
    }
    joined->store(true);
    const auto got = fetch.get();
    REQUIRE_MESSAGE(got.has_value(), got.error().context());
    CHECK(as_text(got->span()) == content);
    CHECK(asked().size() < 20); // of 46 pieces
    CHECK(asked().back() > 1'500'000);
    CHECK(waiting.get().has_value());
}

TEST_CASE_FIXTURE(lanes_rig, "the background keeps to its limit, and nobody else has to") {
    auto limited = quick();
    limited.background_bytes_per_second = 1'000'000;
    restart(limited);
    const auto began = std::chrono::steady_clock::now();
    CHECK(reading(at(blob), byte_range(0, 500'000), lane::background).get().has_value());
    CHECK(std::chrono::steady_clock::now() - began > 350ms);
    registry.clear_log();
    CHECK(reading(at(blob), byte_range(0, 3'000'000), lane::prefetch).get().has_value());
    CHECK(asked().size() == 1);
}

TEST_CASE_FIXTURE(lanes_rig, "what is skipped is not asked for, or read and dropped if it was") {
    const auto read = [this](byte_range range, std::uint64_t first, std::uint64_t skipped) {
        return start(a, read_around(*client, at(blob), range, first, skipped)).get().value();
    };
    CHECK(
      read(byte_range(0, 3'000'000), 1000, 2'000'000) ==
      content.substr(0, 1000) + content.substr(2'001'000));
    CHECK(asked() == std::vector<std::uint64_t>{3'000'000});
    for (int i = 0; i < 20; ++i) { // or a slow answer makes for larger pieces
        REQUIRE(reading(at(blob), byte_range(0, 100), lane::demand).get().has_value());
    }
    registry.clear_log();
    auto waiting = somebody_waits();
    CHECK(
      read(byte_range(0, 200'000), 65'536, 100'000) ==
      content.substr(0, 65'536) + content.substr(165'536, 34'464));
    CHECK(asked() == std::vector<std::uint64_t>{65'536, 34'464});
    CHECK(waiting.get().has_value());
}
