#include "net/auth_documents.h"
#include "net/configured_credentials.h"
#include "net/credential_chain.h"
#include "net/docker_credentials.h"
#include "net/docker_key.h"
#include "net/pulled_credentials.h"
#include "test/captured_stderr.h"
#include "test/rig.h"
#include "test/temporary_directory.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include <sys/stat.h>
#include <unistd.h>

using namespace firstlight;
using test::start;
using test::two_shards;

namespace {

using found = result<std::optional<credentials>>;

found found_in(const std::string& json, const std::string& host, std::string repository = {}) {
    const auto config = docker_config::parse(json);
    if (!config) {
        return config.error();
    }
    return config->find(credential_query(host, std::move(repository)));
}

// "user:secret", or what there is instead.
std::string shown(const found& f) {
    if (!f) {
        return std::string(to_string(f.error().code()));
    }
    return *f ? (*f)->user() + ":" + (*f)->secret() : "none";
}

credential_query host(const std::string& name) {
    return credential_query(name);
}

} // namespace

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
        const auto found = found_in(json, each.host);
        REQUIRE(found.has_value());
        REQUIRE(found->has_value());
        CHECK((*found)->user() == each.user);
        CHECK((*found)->secret() == each.secret);
    }
    for (const auto* host : {"localhost", "empty.io", "io"}) {
        const auto found = found_in(json, host);
        REQUIRE(found.has_value());
        CHECK(!found->has_value());
    }
}

