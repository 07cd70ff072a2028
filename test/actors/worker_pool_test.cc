#include "actors/worker_pool.h"
#include "test/rig.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <atomic>
#include <stdexcept>

using namespace firstlight;
using test::start;
using test::two_shards;

namespace {

task<bool> runs_elsewhere(worker_pool& pool) {
    const auto home = std::this_thread::get_id();
    auto where = []() -> result<std::thread::id> { return std::this_thread::get_id(); };
    const auto away = co_await pool.run(lane::demand, std::move(where));
    co_return away.value() != home&& std::this_thread::get_id() == home;
}

task<result<int>> throws_there(worker_pool& pool) {
    auto boom = []() -> result<int> { throw std::runtime_error("boom"); };
    co_return co_await pool.run(lane::demand, std::move(boom));
}

task<result<int>> block_until(worker_pool& pool, lane l, std::atomic<bool>& open) {
    auto work = [&open]() -> result<int> {
        open.wait(false);
        return 1;
    };
    co_return co_await pool.run(l, std::move(work));
}

void release(std::atomic<bool>& open) {
    open = true;
    open.notify_all();
}

task<result<int>> niceness_in(worker_pool& pool, lane l) {
    auto work = []() -> result<int> { return ::getpriority(PRIO_PROCESS, 0); };
    co_return co_await pool.run(l, std::move(work));
}

} // namespace

TEST_CASE_FIXTURE(two_shards, "pool work runs on a pool thread and its caller resumes at home") {
    worker_pool pool("test", 2);
    CHECK(run(runs_elsewhere(pool)));
}

TEST_CASE_FIXTURE(two_shards, "an exception in pool work arrives as a fault") {
    worker_pool pool("test", 2);
    CHECK(run(throws_there(pool)).error().context() == "boom");
}

TEST_CASE_FIXTURE(two_shards, "demand finds a thread however much lower lanes have queued") {
    worker_pool pool("test", 2);
    std::atomic<bool> open = false;
    std::vector<std::future<result<int>>> blocked;
    for (int i = 0; i < 8; ++i) {
        blocked.push_back(start(a, block_until(pool, lane::background, open)));
        blocked.push_back(start(b, block_until(pool, lane::prefetch, open)));
    }
    CHECK(run(runs_elsewhere(pool)));
    release(open);
    for (auto& each : blocked) {
        CHECK(each.get().value() == 1);
    }
}

TEST_CASE_FIXTURE(two_shards, "threads are nicer the lower the lane they work for") {
    worker_pool pool("test", 2);
    const int ours = ::getpriority(PRIO_PROCESS, 0);
    const bool may_raise = ::setpriority(PRIO_PROCESS, 0, ours - 1) == 0;
    ::setpriority(PRIO_PROCESS, 0, ours);
    for (const auto& [l, nicer] :
         {std::pair(lane::background, 15), {lane::demand, 0}, {lane::prefetch, 10}}) {
        for (int i = 0; i < 4; ++i) { // on either thread
            CHECK(run(niceness_in(pool, l)).value() == ours + (may_raise ? nicer : 0));
        }
    }
}

TEST_CASE_FIXTURE(two_shards, "a stopped pool finishes what it took and refuses the rest") {
    worker_pool pool("test", 2);
    std::atomic<bool> open = true;
    auto taken = start(a, block_until(pool, lane::demand, open));
    CHECK(taken.get().has_value());
    pool.stop();
    CHECK(run(throws_there(pool)).error().code() == errc::stopping);
}
