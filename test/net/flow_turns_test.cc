// Whose turn it is among images that want the same connections: the rules alone.

#include "net/flow_turns.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <list>
#include <map>
#include <string>

using namespace firstlight;

namespace {

constexpr std::uint64_t small = 64 << 10;
constexpr std::uint64_t large = 8 << 20;

// Requests wait in order of arrival, and are served one place at a time.
struct queue_rig {
    struct request {
        std::string name;
        flow_turns::flow* flow;
        std::uint64_t bytes;
        lane in;
    };
    flow_turns turns;
    std::list<request> waiting;
    std::list<request> served;
    unsigned places = 8;

    void
    ask(const std::string& name, int times, std::uint64_t bytes = small, lane l = lane::demand) {
        for (int i = 0; i < times; ++i) {
            waiting.push_back({name, &turns.enter(name), bytes, l});
        }
    }
    std::string serve(lane l = lane::demand) {
        auto best = waiting.end();
        for (auto each = waiting.begin(); each != waiting.end(); ++each) {
            const bool sooner = best == waiting.end() || turns.rank(*each->flow, l, places) <
                                                           turns.rank(*best->flow, l, places);
            best = each->in == l && sooner ? each : best;
        }
        turns.serve(*best->flow, l, best->bytes);
        served.splice(served.end(), waiting, best);
        return served.back().name;
    }
    void fill() {
        while (served.size() < places && !waiting.empty()) {
            serve();
        }
    }
    void end(const std::string& name) {
        const auto one = std::ranges::find(served, name, &request::name);
        REQUIRE(one != served.end());
        turns.end(*one->flow);
        served.erase(one);
    }
    unsigned holds(const std::string& name) const {
        return static_cast<unsigned>(std::ranges::count(served, name, &request::name));
    }
};

} // namespace

TEST_CASE_FIXTURE(queue_rig, "turns: a single request comes next, whatever flood came before") {
    ask("flood", 100);
    fill();
    ask("single", 1);
    end("flood");
    CHECK(serve() == "single");
    end("flood");
    CHECK(serve() == "flood");
}

TEST_CASE_FIXTURE(queue_rig, "turns: two floods share by bytes, not by requests") {
    places = 1;
    ask("large", 100, 1 << 20);
    ask("small", 800, small);
    std::map<std::string, std::uint64_t> got;
    fill();
    for (int i = 0; i < 500; ++i) {
        const auto name = served.front().name;
        got[name] += served.front().bytes;
        end(name);
        serve();
    }
    const auto ratio = static_cast<double>(got["large"]) / static_cast<double>(got["small"]);
    CHECK(ratio > 1.0); // a small request pays for its round trip as well
    CHECK(ratio < 2.5);
}

TEST_CASE_FIXTURE(queue_rig, "turns: nobody holds more than a share while others wait") {
    ask("cheap", 100, 0);
    fill();
    CHECK(holds("cheap") == 8);
    ask("dear", 100, large);
    for (int i = 0; i < 8; ++i) {
        end("cheap");
        serve();
    }
    CHECK(holds("dear") == 4);
    ask("third", 100, small);
    for (int i = 0; i < 8; ++i) {
        end(holds("cheap") > 3 ? "cheap" : "dear");
        serve();
    }
    CHECK(holds("third") >= 2);
    CHECK(holds("cheap") <= 3);
    CHECK(holds("dear") <= 3);
}

TEST_CASE_FIXTURE(queue_rig, "turns: what was had while nobody waited is of no account") {
    for (int i = 0; i < 100; ++i) {
        ask("early", 1, large);
        fill();
        end("early");
    }
    CHECK(turns.flows() == 0);
    places = 1;
    ask("early", 2, small);
    fill();
    ask("late", 2, small);
    end("early");
    CHECK(serve() == "late");
    end("late");
    CHECK(serve() == "early");
    end("early");
    CHECK(serve() == "late");
}

TEST_CASE_FIXTURE(queue_rig, "turns: what is fetched in the background is no debt of demand") {
    places = 4;
    ask("a", 10, large, lane::background);
    ask("a", 2, small);
    ask("b", 2, small);
    serve(lane::background);
    CHECK(serve() == "a");
    CHECK(serve() == "b");
}

TEST_CASE_FIXTURE(queue_rig, "turns: who gives up leaves nothing behind") {
    ask("a", 5);
    for (auto& each : waiting) {
        turns.give_up(*each.flow);
    }
    waiting.clear();
    CHECK(turns.flows() == 0);
}

TEST_CASE_FIXTURE(queue_rig, "turns: past flows are forgotten, even while others wait") {
    ask("waits", 1);
    for (int i = 0; i < 5000; ++i) {
        auto& f = turns.enter(std::to_string(i));
        turns.serve(f, lane::demand, small);
        turns.end(f);
    }
    CHECK(turns.flows() <= 1100);
}