TEST_CASE("what is no config.json is refused without quoting it") {
    for (const auto* text :
         {"", "[]", "{", R"({"auths":{"h":{"auth":"hunter2*"}}})", R"({"auths":{"h":7}})",
          R"({"auths":{"h":{"auth":"aHVudGVyMg=="}}})"}) {
        CAPTURE(text);
        const auto found = found_in(text, "h");
        REQUIRE(!found);
        CHECK(found.error().code() == errc::invalid_argument);
        CHECK(found.error().context().find("hunter2") == std::string::npos);
    }
    CHECK(found_in("{}", "h").has_value());
    CHECK(!found_in(std::string(100'000, '['), "h").has_value());
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
    CHECK(!start(a, source.find(host("h"))).get()->has_value()); // no file, no credentials
    std::ofstream(path) << R"({"auths":{"h":{"username":"u","password":"1"}}})";
    CHECK((*start(a, source.find(host("h"))).get())->secret() == "1");
    std::ofstream(path) << R"({"auths":{"h":{"username":"u","password":"2"}}})";
    CHECK((*start(a, source.find(host("h"))).get())->secret() == "2");
    std::ofstream(path) << "not json";
    const auto bad = start(a, source.find(host("h"))).get();
    REQUIRE(!bad);
    CHECK(bad.error().context().find(path.string()) != std::string::npos);
    std::filesystem::remove(path);
}

TEST_CASE("which key of auths names a registry, and how well") {
    struct row {
        const char* key;
        const char* host;
        const char* repository;
        std::size_t rank;
    };
    for (const auto& each : {
           row{"quay.io", "quay.io", "a/b", 2},
           row{"https://quay.io", "quay.io", "a/b", 2},
           row{"https://quay.io/v1/", "quay.io", "a/b", 2},
           row{"http://quay.io/v2", "quay.io", "", 2},
           row{"quay.io/", "quay.io", "a/b", 2},
           row{"quay.io:443", "quay.io", "a/b", 0},
           row{"quay.io", "quay.io:5000", "a/b", 0},
           row{"quay.io:5000", "quay.io:5000", "a/b", 2},
           row{"quay.io/a", "quay.io", "a/b", 4},
           row{"quay.io/v2/a/b/", "quay.io", "a/b", 8},
           row{"quay.io/a/b/c", "quay.io", "a/b", 0},
           row{"quay.io/a", "quay.io", "ab/c", 0},
           row{"quay.io/a", "quay.io", "", 0},
           row{"quay.io/v10", "quay.io", "x", 0},
           row{"https://index.docker.io/v1/", "docker.io", "library/x", 2},
           row{"docker.io/library", "registry-1.docker.io", "library/x", 16},
           row{"index.docker.io", "registry-1.docker.io", "", 2},
           row{"*.azurecr.io", "mine.azurecr.io", "x", 1},
           row{"*.azurecr.io", "not.mine.azurecr.io", "x", 0},
           row{"*.azurecr.io", "azurecr.io", "x", 0},
           row{"a*c.io/team", "abbc.io", "team/x", 9},
           row{"*.io", "evil.com", "x", 0},
           row{"", "quay.io", "x", 0},
           row{"/", "", "x", 0},
         }) {
        CAPTURE(each.key);
        CAPTURE(each.host);
        CAPTURE(each.repository);
        CHECK(docker_key_rank(each.key, credential_query(each.host, each.repository)) == each.rank);
    }
}

TEST_CASE("the longest path counts, and what is empty says nothing") {
    const std::string json = R"({"auths": {
      "quay.io": {"username": "all", "password": "1"},
      "quay.io/team": {"username": "team", "password": "2"},
      "https://quay.io/v2/": {},
      "ghcr.io": {},
      "*.cr.io": {"username": "any", "password": "3"},
      "a.cr.io": {"username": "one", "password": "4"}
    }})";
    CHECK(shown(found_in(json, "quay.io", "team/x")) == "team:2");
    CHECK(shown(found_in(json, "quay.io", "teams/x")) == "all:1");
    CHECK(shown(found_in(json, "quay.io")) == "all:1");
    CHECK(shown(found_in(json, "ghcr.io")) == "none");
    CHECK(shown(found_in(json, "a.cr.io")) == "one:4");
    CHECK(shown(found_in(json, "b.cr.io")) == "any:3");
}

TEST_CASE("what a helper may answer") {
    const auto answer = [](const char* json) { return shown(parse_helper_answer(json)); };
    CHECK(answer(R"({"ServerURL":"h","Username":"u","Secret":"s"})") == "u:s");
    CHECK(answer(R"({"Username":"<token>","Secret":"idt"})") == ":idt");
    CHECK(answer(R"({"Username":"u","Secret":""})") == "none");
    CHECK(answer(R"({"Username":"","Secret":"s"})") == "none");
    CHECK(answer("{}") == "none");
    CHECK(answer("") == "corrupt");
    CHECK(answer("hunter2") == "corrupt");
    CHECK(parse_helper_answer("hunter2").error().context().find("hunter2") == std::string::npos);
}

namespace {

// A config.json, and helpers beside it.
struct helpers : two_shards {
    worker_pool pool{"test", 2};
    test::temporary_directory dir;
    docker_credentials::options options{dir.path() + ":/usr/bin:/bin", std::chrono::seconds(20)};

    void helper(const std::string& name, const std::string& script) const {
        const auto path = dir / ("docker-credential-" + name);
        test::write_file(path + ".new", "#!/bin/sh\n" + script);
        ::chmod((path + ".new").c_str(), 0700);
        std::filesystem::rename(path + ".new", path); // never one that is being written
    }
    void config(const std::string& json) const { test::write_file(dir / "config.json", json); }
    found look_up(const std::string& name, std::string repository = {}) {
        docker_credentials source(pool, dir / "config.json", options);
        const credential_query what(name, std::move(repository));
        return start(a, source.find(what)).get();
    }
    std::string text_of(const std::string& name) const {
        std::ifstream in(dir / name);
        return {std::istreambuf_iterator<char>(in), {}};
    }
};

constexpr auto good = R"(read host; echo "{\"Username\":\"of $host\",\"Secret\":\"s\"}")";

} // namespace

TEST_CASE_FIXTURE(helpers, "a registry's own helper, and the one for the rest") {
    helper("one", good);
    helper("rest", R"(cat >/dev/null; echo '{"Username":"<token>","Secret":"idt"}')");
    config(R"({"credHelpers": {"one.io": "one", "docker.io": "one"}, "credsStore": "rest"})");
    CHECK(shown(look_up("one.io")) == "of one.io:s");
    CHECK(shown(look_up("docker.io")) == "of https://index.docker.io/v1/:s");
    CHECK(shown(look_up("two.io")) == ":idt");
}

TEST_CASE_FIXTURE(helpers, "a helper is run as helpers are, and nothing secret is in its way") {
    helper(
      "one", "echo \"$@\" >" + dir.path() + "/arguments; cat >" + dir.path() + "/input; env >" +
               dir.path() + "/environment; echo '{\"Username\":\"u\",\"Secret\":\"hunter2\"}'");
    config(R"({"credsStore": "one", "auths": {"h:5000": {"username": "u", "password": "pa55"}}})");
    CHECK(shown(look_up("h:5000")) == "u:hunter2");
    CHECK(text_of("arguments") == "get\n");
    CHECK(text_of("input") == "h:5000\n");
    CHECK(text_of("environment").find("pa55") == std::string::npos);
}

TEST_CASE_FIXTURE(helpers, "a helper without credentials leaves it to auths") {
    helper("one", "echo 'credentials not found in native keychain'; exit 1");
    config(R"({"credsStore": "one", "auths": {"h": {"username": "u", "password": "p"}}})");
    CHECK(shown(look_up("h")) == "u:p");
    CHECK(shown(look_up("other")) == "none");
}

TEST_CASE_FIXTURE(helpers, "a helper that fails is unavailable, named, and not quoted") {
    config(R"({"credsStore": "one"})");
    const auto refusal = [this](const std::string& script) {
        helper("one", script);
        const auto got = look_up("h");
        REQUIRE(!got);
        CHECK(got.error().code() == errc::unavailable);
        CHECK(got.error().context().find("docker-credential-one: ") == 0);
        CHECK(got.error().context().find("hunter2") == std::string::npos);
        return got.error().context();
    };
    refusal("echo hunter2; exit 1");
    refusal("echo hunter2");
    refusal("exit 0");
    refusal("while :; do echo hunter2; done");
    options.helper_time = std::chrono::milliseconds(300);
    CHECK(refusal("sleep 1000").find("killed after 300 ms") != std::string::npos);
    config(R"({"credsStore": "absent"})");
    CHECK(look_up("h").error().code() == errc::unavailable);
    for (const auto* name : {"../evil", "a b", "a/b"}) {
        CAPTURE(name);
        config(R"({"credsStore": ")" + std::string(name) + "\"}");
        CHECK(look_up("h").error().code() == errc::invalid_argument);
    }
}

