#include "test/net/net_rig.h"

#include <algorithm>
#include <atomic>

using namespace firstlight;
using namespace firstlight::test;

namespace {

task<void> nothing() {
    co_return;
}

// The imposter holds every answer back until release(): the requests it has seen
// are the connections lent.
struct pool_rig : net_rig {
    std::string content = pattern(1000);
    digest blob = registry.add_blob(content);
    std::vector<std::future<result<buffer>>> reads;

    static registry_config few_connections() {
        auto c = quick();
        c.connections = {8, 6, 2};
        return c;
    }
    pool_rig()
      : net_rig({}, few_connections()) {
        imposter_fault f;
        f.delay = 1h;
        registry.fail_always(f);
    }
    void ask(request_lane l, int times = 1) {
        for (int i = 0; i < times; ++i) {
            reads.push_back(reading(at(blob), byte_range(0, 10), l));
        }
    }
    // Waits until so many requests have arrived, and a little, for more to show.
    bool arrive(std::size_t n) {
        for (int i = 0; i < 400 && registry.log().size() < n; ++i) {
            std::this_thread::sleep_for(5ms);
        }
        std::this_thread::sleep_for(20ms);
        return registry.log().size() == n;
    }
    // Until what has been asked waits in the pool.
    void settle() {
        for (int i = 0; i < 20; ++i) {
            start(a, nothing()).get();
        }
        std::this_thread::sleep_for(20ms);
    }
    void release() {
        registry.forgive();
        registry.drop_connections(); // each is asked again, and answered now
        for (auto& each : reads) {
            CHECK(each.get().has_value());
        }
    }
};

task<void> promote(request_lane l) {
    l.promote(lane::demand);
    co_return;
}

} // namespace

TEST_CASE_FIXTURE(pool_rig, "lower lanes never hold all connections of a host") {
    ask(lane::background, 4);
    CHECK(arrive(2));
    ask(lane::prefetch, 8);
    CHECK(arrive(6));
    ask(lane::demand, 3);
    CHECK(arrive(8)); // two were never lent downwards; the third waits
    release();
    CHECK(registry.connections() <= 8 + 15);
}

TEST_CASE_FIXTURE(pool_rig, "a promoted request leaves its lane's queue") {
    ask(lane::background, 2);
    CHECK(arrive(2));
    request_lane raised(lane::background);
    ask(raised);
    CHECK(arrive(2)); // its lane is full
    start(a, promote(raised)).get();
    CHECK(arrive(3));
    release();
}

TEST_CASE_FIXTURE(pool_rig, "a request promoted while under way frees its lane's place") {
    request_lane raised(lane::background);
    ask(raised);
    ask(lane::background, 2);
    CHECK(arrive(2));
    start(a, promote(raised)).get();
    CHECK(arrive(3));
    release();
}

// One connection, so that the requests come in the order in which they were served.
TEST_CASE_FIXTURE(pool_rig, "one image's flood does not hold up another's single read") {
    auto config = quick();
    config.connections = {1, 1, 1};
    restart(config);
    for (const auto l : {lane::demand, lane::prefetch, lane::background}) {
        CAPTURE(to_string(l));
        registry.clear_log();
        registry.forgive();
        imposter_fault held_back;
        held_back.delay = 1h;
        registry.fail(held_back);
        ask(l, 50);
        CHECK(arrive(1));
        reads.push_back(reading(at(blob, "library/other"), byte_range(0, 10), l));
        settle();
        release();
        reads.clear();
        const auto seen = registry.log();
        REQUIRE(seen.size() == 52);
        const auto single = std::ranges::find_if(
          seen, [](const auto& r) { return r.path.find("/library/other/") != r.path.npos; });
        CHECK(single - seen.begin() == 1);
    }
}

TEST_CASE_FIXTURE(pool_rig, "waiting for a connection ends with the deadline") {
    ask(lane::demand, 8);
    CHECK(arrive(8));
    const auto got = read(blob, byte_range(0, 10), 50ms);
    REQUIRE(!got);
    CHECK(got.error().code() == errc::timed_out);
    CHECK(registry.log().size() == 8);
    release();
}

TEST_CASE_FIXTURE(net_rig, "idle connections are closed after their time") {
    auto config = quick();
    config.idle_timeout = 40ms;
    restart(config);
    const auto blob = registry.add_blob("content");
    CHECK(read(blob, byte_range(0, 1)).has_value());
    std::this_thread::sleep_for(120ms);
    CHECK(read(blob, byte_range(0, 1)).has_value());
    CHECK(registry.connections() == 2);
}

TEST_CASE_FIXTURE(net_rig, "warm opens connections once, and a read then needs none") {
    const auto blob = registry.add_blob("content");
    warm(blob, 3);
    warm(blob, 3);
    CHECK(read(blob, byte_range(0, 1)).has_value());
    CHECK(registry.log().size() == 1);
    CHECK(registry.connections() == 3);
    warm(blob, 100);
    CHECK(total("firstlight_registry_connections_total") == 8); // the demand limit
}

TEST_CASE_FIXTURE(net_rig, "many readers at once share a host's few connections") {
    const auto content = pattern(200'000);
    const auto blob = registry.add_blob(content);
    std::vector<std::future<result<buffer>>> reads;
    for (unsigned i = 0; i < 60; ++i) {
        const byte_range r(i * 1000, i * 1000 + 100'000);
        const auto l = i % 3 == 0 ? lane::demand : i % 3 == 1 ? lane::prefetch : lane::background;
        reads.push_back(reading(at(blob), r, l, 10s));
    }
    for (unsigned i = 0; i < 60; ++i) {
        const auto got = reads[i].get();
        REQUIRE_MESSAGE(got.has_value(), got.error().context());
        CHECK(as_text(got->span()) == content.substr(i * 1000, 100'000));
    }
    // Eight at a time; lower lanes do not take those that demand has used.
    CHECK(registry.connections() <= 16);
    // Lower lanes ask for less at once while somebody waits.
    CHECK(registry.log().size() >= 60);
    CHECK(registry.log().size() <= 20 + 40 * 2);
}
