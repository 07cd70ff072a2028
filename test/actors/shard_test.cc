#include "actors/runtime.h"
#include "actors/slice.h"
#include "test/rig.h"

#include <doctest/doctest.h>

#include <string>

using namespace firstlight;
using test::start;

namespace {

// Queues `n` handlers in each lane before any can run, and records their order.
task<std::string> order_of(shard& s, int n) {
    std::string order;
    for (int i = 0; i < n; ++i) {
        asio::post(s.on(lane::background), [&order] { order += 'b'; });
        asio::post(s.on(lane::prefetch), [&order] { order += 'p'; });
        asio::post(s.on(lane::demand), [&order] { order += 'd'; });
    }
    while (order.size() < static_cast<std::size_t>(3 * n)) {
        co_await yield();
    }
    co_return order;
}

} // namespace

TEST_CASE("an earlier lane runs first, and a later one is never starved") {
    shard s{0};
    s.start();
    const auto order = start(s, order_of(s, 100)).get();
    s.stop();
    // Lower lanes get a share before demand has been served in full ...
    CHECK(order.find('p') < order.rfind('d'));
    CHECK(order.find('b') < order.rfind('d'));
    // ... but demand is through while most of the others still wait.
    const auto demand_done = order.substr(0, order.rfind('d'));
    CHECK(std::count(demand_done.begin(), demand_done.end(), 'p') < 50);
    CHECK(std::count(demand_done.begin(), demand_done.end(), 'b') < 20);
}

TEST_CASE("a foreign thread's work runs on the shard's thread") {
    shard s{3};
    s.start();
    std::promise<unsigned> ran_on;
    asio::post(s.on(lane::demand), [&] { ran_on.set_value(shard::current()->id()); });
    CHECK(ran_on.get_future().get() == 3);
    CHECK(shard::current() == nullptr);
    s.stop();
}

TEST_CASE("a runtime has the shards asked for and maps a hash to one of them") {
    runtime r({.shards = 3, .pin = true, .io_threads = 2, .cpu_threads = 2});
    r.start();
    CHECK(r.size() == 3);
    CHECK(&r.shard_of(7) == &r.at(1));
    CHECK(&r.shard_of(7) == &r.shard_of(7));
    r.stop();
}
