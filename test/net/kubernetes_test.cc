#include "net/kubeconfig.h"
#include "net/kubernetes_secrets.h"
#include "test/captured_stderr.h"
#include "test/imposter/kubernetes_imposter.h"
#include "test/imposter/test_certificates.h"
#include "test/result_text.h"
#include "test/rig.h"
#include "test/temporary_directory.h"

#include <doctest/doctest.h>

#include <filesystem>

using namespace firstlight;
using namespace firstlight::test;
using namespace std::chrono_literals;

namespace {

std::string config_for(const std::string& host, const std::string& secret) {
    return R"({"auths":{")" + host + R"(":{"username":"u","password":")" + secret + "\"}}}";
}

std::string
kubeconfig_of(const std::string& server, const std::string& cluster, const std::string& user) {
    return "apiVersion: v1\nkind: Config\ncurrent-context: here\n"
           "contexts: [{name: other, context: {cluster: x, user: x}},\n"
           "  {name: here, context: {cluster: c, user: me}}]\n"
           "clusters:\n- name: c\n  cluster:\n    server: " +
           server + "\n" + cluster + "users:\n- name: me\n  user:\n" + user;
}

kubernetes_secrets::options quickly() {
    kubernetes_secrets::options o;
    o.page = 2;
    o.look_again = 5ms;
    o.first_pause = 1ms;
    o.longest_pause = 4ms;
    o.first_wait = 10s;
    return o;
}

// The secrets of an API server, on shard a.
struct cluster : two_shards {
    worker_pool pool{"test", 2};
    temporary_directory dir;
    kubernetes_imposter server;
    std::unique_ptr<kubernetes_secrets> source;

    explicit cluster(kubernetes_options o = {})
      : server(std::move(o)) {}
    ~cluster() { end(); }

    void write(const std::string& user = "    token: t\n", const std::string& more = "") const {
        const auto path = dir / "kubeconfig";
        write_file(path + ".new", kubeconfig_of(server.url(), more, user));
        std::filesystem::rename(path + ".new", path);
    }
    void begin(kubernetes_secrets::options o = quickly()) {
        kubeconfig_places places;
        places.chosen = dir / "kubeconfig";
        source = std::make_unique<kubernetes_secrets>(a, pool, places, o);
        run(started());
    }
    void end() {
        if (source) {
            run(source->stop());
            source.reset();
            CHECK(eventually([&] { return server.watching() == 0; }));
        }
    }
    // The secret known for `host`, or what there is instead.
    std::string known(const std::string& host) {
        const credential_query what(host, "team/x");
        const auto found = run(source->find(what));
        if (!found) {
            return std::string(to_string(found.error().code()));
        }
        return *found ? (*found)->secret() : "none";
    }
    bool becomes(const std::string& host, const std::string& secret) {
        return eventually([&] { return known(host) == secret; });
    }
    template <class F>
    bool eventually(F holds) {
        for (int i = 0; i < 4000; ++i) {
            if (holds()) {
                return true;
            }
            std::this_thread::sleep_for(5ms);
        }
        return false;
    }
    bool watched() {
        return eventually([&] { return server.watching() == 1; });
    }

private:
    task<void> started() {
        source->start();
        co_return;
    }
};

kubernetes_options secured(const test_certificates& by) {
    kubernetes_options o;
    o.certificate = by.certificate;
    o.private_key = by.private_key;
    o.token = "good";
    return o;
}

struct secured_cluster : cluster {
    test_certificates by;
    explicit secured_cluster(test_certificates c = make_certificates())
      : cluster(secured(c))
      , by(std::move(c)) {}
};

} // namespace

