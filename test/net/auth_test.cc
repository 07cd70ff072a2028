#include "test/net/net_rig.h"

using namespace firstlight;
using namespace firstlight::test;

namespace {

imposter_options bearer() {
    imposter_options o;
    o.authentication = imposter_options::auth::bearer;
    return o;
}

struct auth_rig : net_rig {
    std::string content = pattern(10'000);
    digest blob = registry.add_blob(content);
    const byte_range some{100, 5000};

    auth_rig()
      : net_rig(bearer()) {}
    bool reads_right() {
        const auto got = read(blob, some);
        return got && *got == slice(content, some);
    }
    void know(std::string user, std::string secret) {
        who.for_host = registry.host();
        who.held.emplace(std::move(user), std::move(secret));
    }
};

} // namespace

TEST_CASE_FIXTURE(auth_rig, "an anonymous token is fetched once and used from then on") {
    CHECK(reads_right());
    REQUIRE(registry.log().size() == 3); // 401, token, data
    const auto token = registry.log()[1];
    CHECK(token.path == "/token");
    CHECK(token.method == "GET");
    CHECK(token.query == "service=imposter&scope=repository%3Alibrary%2Fthing%3Apull");
    CHECK(token.authorization.empty());
    CHECK(registry.log()[2].authorization == "Bearer token-1");
    CHECK(reads_right());
    CHECK(registry.log().size() == 4);
    CHECK(total("firstlight_registry_tokens_total") == 1);
}

TEST_CASE_FIXTURE(auth_rig, "layers resolved side by side share one token fetch") {
    std::vector<std::future<result<blob_tail>>> tails;
    for (int i = 0; i < 6; ++i) {
        tails.push_back(tailing(at(blob), 100));
        tails.push_back(tailing_elsewhere(at(blob), 100));
    }
    for (auto& each : tails) {
        CHECK(each.get().has_value());
    }
    CHECK(registry.count("/token") == 1);
}

TEST_CASE_FIXTURE(auth_rig, "another shard, or repository, needs no 401 of its own") {
    CHECK(reads_right());
    CHECK(read_elsewhere(blob, some).has_value());
    CHECK(registry.log().size() == 4); // its first request carries the token
    const auto second = at(blob, "library/second");
    const auto got = reading_elsewhere(second, some).get();
    CHECK(got.has_value());
    CHECK(registry.log().size() == 6); // a token for the other scope, and the data
    CHECK(registry.count("/token") == 2);
}

TEST_CASE_FIXTURE(auth_rig, "a refused token is replaced: 401, and 403 as some say it") {
    registry.change([](auto& o) { o.token_uses = 1; });
    for (const unsigned refusal : {401U, 403U}) {
        CAPTURE(refusal);
        registry.change([refusal](auto& o) { o.refusal = refusal; });
        CHECK(reads_right());
        registry.clear_log();
        CHECK(reads_right());
        CHECK(registry.log().size() == 3); // refused, token, data
    }
}

TEST_CASE_FIXTURE(auth_rig, "a token without a lifetime is good until refused") {
    registry.change([](auto& o) { o.token_lifetime = 0; });
    CHECK(reads_right());
    CHECK(reads_right());
    CHECK(registry.count("/token") == 1);
}

TEST_CASE_FIXTURE(auth_rig, "an old token is renewed before it is refused") {
    registry.change([](auto& o) { o.token_lifetime = 1; });
    CHECK(reads_right());
    std::this_thread::sleep_for(950ms); // past its three quarters
    registry.clear_log();
    CHECK(reads_right());
    for (int i = 0; i < 1000 && registry.count("/token") == 0; ++i) { // beside the read
        std::this_thread::sleep_for(2ms);
    }
    CHECK(registry.count("/token") == 1);
    CHECK(registry.count("/blobs/") == 1); // no 401 in between
}

TEST_CASE_FIXTURE(auth_rig, "credentials go to the token endpoint, and nowhere else") {
    registry.change([](auto& o) {
        o.user = "u";
        o.password = "p:w";
    });
    know("u", "p:w");
    CHECK(reads_right());
    CHECK(registry.log()[1].authorization == "Basic dTpwOnc=");
    CHECK(registry.log()[2].authorization == "Bearer token-1");
    CHECK(who.asked == 1);
}

TEST_CASE_FIXTURE(auth_rig, "an identity token is posted") {
    registry.change([](auto& o) {
        o.user = "u";
        o.password = "p";
        o.identity_token = "idt";
    });
    know("", "idt");
    CHECK(reads_right());
    CHECK(registry.log()[1].method == "POST");
    CHECK(registry.log()[1].body.find("grant_type=refresh_token") != std::string::npos);
}

TEST_CASE_FIXTURE(auth_rig, "a token endpoint without GET is sent a POST") {
    know("u", "p");
    imposter_fault f;
    f.status = 405;
    registry.fail(f, 0, "/token");
    CHECK(reads_right());
    CHECK(registry.log()[2].method == "POST");
    CHECK(registry.log()[2].body.find("grant_type=password") != std::string::npos);
}

TEST_CASE_FIXTURE(auth_rig, "refused credentials are unauthorized, and asked for anew") {
    registry.change([](auto& o) {
        o.user = "u";
        o.password = "right";
    });
    know("u", "wrong-secret");
    const auto got = read(blob, some);
    REQUIRE(!got);
    CHECK(got.error().code() == errc::unauthorized);
    CHECK(got.error().context().find("wrong-secret") == std::string::npos);
    know("u", "right"); // as when somebody logs in meanwhile
    CHECK(reads_right());
}

TEST_CASE_FIXTURE(auth_rig, "a token endpoint that fails for a moment is asked again") {
    imposter_fault f;
    f.status = 503;
    registry.fail(f, 0, "/token");
    CHECK(reads_right());
    f.status = 0;
    f.drop_connection = true;
    restart(quick());
    registry.fail(f, 0, "/token");
    CHECK(reads_right());
}

TEST_CASE_FIXTURE(auth_rig, "basic authentication") {
    registry.change([](auto& o) {
        o.authentication = imposter_options::auth::basic;
        o.user = "u";
        o.password = "p";
    });
    const auto refused = read(blob, some);
    REQUIRE(!refused);
    CHECK(refused.error().code() == errc::unauthorized);
    CHECK(refused.error().context().find("docker's config.json") != std::string::npos);
    know("u", "p");
    registry.clear_log();
    CHECK(reads_right());
    CHECK(reads_right());
    CHECK(registry.log().size() == 3);
}

TEST_CASE_FIXTURE(
  auth_rig, "a password that is changed while we run is picked up at the next 401") {
    registry.change([](auto& o) {
        o.user = "u";
        o.password = "old";
        o.token_uses = 1;
    });
    know("u", "old");
    CHECK(reads_right());
    registry.change([](auto& o) { o.password = "new"; });
    know("u", "new");
    registry.clear_log();
    CHECK(reads_right());
    CHECK(registry.log().size() == 3); // refused, token, data
    CHECK(registry.count("/token") == 1);
}

TEST_CASE_FIXTURE(
  auth_rig, "credentials that have run out are answered 403 by some: asked for anew") {
    registry.change([](auto& o) {
        o.user = "u";
        o.password = "old";
        o.token_uses = 1;
        o.refusal = 403;
    });
    know("u", "old");
    CHECK(reads_right());
    const int asked = who.asked;
    registry.change([](auto& o) { o.password = "new"; });
    know("u", "new");
    CHECK(reads_right());
    CHECK(who.asked == asked + 1);
}

TEST_CASE_FIXTURE(auth_rig, "basic authentication: a changed password is picked up, too") {
    registry.change([](auto& o) {
        o.authentication = imposter_options::auth::basic;
        o.user = "u";
        o.password = "old";
    });
    know("u", "old");
    CHECK(reads_right());
    registry.change([](auto& o) { o.password = "new"; });
    CHECK(!reads_right()); // nobody has told us
    know("u", "new");
    CHECK(reads_right());
    CHECK(reads_right());
}

TEST_CASE_FIXTURE(auth_rig, "a refusal is not kept: credentials that come later are of use") {
    registry.change([](auto& o) {
        o.user = "u";
        o.password = "p";
    });
    CHECK(read(blob, some).error().code() == errc::unauthorized);
    CHECK(read_elsewhere(blob, some).error().code() == errc::unauthorized);
    know("u", "p");
    CHECK(reads_right());
    CHECK(read_elsewhere(blob, some).has_value());
}

TEST_CASE_FIXTURE(auth_rig, "who cannot tell our credentials keeps no public image from us") {
    who.failing = fault(errc::unavailable, "helper is broken");
    CHECK(reads_right());
    CHECK(registry.log()[1].authorization.empty());
}

TEST_CASE_FIXTURE(auth_rig, "without credentials that could not be had, the reason is told") {
    registry.change([](auto& o) {
        o.user = "u";
        o.password = "p";
    });
    who.failing = fault(errc::invalid_argument, "config.json is broken");
    const auto refused = read(blob, some);
    REQUIRE(!refused);
    CHECK(refused.error().code() == errc::unauthorized);
    CHECK(refused.error().context().find("config.json is broken") != std::string::npos);
    who.failing = fault(errc::unavailable, "helper is slow"); // for now
    CHECK(read(blob, some).error().code() == errc::unavailable);
}

TEST_CASE_FIXTURE(auth_rig, "credentials are asked for with the repository") {
    CHECK(reads_right());
    CHECK(who.last_repository == "library/thing");
}
