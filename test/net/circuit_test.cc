// When a server is taken for dead, and when it is tried again: the rules alone.

#include "net/circuit_breaker.h"

#include <doctest/doctest.h>

using namespace firstlight;
using namespace std::chrono_literals;

namespace {

using pass = circuit_breaker::pass;
using change = circuit_breaker::change;
using evidence = circuit_breaker::evidence;

// Rests have their full length, but for the jitter asked for.
struct circuit_rig {
    circuit_breaker circuit{circuit_rules()};
    circuit_breaker::clock::time_point now = circuit_breaker::clock::time_point(24h);
    double jitter = 1.0;

    /// An attempt that began now and took `took`.
    change fail(std::chrono::milliseconds took = 10ms, evidence is = evidence::broken) {
        return end(circuit.admit(lane::demand, now), is, took);
    }
    change end(pass as, evidence is, std::chrono::milliseconds took = 10ms) {
        const auto began = now;
        now += took;
        return circuit.ended({as, is, "refused", began}, now, jitter);
    }
    void open() {
        CHECK(fail() == change::none);
        CHECK(fail() == change::none);
        REQUIRE(fail() == change::opened);
    }
    pass ask(lane l = lane::demand) { return circuit.admit(l, now); }
};

} // namespace

TEST_CASE_FIXTURE(circuit_rig, "circuit: failures in a row open it, and then nobody passes") {
    CHECK(ask() == pass::free);
    open();
    CHECK(circuit.open());
    for (const auto l : {lane::demand, lane::prefetch, lane::background}) {
        CHECK(ask(l) == pass::refused);
    }
    now += 500ms;
    const auto why = circuit.refusal(lane::demand, now);
    CHECK(why.code() == errc::unavailable);
    CHECK(
      why.context() ==
      "not asked, since it has not answered for 0.5 s (refused); the next try is in 0.5 s");
}

TEST_CASE_FIXTURE(circuit_rig, "circuit: an answer in between starts the count anew") {
    fail();
    fail();
    CHECK(end(ask(), evidence::alive) == change::none);
    open();
}

TEST_CASE_FIXTURE(circuit_rig, "circuit: failures far apart have nothing to do with each other") {
    fail();
    fail();
    now += 61s;
    open();
}

TEST_CASE_FIXTURE(circuit_rig, "circuit: connections that break together are one failure") {
    const auto began = now;
    now += 10ms;
    for (int i = 0; i < 8; ++i) {
        CHECK(
          circuit.ended({pass::free, evidence::broken, "reset", began}, now, 1) == change::none);
        now += 1ms;
    }
    CHECK(fail() == change::none);
    CHECK(fail() == change::opened);
}

TEST_CASE_FIXTURE(circuit_rig, "circuit: time-outs count each, for they have looked long enough") {
    const auto began = now;
    now += 10s;
    CHECK(circuit.ended({pass::free, evidence::silent, "", began}, now, 1) == change::none);
    CHECK(circuit.ended({pass::free, evidence::silent, "", began}, now, 1) == change::none);
    CHECK(circuit.ended({pass::free, evidence::silent, "", began}, now, 1) == change::opened);
}

TEST_CASE_FIXTURE(
  circuit_rig, "circuit: after the rest one request probes, and its answer closes") {
    open();
    now += 1s;
    CHECK(ask() == pass::probe);
    CHECK(circuit.probing());
    CHECK(ask() == pass::refused);
    CHECK(
      circuit.refusal(lane::demand, now).context().find("a try is under way") != std::string::npos);
    CHECK(end(pass::probe, evidence::alive) == change::closed);
    CHECK(ask() == pass::free);
    CHECK(ask() == pass::free);
}

