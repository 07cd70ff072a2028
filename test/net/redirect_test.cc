#include "test/net/net_rig.h"

using namespace firstlight;
using namespace firstlight::test;

namespace {

struct redirect_rig : net_rig {
    registry_imposter storage;
    std::string content = pattern(100'000);
    digest blob = registry.add_blob(content);
    const byte_range some{100, 5000};

    redirect_rig() {
        storage.add_blob(content);
        registry.change([&](auto& o) { o.redirect_to = storage.url(); });
    }
    bool reads_right() {
        const auto got = read(blob, some);
        return got && *got == slice(content, some);
    }
};

} // namespace

TEST_CASE_FIXTURE(redirect_rig, "a redirect is followed once and then remembered") {
    const auto end = tail(blob, 1000);
    REQUIRE_MESSAGE(end.has_value(), end.error().context());
    CHECK(as_text(end->data()) == content.substr(99'000));
    CHECK(registry.log().size() == 1);
    CHECK(storage.log().size() == 1);
    CHECK(reads_right());
    CHECK(registry.log().size() == 1); // no detour any more
    CHECK(storage.log().size() == 2);
    CHECK(storage.connections() == 1);
}

TEST_CASE_FIXTURE(redirect_rig, "another shard profits from a redirect that one has found") {
    CHECK(reads_right());
    // The hub is told behind the reader's back.
    const auto key = "http://" + registry.host() + "/v2/library/thing/blobs/" + blob.to_string();
    const auto endpoints = start(a, hub->endpoints(registry.host())).get().value();
    const auto known = [&] {
        const endpoint_ptr at(endpoints, &endpoints->front());
        const auth_scope scope(at, "library/thing");
        return start(a, hub->recall(scope, key, lane::demand, deadline::after(5s)))
          .get()
          ->redirect.has_value();
    };
    for (int i = 0; i < 200 && !known(); ++i) {
        std::this_thread::sleep_for(5ms);
    }
    const auto got = read_elsewhere(blob, some);
    REQUIRE(got.has_value());
    CHECK(*got == slice(content, some));
    CHECK(registry.log().size() == 1);
    CHECK(storage.log().size() == 2);
}

TEST_CASE_FIXTURE(redirect_rig, "a signature that has run out is replaced") {
    CHECK(reads_right());
    for (const unsigned status : {401U, 403U, 404U, 400U}) {
        CAPTURE(status);
        registry.clear_log();
        imposter_fault f;
        f.status = status;
        storage.fail(f, 0, "/data/");
        CHECK(reads_right());
        CHECK(registry.log().size() == 1);
    }
    CHECK(total("firstlight_registry_retries_total") == 0);
}

TEST_CASE_FIXTURE(redirect_rig, "a blob store that is gone sends us back to the registry") {
    CHECK(reads_right());
    storage.vanish();
    registry.change([](auto& o) { o.redirect_to.clear(); });
    CHECK(reads_right());
}

TEST_CASE_FIXTURE(redirect_rig, "no credentials go to another host, and no query into faults") {
    registry.change([](auto& o) {
        o.authentication = imposter_options::auth::basic;
        o.user = "u";
        o.password = "secret";
    });
    who.for_host = registry.host();
    who.held.emplace("u", "secret");
    CHECK(reads_right());
    CHECK(!registry.log().back().authorization.empty());
    for (const auto& each : storage.log()) {
        CHECK(each.authorization.empty());
        CHECK(!each.query.empty());
    }
    imposter_fault f;
    f.status = 418;
    storage.fail_always(f, "/data/");
    const auto got = read(blob, some);
    REQUIRE(!got);
    CHECK(got.error().context().find("sig=") == std::string::npos);
    CHECK(got.error().context().find("secret") == std::string::npos);
    CHECK(got.error().context().find(storage.host()) != std::string::npos);
}

TEST_CASE_FIXTURE(redirect_rig, "several hops are followed, but not for ever") {
    imposter_fault hop;
    hop.status = 302;
    hop.location = storage.url() + "/data/" + blob.to_string() + "?sig=hop";
    storage.fail(hop, 0, "/data/");
    storage.fail(hop, 1, "/data/");
    CHECK(reads_right());
    CHECK(storage.log().size() == 3);
    restart(quick());
    storage.fail_always(hop, "/data/");
    const auto got = read(blob, some);
    REQUIRE(!got);
    CHECK(got.error().code() == errc::corrupt);
    CHECK(storage.log().size() < 20);
}

TEST_CASE_FIXTURE(redirect_rig, "a redirect to nonsense is a fault") {
    imposter_fault hop;
    hop.status = 307;
    hop.location = "ftp://nowhere/";
    registry.fail(hop);
    CHECK(!read(blob, some));
    CHECK(reads_right());
}

TEST_CASE_FIXTURE(redirect_rig, "warm connects to where the blob really is") {
    CHECK(tail(blob, 10).has_value());
    warm(blob, 4);
    // A connection counts when the server has accepted it, a moment after it is open
    // for the client. One of the four was there before.
    for (int i = 0; i < 1000 && storage.connections() < 4; ++i) {
        std::this_thread::sleep_for(5ms);
    }
    CHECK(storage.connections() == 4);
    CHECK(registry.connections() == 1);
    std::vector<std::future<result<buffer>>> reads;
    imposter_fault slow;
    slow.delay = 20ms;
    storage.fail_always(slow, "/data/");
    for (int i = 0; i < 4; ++i) {
        reads.push_back(reading(at(blob), some));
    }
    for (auto& each : reads) {
        CHECK(each.get().has_value());
    }
    CHECK(storage.connections() == 4);
}
