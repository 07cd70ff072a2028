#include "actors/background.h"
#include "actors/deadline.h"
#include "actors/event.h"
#include "test/rig.h"

#include <doctest/doctest.h>

using namespace firstlight;
using namespace std::chrono_literals;
using test::start;
using test::two_shards;

namespace {

task<int> wait_until(event& changed, const int& value, int wanted) {
    int wakes = 0;
    while (value < wanted) {
        co_await changed.wait();
        ++wakes;
    }
    co_return wakes;
}

task<void> bump(event& changed, int& value) {
    ++value;
    changed.notify_all();
    co_return;
}

task<bool> wait_briefly(event& never) {
    co_return co_await never.wait_for(1ms);
}

task<bool> wait_unless_stopped(event& never, std::stop_token stop) {
    co_return co_await never.wait_for(1h, std::move(stop));
}

task<bool> request_stop(std::stop_source source) {
    co_return source.request_stop();
}

task<void> until_stopped(std::stop_token stop, int& ended) {
    co_await sleep_for(1h, stop);
    ++ended;
}

task<int> stop_of_three() {
    int ended = 0;
    background_tasks tasks(*shard::current());
    for (int i = 0; i < 3; ++i) {
        tasks.spawn("waits", lane::background, [&ended](std::stop_token stop) {
            return until_stopped(std::move(stop), ended);
        });
    }
    co_await tasks.stop();
    tasks.spawn("too late", lane::background, [&ended](std::stop_token stop) {
        return until_stopped(std::move(stop), ended);
    });
    co_return tasks.running() == 0 ? ended : -1;
}

task<int> stop_with_a_failure() {
    background_tasks tasks(*shard::current());
    tasks.spawn("fails", lane::prefetch, [](std::stop_token) -> task<void> {
        throw std::runtime_error("as the test wants");
        co_return;
    });
    co_await tasks.stop();
    co_return static_cast<int>(tasks.running());
}

} // namespace

TEST_CASE_FIXTURE(two_shards, "notify_all wakes every waiter, and each tests its condition") {
    event changed;
    int value = 0;
    auto first = start(a, wait_until(changed, value, 1));
    auto second = start(a, wait_until(changed, value, 2));
    start(a, bump(changed, value)).get();
    CHECK(first.get() == 1);
    start(a, bump(changed, value)).get();
    CHECK(second.get() == 2);
}

TEST_CASE("event: a wait ends when it is stopped, be it before or meanwhile") {
    two_shards s;
    event never;
    std::stop_source source;
    auto meanwhile = start(s.a, wait_unless_stopped(never, source.get_token()));
    CHECK(s.run(request_stop(source)));
    CHECK_FALSE(meanwhile.get());
    CHECK_FALSE(s.run(wait_unless_stopped(never, source.get_token())));
    CHECK(never.waiters() == 0);
}

TEST_CASE_FIXTURE(two_shards, "a wait that nobody ends, ends with its patience") {
    event never;
    CHECK_FALSE(start(a, wait_briefly(never)).get());
    CHECK(never.waiters() == 0);
}

TEST_CASE_FIXTURE(two_shards, "a sleep ends early when asked to stop") {
    std::stop_source source;
    auto sleeping = start(a, sleep_for(1h, source.get_token()));
    asio::post(a.on(lane::demand), [&] { source.request_stop(); });
    CHECK(sleeping.get().error().code() == errc::stopping);
    CHECK(start(a, sleep_for(1ms)).get().has_value());
}

TEST_CASE_FIXTURE(two_shards, "stopping background tasks ends them all and admits no more") {
    CHECK(start(a, stop_of_three()).get() == 3);
}

TEST_CASE_FIXTURE(two_shards, "a background task that throws does not take its owner along") {
    CHECK(start(a, stop_with_a_failure()).get() == 0);
}