TEST_CASE_FIXTURE(circuit_rig, "circuit: each probe that fails doubles the rest, up to a minute") {
    open();
    for (const auto rest : {1s, 2s, 4s, 8s, 16s, 32s, 60s, 60s}) {
        CAPTURE(rest.count());
        now += rest - 1ms;
        CHECK(ask(lane::background) == pass::refused);
        now += 1ms;
        REQUIRE(ask(lane::background) == pass::probe);
        CHECK(end(pass::probe, evidence::silent, 0ms) == change::none);
    }
    CHECK(circuit.failed_probes() == 8);
    now += 60s;
    REQUIRE(ask() == pass::probe);
    CHECK(end(pass::probe, evidence::alive) == change::closed);
    open();
    now += 1s;
    CHECK(ask() == pass::probe); // a new outage begins with the first rest
}

TEST_CASE_FIXTURE(circuit_rig, "circuit: demand waits for a probe at most a part of a long rest") {
    open();
    for (int i = 0; i < 10; ++i) {
        now += 60s;
        REQUIRE(ask(lane::background) == pass::probe);
        end(pass::probe, evidence::broken, 0ms);
    }
    now += 8s - 1ms;
    CHECK(ask(lane::demand) == pass::refused);
    now += 1ms;
    CHECK(ask(lane::prefetch) == pass::refused);
    CHECK(ask(lane::demand) == pass::probe);
}

TEST_CASE_FIXTURE(circuit_rig, "circuit: jitter shortens a rest by up to a quarter") {
    jitter = 0;
    open();
    CHECK(circuit.next_probe(lane::background) == now + 750ms);
}

TEST_CASE_FIXTURE(circuit_rig, "circuit: a probe that is given up is left to the next") {
    open();
    now += 1s;
    REQUIRE(ask() == pass::probe);
    CHECK(end(pass::probe, evidence::none) == change::none);
    CHECK(circuit.failed_probes() == 0);
    CHECK(ask() == pass::probe);
}

TEST_CASE_FIXTURE(
  circuit_rig, "circuit: requests from before it opened close it, or change nothing") {
    open();
    const auto until = circuit.next_probe(lane::demand);
    CHECK(end(pass::free, evidence::broken) == change::none);
    CHECK(circuit.next_probe(lane::demand) == until);
    CHECK(end(pass::free, evidence::alive) == change::closed);
}

TEST_CASE_FIXTURE(circuit_rig, "circuit: what others found out counts, unless we know better") {
    const auto since = now;
    now += 1s;
    CHECK(circuit.told_dead(since, "refused", now, 1) == change::opened);
    CHECK(ask() == pass::refused);
    CHECK(circuit.told_dead(since, "refused", now, 1) == change::none);
    CHECK(circuit.told_alive() == change::closed);
    CHECK(circuit.told_alive() == change::none);
    end(ask(), evidence::alive);
    CHECK(circuit.told_dead(since, "refused", now, 1) == change::none);
    CHECK(ask() == pass::free);
}

TEST_CASE_FIXTURE(circuit_rig, "circuit: who is in trouble is not well for a while, but asked") {
    CHECK(circuit.well(now));
    circuit.troubled(now);
    CHECK(!circuit.well(now + 9s));
    CHECK(ask() == pass::free);
    CHECK(circuit.well(now + 10s));
    open();
    CHECK(!circuit.well(now + 1h));
}

TEST_CASE("circuit: what a failure says of its server") {
    const auto of = [](errc code, std::chrono::milliseconds took) {
        return circuit_breaker::evidence_of(fault(code, ""), took, 10s);
    };
    CHECK(of(errc::unavailable, 0ms) == evidence::broken);
    CHECK(of(errc::timed_out, 10s) == evidence::silent);
    CHECK(of(errc::timed_out, 5s) == evidence::silent);
    CHECK(of(errc::timed_out, 4s) == evidence::none); // somebody's deadline was short
    CHECK(of(errc::stopping, 10s) == evidence::none);
    CHECK(of(errc::corrupt, 0ms) == evidence::alive);
    CHECK(of(errc::failed_precondition, 0ms) == evidence::alive);
}
