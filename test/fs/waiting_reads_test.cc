#include "fs/waiting_reads.h"

#include "test/rig.h"

#include <doctest/doctest.h>

#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>

using namespace firstlight;
using namespace std::chrono_literals;

namespace {

task<void> call(std::function<void()> f) {
    f();
    co_return;
}

task<void> stop_tasks(background_tasks& tasks) {
    co_await tasks.stop();
}

/// A shard's reads, and a reader of whom the test says whether he is being killed.
struct reads_rig {
    shard home{0};
    worker_pool io{"io", 2};
    std::atomic<bool> killed{false};
    std::atomic<unsigned> looks{0};
    background_tasks tasks{home};
    waiting_reads reads{tasks, io, [this](pid_t) {
                            ++looks;
                            return killed.load();
                        }};

    reads_rig() { home.start(); }
    ~reads_rig() {
        test::start(home, stop_tasks(tasks)).get();
        io.stop();
        home.stop();
    }
    // Runs `f` on the shard.
    void on_shard(std::function<void()> f) { test::start(home, call(std::move(f))).get(); }

    std::stop_token begin(std::uint64_t request, bool direct) {
        std::stop_token token;
        on_shard([&] { token = reads.begin(request, 1, direct); });
        return token;
    }
    void interrupt(std::uint64_t request) {
        on_shard([&] { reads.interrupt(request); });
    }
    void end(std::uint64_t request) {
        on_shard([&] { reads.end(request); });
    }
    bool soon(const std::function<bool()>& holds) {
        for (int i = 0; i < 1000 && !holds(); ++i) {
            std::this_thread::sleep_for(2ms);
        }
        return holds();
    }
};

} // namespace

TEST_CASE_FIXTURE(reads_rig, "a read past the page cache is given up at any signal") {
    const auto one = begin(1, true);
    const auto other = begin(2, true);
    interrupt(1);
    CHECK(one.stop_requested());
    CHECK_FALSE(other.stop_requested());
    CHECK(looks == 0);
}

TEST_CASE_FIXTURE(reads_rig, "a page's read is given up for a reader who is being killed") {
    const auto read = begin(1, false);
    killed = true;
    interrupt(1);
    CHECK(soon([&] { return read.stop_requested(); }));
}

TEST_CASE_FIXTURE(reads_rig, "a page's read outlasts other signals, and ends with a later kill") {
    const auto read = begin(1, false);
    interrupt(1);
    interrupt(1);
    CHECK(soon([&] { return looks >= 2; }));
    CHECK_FALSE(read.stop_requested());
    killed = true; // of which the kernel does not tell
    CHECK(soon([&] { return read.stop_requested(); }));
}

TEST_CASE_FIXTURE(reads_rig, "an interrupt of what is not waiting, or not any more, is nothing") {
    killed = true;
    interrupt(7);
    const auto ended = begin(1, true);
    end(1);
    interrupt(1);
    end(1);
    CHECK_FALSE(ended.stop_requested());
}

TEST_CASE_FIXTURE(reads_rig, "nobody looks after a read that has ended") {
    begin(1, false);
    interrupt(1);
    CHECK(soon([&] { return looks >= 1; }));
    end(1);
    std::size_t left = 1;
    CHECK(soon([&] {
        on_shard([&] { left = tasks.running(); });
        return left == 0;
    }));
}

TEST_CASE("what /proc says of a thread") {
    CHECK(kill_is_pending("Name:\tx\nSigPnd:\t0000000000000100\nShdPnd:\t0\n"));
    CHECK(kill_is_pending("Name:\tx\nSigPnd:\t0000000000400102\nShdPnd:\t0\n"));
    CHECK_FALSE(kill_is_pending("Name:\tx\nSigPnd:\t0000000000400002\nShdPnd:\t0\n"));
    CHECK_FALSE(kill_is_pending("Name:\tx\nShdPnd:\t0000000000000100\n"));
    CHECK_FALSE(kill_is_pending(""));
    CHECK_FALSE(kill_is_pending("Name:\tSigPnd:\nSigPnd:\t"));
    CHECK_FALSE(is_being_killed(::getpid()));
    CHECK(is_being_killed(0)); // nobody whom we can see
}
