#include "app/credential_sources.h"
#include "test/app/temporary_file.h"
#include "test/result_text.h"
#include "test/rig.h"

#include <doctest/doctest.h>

using namespace firstlight;

namespace {

// The sources that `settings` call for, on shard a.
struct sources : test::two_shards {
    worker_pool pool{"test", 2};

    std::string found(credential_sources& in, const char* host, const char* repository) {
        const credential_query what(host, repository);
        const auto got = run(in.all().find(what));
        REQUIRE(got);
        return *got ? (*got)->user() + ":" + (*got)->secret() : "none";
    }
};

} // namespace

TEST_CASE_FIXTURE(sources, "the configuration, then docker's file, then what was pulled with") {
    const test::temporary_file docker(
      R"({"auths":{"a.io":{"username":"docker","password":"1"},
                   "b.io":{"username":"docker","password":"2"}}})");
    config settings;
    settings.registry.docker_config = docker.path();
    settings.registry.hosts["a.io"].username = "file";
    settings.registry.hosts["a.io"].password = "3";
    settings.registry.hosts["t"].identity_token = "idt";
    settings.registry.hosts["b.io"].ca_file = "/none"; // and no credentials
    settings.keychain.cri = true;
    credential_sources all(settings, a, pool);
    REQUIRE(run(all.start()).has_value());
    REQUIRE(all.pulled());
    cri_auth auth;
    auth.username = "cri";
    auth.password = "4";
    for (const auto* image : {"a.io/r:1", "b.io/r:1", "c.io/r:1"}) {
        CAPTURE(image);
        CHECK(all.pulled()->remember(image, auth).has_value());
    }
    CHECK(found(all, "a.io", "r") == "file:3");
    CHECK(found(all, "t", "r") == ":idt");
    CHECK(found(all, "b.io", "r") == "docker:2");
    CHECK(found(all, "c.io", "r") == "cri:4");
    CHECK(found(all, "d.io", "r") == "none");
    run(all.stop());
}

TEST_CASE_FIXTURE(sources, "pulls are not noted unless that is configured") {
    config settings;
    settings.registry.docker_config = "/nonexistent/config.json";
    credential_sources all(settings, a, pool);
    CHECK(!all.pulled());
    CHECK(found(all, "h", "r") == "none");
}