TEST_CASE_FIXTURE(cluster, "secrets are listed in pages, then watched") {
    for (int i = 0; i < 5; ++i) {
        server.put("s" + std::to_string(i), config_for("h" + std::to_string(i), "first"));
    }
    server.put("broken", "not json");
    write();
    begin();
    CHECK(known("h0") == "first"); // waits for the first list
    CHECK(known("h4") == "first");
    CHECK(known("h5") == "none");
    CHECK(server.count("limit=2") == 3);
    CHECK(server.count("continue=") == 2);
    REQUIRE(watched());

    server.put("s5", config_for("h5", "added"));
    CHECK(becomes("h5", "added"));
    server.put("s5", config_for("h5", "changed"));
    CHECK(becomes("h5", "changed"));
    server.remove("s5");
    CHECK(becomes("h5", "none"));
    CHECK(known("h0") == "first");
    CHECK(server.count("watch=true") == 1);
    CHECK(server.count("fieldSelector=type%3Dkubernetes.io%2Fdockerconfigjson") == 4);
}

TEST_CASE_FIXTURE(cluster, "a watch that ends is taken up where it was, bookmarks included") {
    server.put("s", config_for("h", "1")); // version 101
    write();
    begin();
    CHECK(known("h") == "1");
    REQUIRE(watched());
    server.bookmark(); // 102
    server.put("t", config_for("i", "2"));
    CHECK(becomes("i", "2")); // 103
    server.bookmark();        // 104
    REQUIRE(watched());
    server.end_watches();
    CHECK(eventually([&] { return server.count("resourceVersion=104") == 1; }));
    server.put("u", config_for("j", "3"));
    CHECK(becomes("j", "3"));
    CHECK(server.count("limit=") == 1); // never listed again
}

TEST_CASE_FIXTURE(cluster, "what happens while the connection is gone is not missed") {
    server.put("s", config_for("h", "1"));
    write();
    begin();
    CHECK(known("h") == "1");
    REQUIRE(watched());
    server.drop_connections();
    server.put("s", config_for("h", "2"));
    CHECK(becomes("h", "2"));
    CHECK(server.count("limit=") == 1);
    server.fail(500, 3);
    server.drop_connections();
    server.put("s", config_for("h", "3"));
    CHECK(becomes("h", "3"));
    CHECK(server.count("limit=") == 1);
}

TEST_CASE_FIXTURE(cluster, "a version that is too old makes it list again, however that is said") {
    for (const bool by_event : {false, true}) {
        CAPTURE(by_event);
        server.put("s", config_for("h", "1"));
        write();
        begin();
        CHECK(known("h") == "1");
        REQUIRE(watched());
        const auto lists = server.count("limit=");
        server.remove("s");
        CHECK(becomes("h", "none"));
        server.put("t", config_for("h", "2"));
        server.forget_history(by_event);
        server.end_watches();
        CHECK(becomes("h", "2"));
        CHECK(eventually([&] { return server.count("limit=") > lists; }));
        server.remove("t");
        CHECK(becomes("h", "none")); // and it is watched again
        end();
    }
}

TEST_CASE_FIXTURE(cluster, "a kubeconfig that does not exist yet is looked for") {
    server.put("s", config_for("h", "1"));
    begin();
    CHECK(known("h") == "unavailable");
    CHECK(server.requests().empty());
    write();
    CHECK(becomes("h", "1"));
}

TEST_CASE_FIXTURE(cluster, "an API server that refuses, or fails for a while") {
    server.put("s", config_for("h", "1"));
    write();
    server.fail(403, 1000000);
    begin();
    CHECK(known("h") == "unavailable");
    const credential_query what("h");
    const auto refused = run(source->find(what));
    CHECK(refused.error().context().find("list and watch secrets") != std::string::npos);
    server.fail(503, 2);
    CHECK(becomes("h", "1"));
}

