#include "actors/call.h"
#include "test/rig.h"

#include <doctest/doctest.h>

#include <stdexcept>
#include <thread>

using namespace firstlight;
using test::two_shards;

namespace {

task<result<std::thread::id>> here() {
    co_return std::this_thread::get_id();
}
task<result<int>> refuses() {
    co_return fault(errc::not_found, "layer sha256:0");
}
task<result<int>> throws() {
    throw std::runtime_error("boom");
    co_return 0;
}

task<bool> there_and_back(shard& b) {
    const auto home = std::this_thread::get_id();
    const auto away = co_await call_on(b, lane::demand, here);
    co_return away.value() != home&& std::this_thread::get_id() == home;
}

task<int> thousand_hops(shard& b) {
    int sum = 0;
    for (int i = 0; i < 1000; ++i) {
        auto next = [sum]() -> task<result<int>> { co_return sum + 1; };
        auto hop = co_await call_on(b, lane::demand, std::move(next));
        sum = hop.value();
    }
    co_return sum;
}

} // namespace

TEST_CASE_FIXTURE(two_shards, "a call runs on its target and resumes at home") {
    CHECK(run(there_and_back(b)));
}

TEST_CASE_FIXTURE(two_shards, "a value survives a thousand hops") {
    CHECK(run(thousand_hops(b)) == 1000);
}

TEST_CASE_FIXTURE(two_shards, "a fault arrives as itself, an exception as errc::unknown") {
    CHECK(run(call_on(b, lane::prefetch, refuses)).error().code() == errc::not_found);
    CHECK(run(call_on(b, lane::demand, throws)).error().context() == "boom");
    CHECK(run(call_on(b, lane::demand, throws)).error().code() == errc::unknown);
}
