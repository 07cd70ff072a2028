// A registry that is dead: what it costs those who need it, and nobody else.

#include "test/net/net_rig.h"

#include <vector>

using namespace firstlight;
using namespace firstlight::test;

namespace {

using reads = std::vector<std::future<result<buffer>>>;

task<void> nothing() {
    co_return;
}

/// Rests are short, and readers patient, unless a test says otherwise.
registry_config patient() {
    auto c = quick();
    c.max_retries = 1'000'000;
    return c;
}

/// What is taken for dead stays so.
registry_config unforgiving() {
    auto c = quick();
    c.circuit.first_rest = c.circuit.longest_rest = c.circuit.demand_rest = 1h;
    return c;
}

struct dead_rig : net_rig {
    registry_imposter live;
    std::string content = pattern(10'000);
    digest blob = registry.add_blob(content);

    dead_rig() {
        live.add_blob(content);
        restart(patient());
    }
    static imposter_fault dropping() {
        imposter_fault f;
        f.drop_connection = true;
        return f;
    }
    static imposter_fault silent() {
        imposter_fault f;
        f.delay = 1h;
        return f;
    }
    blob_address at_live() const { return {live.host(), "library/thing", blob}; }
    void ask(reads& all, int times, lane l = lane::demand) {
        for (int i = 0; i < times; ++i) {
            all.push_back(reading(at(blob), byte_range(0, 10), l));
        }
    }
    bool right(std::future<result<buffer>> one) {
        const auto got = one.get();
        INFO((got ? "" : got.error().context()));
        CHECK(got.has_value());
        return got && as_text(got->span()) == content.substr(0, 10);
    }
    bool all_right(reads& all) {
        bool right_so_far = true;
        for (auto& each : all) {
            right_so_far = right(std::move(each)) && right_so_far;
        }
        return right_so_far;
    }
    template <class Condition>
    static bool eventually(Condition c) {
        for (int i = 0; i < 2000 && !c(); ++i) {
            std::this_thread::sleep_for(1ms);
        }
        return c();
    }
    bool circuits_open(unsigned n) {
        return eventually([&] { return series.open_circuits() == n; });
    }
    std::uint64_t outages() const { return total("firstlight_registry_outages_total"); }
    /// Until messages that were sent by now have been read, on both shards.
    void settle() {
        for (int i = 0; i < 20; ++i) {
            start(a, nothing()).get();
            start(b, nothing()).get();
        }
    }
    std::string failure(std::future<result<buffer>> one) {
        const auto got = one.get();
        REQUIRE(!got);
        CHECK(got.error().code() == errc::unavailable);
        return got.error().context();
    }
};

} // namespace

TEST_CASE_FIXTURE(dead_rig, "a registry that is away for a while costs a reader a pause") {
    for (unsigned outage = 1; outage <= 2; ++outage) {
        registry.refuse();
        auto waiting = reading(at(blob), byte_range(0, 10));
        CHECK(circuits_open(1));
        CHECK(outages() == outage);
        CHECK(waiting.wait_for(20ms) == std::future_status::timeout);
        registry.listen();
        CHECK(right(std::move(waiting)));
        CHECK(circuits_open(0));
    }
}

TEST_CASE_FIXTURE(dead_rig, "a dead registry is asked no more, and its readers are told why") {
    restart(unforgiving());
    registry.fail_always(dropping());
    CHECK(failure(reading(at(blob), byte_range(0, 10))).find(registry.host()) != std::string::npos);
    CHECK(circuits_open(1));
    CHECK(registry.connections() == 3);
    reads more;
    for (const auto l : {lane::demand, lane::prefetch, lane::background}) {
        ask(more, 50, l);
    }
    for (auto& each : more) {
        const auto why = failure(std::move(each));
        CHECK(why.find("not asked, since it has not answered for ") != std::string::npos);
        CHECK(why.find("connection closed by the server") != std::string::npos);
        CHECK(why.find("the next try is in ") != std::string::npos);
    }
    warm(blob, 8);
    CHECK(registry.connections() == 3);
    CHECK(outages() == 1);
}

TEST_CASE_FIXTURE(dead_rig, "errors that a server answers are not taken for its death") {
    auto config = quick();
    config.max_retries = 20;
    restart(config);
    imposter_fault busy;
    busy.status = 503;
    registry.fail_always(busy);
    failure(reading(at(blob), byte_range(0, 10)));
    CHECK(registry.log().size() == 21);
    CHECK(outages() == 0);
}

TEST_CASE_FIXTURE(dead_rig, "readers of a live registry do not notice a silent one") {
    auto config = quick();
    config.request_timeout = 1h; // it is never found to be dead
    restart(config);
    registry.fail_always(silent());
    reads stuck;
    for (const auto l : {lane::demand, lane::prefetch, lane::background}) {
        ask(stuck, 40, l);
    }
    CHECK(eventually([&] { return registry.log().size() == 8; }));
    reads good;
    for (int i = 0; i < 100; ++i) {
        const auto l = i % 3 == 0 ? lane::demand : i % 3 == 1 ? lane::prefetch : lane::background;
        good.push_back(reading(at_live(), byte_range(0, 10), l));
    }
    CHECK(all_right(good));
    CHECK(live.log().size() == 100);
    CHECK(live.connections() <= 16);
    CHECK(registry.log().size() == 8);
    registry.forgive();
    registry.drop_connections();
    CHECK(all_right(stuck));
}

TEST_CASE_FIXTURE(dead_rig, "who waits for a connection to a dead registry waits no longer") {
    auto config = unforgiving();
    config.request_timeout = 200ms;
    restart(config);
    registry.fail_always(silent());
    reads all;
    ask(all, 100);
    for (auto& each : all) {
        failure(std::move(each));
    }
    CHECK(registry.log().size() <= 10); // the others never had their turn
    CHECK(circuits_open(1));
}

TEST_CASE_FIXTURE(dead_rig, "one request probes, and who waits goes on when it is answered") {
    registry.fail_always(dropping());
    reads all;
    ask(all, 1);
    CHECK(circuits_open(1));
    registry.forgive();
    registry.fail_always(silent());
    ask(all, 20);
    ask(all, 1);
    // Whatever probes came before, one is under way now.
    const auto one_more = [&, seen = std::size_t(0)]() mutable {
        const auto before = std::exchange(seen, registry.log().size());
        std::this_thread::sleep_for(50ms);
        return before == registry.log().size();
    };
    CHECK(eventually(one_more));
    const auto asked = registry.log().size();
    registry.forgive();
    registry.drop_connections(); // this probe fails, the next does not
    CHECK(all_right(all));
    CHECK(registry.log().size() == asked + 22);
    CHECK(circuits_open(0));
    CHECK(outages() == 1);
}

TEST_CASE_FIXTURE(dead_rig, "the lower lanes do not wait for a dead registry") {
    registry.refuse();
    auto demand = reading(at(blob), byte_range(0, 10));
    CHECK(circuits_open(1));
    failure(reading(at(blob), byte_range(0, 10), lane::background));
    failure(reading(at(blob), byte_range(0, 10), lane::prefetch));
    CHECK(demand.wait_for(0s) == std::future_status::timeout);
    registry.listen();
    CHECK(right(std::move(demand)));
}

TEST_CASE_FIXTURE(dead_rig, "what one shard finds out the others know") {
    restart(unforgiving());
    registry.fail_always(dropping());
    failure(reading(at(blob), byte_range(0, 10)));
    CHECK(circuits_open(1));
    settle();
    CHECK(
      failure(reading_elsewhere(at(blob), byte_range(0, 10))).find("not asked") !=
      std::string::npos);
    CHECK(registry.connections() == 3);
    CHECK(outages() == 1);
}

TEST_CASE_FIXTURE(dead_rig, "when one shard is answered, the others go on as well") {
    auto config = patient();
    config.circuit.demand_rest = 1h;
    config.circuit.first_rest = config.circuit.longest_rest = 300ms;
    restart(config);
    registry.refuse();
    auto here = reading(at(blob), byte_range(0, 10));
    CHECK(circuits_open(1));
    settle();
    auto there = reading_elsewhere(at(blob), byte_range(0, 10));
    registry.listen();
    CHECK(right(std::move(here)));
    CHECK(right(std::move(there)));
    CHECK(circuits_open(0));
    CHECK(outages() == 1);
}

TEST_CASE_FIXTURE(dead_rig, "a reader whose deadline comes before the next probe is told at once") {
    restart(unforgiving());
    registry.fail_always(dropping());
    failure(reading(at(blob), byte_range(0, 10), lane::demand, 1min));
    failure(reading(at(blob), byte_range(0, 10), lane::demand, 30min));
    CHECK(registry.log().size() == 3);
}

namespace {

struct mirror_rig : dead_rig {
    registry_imposter mirror;