TEST_CASE_FIXTURE(cluster, "secrets are bounded, in number and in bytes") {
    auto o = quickly();
    o.most_secrets = 2;
    for (const auto* name : {"a", "b", "c"}) {
        server.put(name, config_for(name, "1"));
    }
    write();
    begin(o);
    CHECK(known("b") == "1");
    CHECK(known("c") == "none");
    end();
    o.most_secrets = 100;
    o.most_bytes = 2 * config_for("a", "1").size();
    begin(o);
    CHECK(known("b") == "1");
    CHECK(known("c") == "none");
    REQUIRE(watched());
    server.remove("a");
    CHECK(becomes("a", "none"));
    server.put("c", config_for("c", "1")); // there is room again
    CHECK(becomes("c", "1"));
}

TEST_CASE_FIXTURE(
  cluster, "of several secrets for a host, the longest path, then the first by name") {
    server.put("a", config_for("h", "a"));
    server.put("b", config_for("h", "b"));
    server.put("c", config_for("https://h/team", "c"));
    write();
    begin();
    CHECK(known("h") == "c"); // team/x is asked for
    server.remove("c");
    CHECK(becomes("h", "a"));
}

TEST_CASE_FIXTURE(secured_cluster, "over TLS, with a token that is replaced now and then") {
    server.put("s", config_for("h", "1"));
    write_file(dir / "ca.crt", by.ca);
    write_file(dir / "token", "good\n");
    write("    token: stale\n    tokenFile: token\n", "    certificate-authority: ca.crt\n");
    begin();
    CHECK(known("h") == "1");
    REQUIRE(watched());
    server.set_token("better");
    server.drop_connections();
    CHECK(eventually([&] { return server.requests().size() >= 4; })); // refused, again and again
    write_file(dir / "token", "better\n");
    server.put("s", config_for("h", "2"));
    CHECK(becomes("h", "2"));
}

TEST_CASE_FIXTURE(secured_cluster, "a server that nobody vouches for is not told our token") {
    server.put("s", config_for("h", "1"));
    write("    token: good\n"); // and the system's authorities
    begin();
    CHECK(known("h") == "unavailable");
    CHECK(server.requests().empty());
}

TEST_CASE_FIXTURE(cluster, "neither secrets nor tokens are logged, whatever goes wrong") {
    const captured_stderr log;
    server.put("s", config_for("h", "hunter2"));
    server.put("t", "hunter2 is no JSON");
    write("    token: {hunter2\n"); // no YAML either
    begin();
    CHECK(known("h") == "unavailable");
    write("    token: hunter2\n");
    CHECK(becomes("h", "hunter2"));
    server.set_token("another");
    server.drop_connections();
    CHECK(eventually([&] { return log.text().find("answered 401") != std::string::npos; }));
    CHECK(log.text().find("hunter2") == std::string::npos);
}

TEST_CASE("as a pod does, and with a client certificate") {
    const auto by = make_certificates();
    auto o = secured(by);
    o.client_authority = by.ca;
    cluster c(std::move(o));
    c.server.put("s", config_for("h", "1"));
    write_file(c.dir / "cert.pem", by.certificate);
    write_file(c.dir / "key.pem", by.private_key);
    write_file(c.dir / "ca.pem", by.ca);
    c.write(
      "    token: good\n    client-certificate: cert.pem\n    client-key: key.pem\n",
      "    certificate-authority: ca.pem\n");
    c.begin();
    CHECK(c.known("h") == "1");

    temporary_directory pod;
    write_file(pod / "token", "from-file\n");
    write_file(pod / "ca.crt", by.ca);
    kubeconfig_places places;
    places.usual = pod / "absent";
    places.service_account = pod.path();
    CHECK(load_kubernetes_access(places).error().code() == errc::not_found);
    places.service_host = "fd00::1";
    places.service_port = "6443";
    const auto access = load_kubernetes_access(places);
    REQUIRE(access.has_value());
    CHECK(access->server.origin() == "https://[fd00::1]:6443");
    CHECK(access->token == "from-file");
    REQUIRE(access->trust.authorities().size() == 1);
    CHECK(access->trust.authorities()[0].text == by.ca);
    CHECK(access->trust.in_place_of_the_system());
    places.chosen = pod / "absent"; // then it is that or nothing
    CHECK(load_kubernetes_access(places).error().code() == errc::not_found);
}

