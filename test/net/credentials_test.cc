#include "net/auth_documents.h"
#include "net/docker_credentials.h"
#include "test/rig.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include <unistd.h>

using namespace firstlight;
using test::start;
using test::two_shards;

TEST_CASE("docker's config.json in all its forms") {
    const std::string json = R"({"auths": {
      "https://index.docker.io/v1/": {"auth": "aHViOnB3"},
      "quay.io": {"username": "q", "password": "s"},
      "https://ghcr.io/v2/": {"identitytoken": "idt", "auth": "eDp5"},
      "localhost:5000": {"auth": "bG9jYWw6YTpi"},
      "empty.io": {}
    }, "credsStore": "desktop"})";
    struct row {
        const char* host;
        const char* user;
        const char* secret;
    };
    for (const auto& each :
         {row{"docker.io", "hub", "pw"}, row{"registry-1.docker.io", "hub", "pw"},
          row{"quay.io", "q", "s"}, row{"ghcr.io", "", "idt"},
          row{"localhost:5000", "local", "a:b"}}) {
        CAPTURE(each.host);
        const auto found = find_docker_credentials(json, each.host);
        REQUIRE(found.has_value());
        REQUIRE(found->has_value());
        CHECK((*found)->user() == each.user);
        CHECK((*found)->secret() == each.secret);
    }
    for (const auto* host : {"localhost", "empty.io", "io"}) {
        const auto found = find_docker_credentials(json, host);
        REQUIRE(found.has_value());
        CHECK(!found->has_value());
    }
}

TEST_CASE("what is no config.json is refused without quoting it") {
    for (const auto* text :
         {"", "[]", "{", R"({"auths":{"h":{"auth":"hunter2*"}}})", R"({"auths":{"h":7}})",
          R"({"auths":{"h":{"auth":"aHVudGVyMg=="}}})"}) {
        CAPTURE(text);
        const auto found = find_docker_credentials(text, "h");
        REQUIRE(!found);
        CHECK(found.error().code() == errc::invalid_argument);
        CHECK(found.error().context().find("hunter2") == std::string::npos);
    }
    CHECK(find_docker_credentials("{}", "h").has_value());
    CHECK(!find_docker_credentials(std::string(100'000, '['), "h").has_value());
}

TEST_CASE("token answers") {
    CHECK(parse_token_answer(R"({"token":"t","expires_in":60})")->token == "t");
    CHECK(parse_token_answer(R"({"token":"t","expires_in":60})")->lifetime.count() == 60);
    CHECK(parse_token_answer(R"({"access_token":"a"})")->token == "a");
    CHECK(parse_token_answer(R"({"token":"t","expires_in":-5})")->lifetime.count() == 0);
    CHECK(parse_token_answer(R"({"token":"t","expires_in":1e300})")->lifetime.count() > 0);
    for (const auto* text :
         {"", "{}", R"({"token":""})", R"({"token":"a\nb"})", R"({"token":1})"}) {
        CHECK(!parse_token_answer(text));
    }
}

TEST_CASE_FIXTURE(two_shards, "the file is read at each use") {
    worker_pool pool("test", 2);
    const auto path = std::filesystem::temp_directory_path() /
                      ("firstlight-config-" + std::to_string(::getpid()) + ".json");
    std::filesystem::remove(path);
    docker_credentials source(pool, path.string());
    CHECK(!start(a, source.find("h")).get()->has_value()); // no file, no credentials
    std::ofstream(path) << R"({"auths":{"h":{"username":"u","password":"1"}}})";
    CHECK((*start(a, source.find("h")).get())->secret() == "1");
    std::ofstream(path) << R"({"auths":{"h":{"username":"u","password":"2"}}})";
    CHECK((*start(a, source.find("h")).get())->secret() == "2");
    std::ofstream(path) << "not json";
    const auto bad = start(a, source.find("h")).get();
    REQUIRE(!bad);
    CHECK(bad.error().context().find(path.string()) != std::string::npos);
    std::filesystem::remove(path);
}