TEST_CASE_FIXTURE(helpers, "few helpers run at once, and all get their turn") {
    helper(
      "one", "mkdir " + dir.path() + "/running-$$; ls -d " + dir.path() + "/running-* | wc -l >>" +
               dir.path() + "/seen; sleep 0.05; rmdir " + dir.path() +
               "/running-$$; echo '{\"Username\":\"u\",\"Secret\":\"s\"}'");
    config(R"({"credsStore": "one"})");
    worker_pool many("test", 8);
    docker_credentials source(many, dir / "config.json", options);
    std::vector<std::future<found>> all;
    for (int i = 0; i < 8; ++i) {
        all.push_back(start(a, source.find(host("h"))));
    }
    for (auto& each : all) {
        CHECK(shown(each.get()) == "u:s");
    }
    std::ifstream in(dir / "seen");
    int at_once = 0, times = 0;
    for (; in >> at_once; ++times) {
        CHECK(at_once <= 2);
    }
    CHECK(times == 8);
}

TEST_CASE_FIXTURE(two_shards, "what is configured, by host, the Hub by any of its names") {
    std::map<std::string, credentials> by_host;
    by_host.emplace("h:5000", credentials("u", "1"));
    by_host.emplace("registry-1.docker.io", credentials("hub", "2"));
    configured_credentials source(by_host);
    CHECK(shown(run(source.find(host("h:5000")))) == "u:1");
    CHECK(shown(run(source.find(host("docker.io")))) == "hub:2");
    CHECK(shown(run(source.find(host("h")))) == "none");
}

namespace {

class scripted final : public credential_source {
public:
    task<found> find(credential_query what) override {
        asked.push_back(what.host() + "/" + what.repository());
        co_return answer;
    }
    found answer = std::optional<credentials>();
    std::vector<std::string> asked;
};

} // namespace

TEST_CASE_FIXTURE(two_shards, "a chain: the first that has something, whoever fails before it") {
    scripted first, second, third;
    credential_chain chain;
    chain.add("first", first);
    chain.add("second", second);
    chain.add("third", third);
    const credential_query what("h", "r");
    CHECK(shown(run(chain.find(what))) == "none");
    CHECK(third.asked == std::vector<std::string>{"h/r"});
    second.answer = std::optional(credentials("u", "2"));
    CHECK(shown(run(chain.find(what))) == "u:2");
    CHECK(third.asked.size() == 1); // not asked any more
    first.answer = fault(errc::unavailable, "why");
    CHECK(shown(run(chain.find(what))) == "u:2");
    second.answer = fault(errc::corrupt, "other");
    auto failed = run(chain.find(what));
    REQUIRE(!failed);
    CHECK(failed.error().code() == errc::unavailable); // the first one's
    CHECK(failed.error().context() == "first: why");
    first.answer = fault(errc::stopping, "pool");
    third.answer = std::optional(credentials("u", "3"));
    CHECK(run(chain.find(what)).error().code() == errc::stopping);
}