TEST_CASE("kubeconfigs") {
    const auto read = [](const std::string& cluster, const std::string& user) {
        return read_kubeconfig(kubeconfig_of("https://k8s:6443/prefix", cluster, user), "/none");
    };
    const auto good = read(
      "    certificate-authority-data: Y2E=\n    insecure-skip-tls-verify: true\n",
      "    client-certificate-data: Y2VydA==\n    client-key-data: a2V5\n");
    REQUIRE(good.has_value());
    CHECK(good->server.origin() == "https://k8s:6443");
    CHECK(good->server.target() == "/prefix");
    REQUIRE(good->trust.authorities().size() == 1);
    CHECK(good->trust.authorities()[0].text == "ca");
    REQUIRE(good->trust.clients().size() == 1);
    CHECK(good->trust.clients()[0].certificate.text == "cert");
    CHECK(good->trust.clients()[0].key.text == "key");
    CHECK(good->trust.skip_verify());
    CHECK(good->token.empty());

    const auto refusal = [&](const std::string& user, const std::string& cluster = "") {
        const auto got = read(cluster, user);
        REQUIRE(!got);
        CHECK(got.error().context().find("hunter2") == std::string::npos);
        return got.error().code();
    };
    CHECK(refusal("    exec: {command: aws, args: [hunter2]}\n") == errc::unsupported);
    CHECK(refusal("    username: u\n    password: hunter2\n") == errc::unsupported);
    CHECK(refusal("    token: t\n", "    tls-server-name: x\n") == errc::unsupported);
    CHECK(refusal("    client-key-data: hunter2*\n") == errc::invalid_argument);
    CHECK(refusal("    tokenFile: absent\n") == errc::not_found);
    CHECK(refusal("    token: {hunter2\n") == errc::invalid_argument);
    for (const auto* text :
         {"", "hunter2", "[]", "{", "current-context: x", "contexts: 3",
          "contexts: [{name: '', context: {}}]"}) {
        CAPTURE(text);
        const auto got = read_kubeconfig(text, "/none");
        REQUIRE(!got);
        CHECK(got.error().code() == errc::invalid_argument);
        CHECK(got.error().context().find("hunter2") == std::string::npos);
    }
}

TEST_CASE("what an API server may answer") {
    for (const auto* text :
         {"", "{", "[]", "{}", R"({"items":3,"metadata":{"resourceVersion":"1"}})",
          R"({"items":[],"metadata":{}})"}) {
        CAPTURE(text);
        CHECK(parse_secret_page(text).error().code() == errc::corrupt);
    }
    const auto odd = parse_secret_page(
      R"({"metadata":{"resourceVersion":"7"},"items":[3,{},{"type":"Opaque"},
         {"type":"kubernetes.io/dockerconfigjson","data":{".dockerconfigjson":"*"}}]})");
    REQUIRE(odd.has_value());
    CHECK(odd->version == "7");
    CHECK(odd->secrets.size() == 4);
    for (const auto& each : odd->secrets) {
        CHECK(!each.held);
    }
    CHECK(parse_secret_page(R"({"items":null,"metadata":{"resourceVersion":"1"}})").has_value());

    using kind = secret_event::kind;
    const auto event = [](const char* text) { return parse_secret_event(text)->what; };
    CHECK(event(R"({"type":"ERROR","object":{"code":410}})") == kind::expired);
    CHECK(event(R"({"type":"ERROR","object":{"code":500}})") == kind::failed);
    CHECK(event(R"({"type":"NEW","object":{}})") == kind::failed);
    CHECK(
      event(R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}})") ==
      kind::bookmark);
    for (const auto* text : {"", "[]", R"({"type":"ADDED","object":{}})"}) {
        CAPTURE(text);
        CHECK(parse_secret_event(text).error().code() == errc::corrupt);
    }
}
