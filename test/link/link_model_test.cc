#include "test/link/link_model.h"

#include <doctest/doctest.h>

using namespace std::chrono_literals;
using namespace firstlight::link;

namespace {

constexpr double megabyte_a_second = 1e6;
const clock::time_point start{100s};

} // namespace

TEST_CASE("an unlimited line only delays") {
    line wire(0, 10ms, 0);
    CHECK(wire.carry(start, 1) == start + 10ms);
    CHECK(wire.carry(start, 1'000'000'000) == start + 10ms);
}

TEST_CASE("bytes take their time on a limited line") {
    line wire(megabyte_a_second, 10ms, 0);
    CHECK(wire.carry(start, 1000) == start + 1ms + 10ms);
}

TEST_CASE("what is put on a busy line waits for what went before, whoever sent it") {
    line wire(megabyte_a_second, 10ms, 0);
    wire.carry(start, 5000);
    CHECK(wire.carry(start + 1ms, 1000) == start + 6ms + 10ms);
}

TEST_CASE("an idle line saves up no more than its burst") {
    line wire(megabyte_a_second, 0ms, 2000);
    CHECK(wire.carry(start, 2000) == start);
    CHECK(wire.carry(start, 1000) == start + 1ms);
    CHECK(wire.carry(start + 1h, 3000) == start + 1h + 1ms);
}

TEST_CASE("a line without burst carries exactly its rate over a long time") {
    line wire(megabyte_a_second, 0ms, 0);
    auto last = start;
    for (int i = 0; i < 1000; ++i) {
        last = wire.carry(start + i * 500us, 1000);
    }
    CHECK(last == start + 1s);
}

TEST_CASE("a window counts bytes until they are acknowledged") {
    window w(1000, false);
    CHECK(w.room(start) == 1000);
    w.sent(600);
    w.acknowledged(600, start + 20ms);
    CHECK(w.room(start + 19ms) == 400);
    CHECK(w.next_acknowledgement() == start + 20ms);
    CHECK(w.room(start + 20ms) == 1000);
    CHECK_FALSE(w.next_acknowledgement().has_value());
}

TEST_CASE("a full window has no room, and no acknowledgement is promised before delivery") {
    window w(1000, false);
    w.sent(1000);
    CHECK(w.room(start) == 0);
    CHECK_FALSE(w.next_acknowledgement().has_value());
}

TEST_CASE("slow start doubles the window each round trip up to its cap") {
    window w(50'000, true);
    CHECK(w.limit() == 14'600);
    auto now = start;
    for (const std::size_t expected : {29'200U, 50'000U, 50'000U}) {
        const auto room = w.room(now);
        w.sent(room);
        now += 20ms;
        w.acknowledged(room, now);
        CHECK(w.room(now) == expected);
        CHECK(w.limit() == expected);
    }
}

TEST_CASE("the default window lets one connection fill the link") {
    CHECK(default_window(0, 10ms) == 4 * 1024 * 1024);
    CHECK(default_window(25e6, 5ms) == 500'000);
    CHECK(default_window(1e6, 5ms) == 256 * 1024);
}
