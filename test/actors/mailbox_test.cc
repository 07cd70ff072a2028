#include "actors/mailbox.h"
#include "test/rig.h"

#include <doctest/doctest.h>

#include <optional>

using namespace firstlight;
using namespace std::chrono_literals;

namespace {

struct rig {
    shard home{0};
    mailbox box{{1, 1, 1}};
    rig() { home.start(); }
    ~rig() { home.stop(); }
    template <class T>
    std::future<T> start(task<T> t) {
        return test::start(home, std::move(t));
    }
};

// Takes the only slot, holds it until `release`, and says how it went.
task<std::optional<errc>>
use(mailbox& box, lane l, event* release, std::chrono::milliseconds patience) {
    auto slot = co_await box.admit(l, patience);
    if (!slot) {
        co_return slot.error().code();
    }
    if (release) {
        co_await release->wait();
    }
    co_return std::nullopt;
}

task<void> ring(event& e) {
    e.notify_all();
    co_return;
}

} // namespace

TEST_CASE_FIXTURE(rig, "a full lane refuses after its patience, and only that lane") {
    event release;
    auto holder = start(use(box, lane::background, &release, 0ms));
    auto refused = start(use(box, lane::background, nullptr, 1ms));
    auto passed = start(use(box, lane::demand, nullptr, 0ms));
    CHECK(refused.get() == errc::overloaded);
    CHECK(passed.get() == std::nullopt);
    start(ring(release)).get();
    CHECK(holder.get() == std::nullopt);
    start(box.close()).get();
}

TEST_CASE_FIXTURE(rig, "waiters are admitted in turn as slots come free") {
    event release;
    auto holder = start(use(box, lane::demand, &release, 0ms));
    std::vector<std::future<std::optional<errc>>> waiters;
    for (int i = 0; i < 20; ++i) {
        waiters.push_back(start(use(box, lane::demand, nullptr, 10s)));
    }
    start(ring(release)).get();
    CHECK(holder.get() == std::nullopt);
    for (auto& w : waiters) {
        CHECK(w.get() == std::nullopt);
    }
    start(box.close()).get();
}

TEST_CASE_FIXTURE(rig, "close wakes waiters with stopping and waits for the holder") {
    event release;
    auto holder = start(use(box, lane::demand, &release, 0ms));
    auto waiter = start(use(box, lane::demand, nullptr, 10s));
    auto closed = start(box.close());
    CHECK(waiter.get() == errc::stopping);
    CHECK(closed.wait_for(0ms) == std::future_status::timeout);
    start(ring(release)).get();
    closed.get();
    CHECK(holder.get() == std::nullopt);
}
