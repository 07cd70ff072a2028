#include "test/net/net_rig.h"

using namespace firstlight;
using namespace firstlight::test;

namespace {

struct mirror_rig : net_rig {
    registry_imposter mirror;
    std::string content = pattern(10'000);
    digest blob = registry.add_blob(content);
    const byte_range some{100, 5000};

    mirror_rig() {
        mirror.add_blob(content);
        restart(with_mirrors());
    }
    registry_config with_mirrors() {
        registry_endpoint with_slash, first;
        with_slash.host = "x/y";
        first.host = mirror.host();
        first.headers = {{"X-Farm", "7"}};
        first.timeout = 200ms;
        registry_host host;
        host.mirrors = {registry_endpoint(), with_slash, first};
        auto config = quick();
        config.hosts[registry.host()] = host;
        return config;
    }
    bool reads_right() {
        const auto got = read(blob, some);
        return got && *got == slice(content, some);
    }
};

} // namespace

TEST_CASE_FIXTURE(mirror_rig, "mirrors come first, with ns= and their headers") {
    CHECK(reads_right());
    CHECK(registry.log().empty());
    REQUIRE(mirror.log().size() == 1);
    const auto seen = mirror.log()[0];
    CHECK(seen.query == "ns=" + percent_encoded(registry.host()));
    CHECK(seen.headers.at("x-farm") == "7");
}

TEST_CASE_FIXTURE(mirror_rig, "a mirror's headers do not follow a redirect") {
    registry_imposter storage;
    storage.add_blob(content);
    mirror.change([&](auto& o) { o.redirect_to = storage.url(); });
    CHECK(reads_right());
    REQUIRE(storage.log().size() == 1);
    CHECK(!storage.log()[0].headers.contains("x-farm"));
}

TEST_CASE_FIXTURE(mirror_rig, "any failure of a mirror falls back at once, for that request") {
    std::vector<imposter_fault> ways(6);
    ways[0].status = 500;
    ways[1].status = 404;
    ways[2].status = 401;
    ways[3].drop_connection = true;
    ways[4].content_range = "bytes 0-1/2";
    ways[5].delay = 1h;
    for (const auto& way : ways) {
        CAPTURE(way.status);
        restart(with_mirrors());
        registry.clear_log();
        mirror.clear_log();
        mirror.forgive();
        mirror.fail_always(way);
        CHECK(reads_right());
        CHECK(mirror.log().size() == 1);
        CHECK(registry.log().size() == 1);
        CHECK(registry.log()[0].query.empty());
        CHECK(reads_right()); // now the registry is asked first
        CHECK(mirror.log().size() == 1);
    }
    CHECK(total("firstlight_registry_retries_total") == 0);
}

TEST_CASE_FIXTURE(mirror_rig, "a mirror that breaks in the middle is resumed elsewhere") {
    imposter_fault f;
    f.close_after = 1000;
    mirror.fail(f);
    mirror.fail(
      [] {
          imposter_fault gone;
          gone.drop_connection = true;
          return gone;
      }(),
      1);
    CHECK(reads_right());
    REQUIRE(registry.log().size() == 1);
    CHECK(registry.log()[0].range == "bytes=1100-4999");
}

TEST_CASE_FIXTURE(mirror_rig, "a mirror that falls silent in the middle is resumed elsewhere") {
    auto config = with_mirrors();
    config.hosts[registry.host()].mirrors.back().timeout = 0ms; // as the operator left it
    config.request_timeout = 1h;
    config.silence_beside_others = 100ms;
    restart(config);
    imposter_fault f;
    f.stall_after = 1000;
    mirror.fail_always(f);
    CHECK(reads_right());
    REQUIRE(registry.log().size() == 1);
    CHECK(registry.log()[0].range == "bytes=1100-4999");
    CHECK(reads_right()); // and no read after it tries the mirror first
    CHECK(mirror.log().size() == 1);
    CHECK(registry.log().size() == 2);
}

TEST_CASE_FIXTURE(mirror_rig, "endpoints that all break in the middle are tried again in turn") {
    imposter_fault f;
    f.close_after = 1000;
    mirror.fail_always(f);
    registry.fail(f);
    CHECK(reads_right()); // by the mirror, the registry, and a retry
}

TEST_CASE_FIXTURE(mirror_rig, "a mirror stands in for a registry that is gone") {
    registry.vanish();
    CHECK(reads_right());
}

TEST_CASE_FIXTURE(mirror_rig, "when all fail the registry's reason is told") {
    imposter_fault f;
    f.status = 404;
    mirror.fail_always(f);
    f.status = 403;
    registry.fail_always(f);
    const auto got = read(blob, some);
    REQUIRE(!got);
    CHECK(got.error().code() == errc::unauthorized);
    CHECK(got.error().context().find(registry.host() + "/v2/") != std::string::npos);
}
