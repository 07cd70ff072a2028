#include "net/link_share.h"

#include <doctest/doctest.h>

#include <algorithm>

using namespace firstlight;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t slice = 64 << 10;
constexpr auto step = 1ms;

// A link of `rate` bytes a second that demand uses first. The lower lanes always want
// more.
struct emulated_link {
    double rate = 50e6;
    double demand_rate = 0; // while demand is on
    bool demand_on = false;

    link_share share;
    link_share::clock::time_point now{};
    double lower_bytes = 0;
    double demand_bytes = 0;
    double window = 1 << 20; // of all their connections
    double queue = 0;        // of the lower lanes, in bytes: admitted, not yet arrived
    int queued_ms = 0;       // with more than 5 ms of the lower lanes' in front of an answer

    void set_demand(bool on) {
        if (on && !demand_on) {
            share.demand_began(now);
        } else if (!on && demand_on) {
            share.demand_ended(now);
        }
        demand_on = on;
    }

    /// Measured while nobody reads; then demand takes `part` of it.
    void measure_then_demand(double part, std::chrono::milliseconds alone) {
        run(alone);
        demand_rate = part * rate;
        set_demand(true);
    }

    void run(std::chrono::milliseconds length) {
        lower_bytes = demand_bytes = queued_ms = 0;
        for (const auto end = now + length; now < end; now += step) {
            const double room = rate * 1e-3;
            const double wanted = demand_on ? std::min(room, demand_rate * 1e-3) : 0;
            arrive(lane::demand, wanted);
            demand_bytes += wanted;
            while (queue < window && share.admit(slice, now)) {
                queue += slice;
            }
            queued_ms += queue > rate * 5e-3 + slice ? 1 : 0;
            const double came = std::min(queue, room - wanted);
            queue -= came;
            share.answered(std::chrono::nanoseconds(std::int64_t(queue / rate * 1e9)), 10ms, now);
            arrive(lane::background, came);
            lower_bytes += came;
        }
    }
    void arrive(lane l, double bytes) { share.received(l, static_cast<std::uint64_t>(bytes), now); }
};

} // namespace

TEST_CASE("without demand the lower lanes run free") {
    emulated_link link;
    link.run(2s);
    CHECK(link.lower_bytes > 0.99 * 2 * link.rate);
    CHECK_FALSE(link.share.paced(link.now));
    CHECK(link.share.rate() == doctest::Approx(link.rate).epsilon(0.02));
}

TEST_CASE("with demand they get most of what it leaves, and queue up little") {
    for (const double part : {0.1, 0.5, 0.8}) {
        CAPTURE(part);
        emulated_link link;
        link.measure_then_demand(part, 2s);
        link.run(1s); // until it has been noticed how much demand takes
        link.run(8s);
        CHECK(link.demand_bytes > 0.99 * 8 * link.demand_rate);
        CHECK(link.lower_bytes > 0.85 * 8 * (link.rate - link.demand_rate));
        CHECK(link.queued_ms < 8000 / 10);
    }
}

TEST_CASE("a link that demand used first is found out") {
    emulated_link link;
    link.demand_rate = 0.3 * link.rate;
    link.set_demand(true);
    link.run(3s);
    link.run(5s);
    CHECK(link.lower_bytes > 0.85 * 5 * (link.rate - link.demand_rate));
}

TEST_CASE("a link that has become slower is found out while demand goes on") {
    emulated_link link;
    link.measure_then_demand(0.1, 1s);
    link.run(2s);
    link.rate /= 3;
    link.run(10s);
    link.run(5s);
    CHECK(link.queued_ms < 5000 / 5);
    CHECK(link.lower_bytes > 0.8 * 5 * (link.rate - link.demand_rate));
}

TEST_CASE("a link that has become faster is found out while demand goes on") {
    emulated_link link;
    link.measure_then_demand(0.2, 1s);
    link.run(2s);
    link.rate *= 3;
    link.run(4s);
    link.run(5s);
    CHECK(link.lower_bytes > 0.85 * 5 * (link.rate - link.demand_rate));
    CHECK(link.queued_ms < 5000 / 10);
}

TEST_CASE("a queue before the background has begun is no reason to crawl") {
    emulated_link link;
    link.window = 0;
    link.demand_rate = 0.2 * link.rate;
    link.set_demand(true);
    for (int i = 0; i < 200; ++i) {
        link.run(5ms);
        link.share.answered(8ms, 10ms, link.now);
    }
    CHECK(link.share.pace() > 1e6);
    link.window = 1 << 20;
    link.run(3s);
    link.run(5s);
    CHECK(link.lower_bytes > 0.8 * 5 * (link.rate - link.demand_rate));
}

TEST_CASE("who uses less than the pace does not raise it") {
    emulated_link link;
    link.measure_then_demand(0.2, 1s);
    const auto before = link.share.rate();
    link.window = 0;
    link.run(5s);
    CHECK(link.share.rate() <= before);
}

TEST_CASE("once demand is over they run free again") {
    emulated_link link;
    link.measure_then_demand(0.9, 1s);
    link.run(2s);
    link.set_demand(false);
    link.run(1100ms);
    CHECK_FALSE(link.share.paced(link.now));
    CHECK(link.lower_bytes > 0.5 * 1.1 * link.rate); // and fast before that, too
}

TEST_CASE("nobody starves") {
    emulated_link link;
    link.demand_rate = link.rate;
    link.set_demand(true);
    link.run(10s);
    CHECK(link.share.pace() >= 64 << 10);
}