TEST_CASE_FIXTURE(
  helpers, "a failing source is logged once, until it is well again, and no secret is") {
    const test::captured_stderr log;
    docker_credentials source(pool, dir / "config.json", options);
    credential_chain chain;
    chain.add("docker's config.json", source);
    const auto lines = [&log] {
        const auto text = log.text();
        return std::count(text.begin(), text.end(), '\n');
    };
    helper("one", "echo hunter2; exit 1");
    config(R"({"credsStore":"one","auths":{"h":{"auth":"hunter2*"}}})");
    CHECK(!run(chain.find(host("h"))));
    CHECK(!run(chain.find(host("h"))));
    CHECK(lines() == 1);
    helper("one", "echo 'credentials not found in native keychain'; exit 1");
    CHECK(!run(chain.find(host("h")))); // now auths is at fault
    CHECK(lines() == 2);
    config(R"({"auths":{"h":{"username":"u","password":"hunter2"}}})");
    CHECK(shown(run(chain.find(host("h")))) == "u:hunter2");
    CHECK(lines() == 3); // it is well
    config("hunter2");
    CHECK(!run(chain.find(host("h"))));
    CHECK(lines() == 4);
    CHECK(log.text().find("hunter2") == std::string::npos);
    CHECK(log.text().find("docker-credential-one") != std::string::npos);
}

TEST_CASE("credentials of a CRI request, and for whom they are") {
    cri_auth from;
    const auto shown_for = [&](const char* host) { return shown(credentials_in(from, host)); };
    CHECK(shown_for("h") == "none");
    from.auth = "dTpwOnc=";
    CHECK(shown_for("h") == "u:p:w");
    from.identity_token = "idt";
    CHECK(shown_for("h") == ":idt");
    from.username = "me";
    from.password = "pw";
    CHECK(shown_for("h") == "me:pw");
    from.server_address = "https://other/v1/";
    CHECK(shown_for("h") == "none");
    CHECK(shown_for("other") == "me:pw");
    from.server_address = "https://index.docker.io/v1/";
    CHECK(shown_for("docker.io") == "me:pw");
    cri_auth bad;
    bad.auth = "hunter2*";
    const auto refused = credentials_in(bad, "h");
    REQUIRE(!refused);
    CHECK(refused.error().context().find("hunter2") == std::string::npos);
}

TEST_CASE_FIXTURE(two_shards, "the latest pull of a repository counts, for its host alone") {
    pulled_credentials pulled(3);
    const auto known = [&](const char* host, const char* repository) {
        const credential_query what(host, repository);
        return shown(run(pulled.find(what)));
    };
    cri_auth me, you;
    me.username = "me";
    me.password = "1";
    you.username = "you";
    you.password = "2";
    CHECK(pulled.remember("busybox:1", me).has_value());
    CHECK(known("docker.io", "library/busybox") == "me:1");
    CHECK(known("registry-1.docker.io", "library/busybox") == "me:1");
    CHECK(known("mirror:5000", "library/busybox") == "none");
    CHECK(known("docker.io", "library/other") == "none");
    CHECK(pulled.remember("docker.io/library/busybox:2", you).has_value());
    CHECK(known("docker.io", "library/busybox") == "you:2");
    CHECK(pulled.remember("busybox", cri_auth()).has_value()); // anonymously
    CHECK(known("docker.io", "library/busybox") == "you:2");
    CHECK(!pulled.remember("no reference!", me));
    for (const auto* image : {"h/b", "h/c", "docker.io/library/busybox:3", "h/d"}) {
        CHECK(pulled.remember(image, me).has_value());
    }
    CHECK(pulled.size() == 3);
    CHECK(known("h", "b") == "none"); // the oldest
    CHECK(known("docker.io", "library/busybox") == "me:1");
}