    mirror_rig() { mirror.add_blob(content); }
    registry_config mirrored(registry_config c) {
        registry_endpoint first;
        first.host = mirror.host();
        c.hosts[registry.host()].mirrors = {first};
        c.circuit.asked_last = 0ms; // the circuit alone decides
        return c;
    }
};

} // namespace

TEST_CASE_FIXTURE(mirror_rig, "a dead mirror is skipped at once") {
    restart(mirrored(unforgiving()));
    mirror.fail_always(dropping());
    for (int i = 0; i < 50; ++i) {
        CHECK(right(reading(at(blob), byte_range(0, 10))));
    }
    CHECK(mirror.log().size() == 3);
    CHECK(registry.log().size() == 50);
    CHECK(total("firstlight_registry_retries_total") == 0);
}

TEST_CASE_FIXTURE(
  mirror_rig, "a mirror that rests is tried on the side, and used when it is back") {
    restart(mirrored(patient()));
    mirror.fail_always(dropping());
    for (int i = 0; i < 3; ++i) {
        CHECK(right(reading(at(blob), byte_range(0, 10))));
    }
    CHECK(circuits_open(1));
    mirror.forgive();
    mirror.clear_log();
    const auto used_again = [&] {
        CHECK(right(reading(at(blob), byte_range(0, 10))));
        const auto seen = mirror.log();
        return std::ranges::count(seen, "bytes=0-9", &imposter_request::range) > 0;
    };
    CHECK(eventually(used_again));
    CHECK(mirror.log()[0].range == "bytes=0-0"); // nobody waited for this one
    CHECK(circuits_open(0));
    CHECK(total("firstlight_registry_retries_total") == 0);
}

TEST_CASE_FIXTURE(mirror_rig, "with all of them away, the first that comes back serves") {
    restart(mirrored(patient()));
    mirror.refuse();
    registry.refuse();
    auto waiting = reading(at(blob), byte_range(0, 10));
    CHECK(circuits_open(2));
    mirror.listen();
    CHECK(right(std::move(waiting)));
    CHECK(registry.log().empty());
}

TEST_CASE_FIXTURE(dead_rig, "storage that a registry redirects to may be away for a while, too") {
    registry_imposter storage;
    storage.add_blob(content);
    registry.change([&](auto& o) { o.redirect_to = storage.url(); });
    storage.refuse();
    auto waiting = reading(at(blob), byte_range(0, 10));
    CHECK(circuits_open(1));
    CHECK(
      failure(reading(at(blob), byte_range(0, 10), lane::prefetch)).find(storage.host()) !=
      std::string::npos);
    storage.listen();
    CHECK(right(std::move(waiting)));
    CHECK(circuits_open(0));
}

TEST_CASE_FIXTURE(
  dead_rig, "a token server that is away costs a reader a pause, and others nothing") {
    const auto port = registry.host().substr(registry.host().find(':'));
    registry.change([&](auto& o) {
        o.authentication = imposter_options::auth::bearer;
        o.realm = "http://localhost" + port + "/token"; // another server, by its name
    });
    registry.fail_always(dropping(), "/token");
    auto waiting = reading(at(blob), byte_range(0, 10));
    CHECK(circuits_open(1));
    failure(reading(at(blob), byte_range(0, 10), lane::background));
    CHECK(right(reading(at_live(), byte_range(0, 10))));
    CHECK(waiting.wait_for(0s) == std::future_status::timeout);
    registry.forgive();
    CHECK(right(std::move(waiting)));
    CHECK(circuits_open(0));
    CHECK(outages() == 1);
}
