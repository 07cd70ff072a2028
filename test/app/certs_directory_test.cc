#include "app/certs_directory.h"

#include "actors/runtime.h"
#include "test/imposter/test_certificates.h"
#include "test/rig.h"
#include "test/temporary_directory.h"

#include <doctest/doctest.h>

#include <filesystem>

using namespace firstlight;
using namespace firstlight::test;

namespace {

struct certs_rig {
    temporary_directory files;
    shard home{0};
    worker_pool pool{"io", 2};
    certs_directory directory{pool, {root("one"), root("two")}};

    certs_rig() { home.start(); }
    ~certs_rig() {
        pool.stop();
        home.stop();
    }
    std::string root(const char* name) const { return files.path() + "/" + name; }
    result<endpoint_list> find(const std::string& registry) {
        return start(home, directory.find(registry)).get();
    }
    endpoint_list must_find(const std::string& registry = "r.example") {
        const auto found = find(registry);
        REQUIRE_MESSAGE(found.has_value(), found.error().context());
        REQUIRE(*found);
        return *found;
    }
    std::string first(const std::string& registry = "r.example") {
        const auto& base = must_find(registry)->front().base();
        return base.origin() + base.target();
    }
    // Its first endpoint is of this name.
    void name(const std::string& directory, const std::string& host) {
        files.write(directory + "/hosts.toml", "[host.'https://" + host + "']\n");
    }
    std::string error(const std::string& registry = "r.example") {
        const auto found = find(registry);
        REQUIRE(!found);
        return found.error().context();
    }
};

const test_certificates& certificates() {
    static const auto made = make_certificates();
    return made;
}

} // namespace

TEST_CASE_FIXTURE(certs_rig, "certs.d: nothing is known where there is no directory") {
    CHECK(find("r.example").value() == nullptr);
    files.write("one/hosts.toml", "server = 'https://x'"); // not of a registry
    for (const auto* registry : {"r.example:5000", "..", ".", "", "a/b", "../one"}) {
        INFO(registry);
        CHECK(find(registry).value() == nullptr);
    }
}

TEST_CASE_FIXTURE(certs_rig, "certs.d: the first directory that is there speaks, root by root") {
    name("two/_default", "last");
    CHECK(first("r.example:5000") == "https://last/v2/");
    CHECK(first("docker.io") == "https://last/v2/");
    name("two/r.example:5000", "fifth");
    CHECK(first("r.example:5000") == "https://fifth/v2/");
    name("two/r.example_5000_", "fourth");
    CHECK(first("r.example:5000") == "https://fourth/v2/");
    name("one/_default", "third");
    CHECK(first("r.example:5000") == "https://third/v2/");
    name("one/r.example:5000", "second");
    CHECK(first("r.example:5000") == "https://second/v2/");
    name("one/r.example_5000_", "first");
    CHECK(first("r.example:5000") == "https://first/v2/");
    name("one/docker.io", "mirror");
    CHECK(first("docker.io") == "https://mirror/v2/");
    CHECK(first("r.example") == "https://third/v2/");
}

TEST_CASE_FIXTURE(certs_rig, "certs.d: the registry itself comes last, by its own name") {
    name("one/docker.io", "m:5000");
    const auto all = must_find("docker.io");
    REQUIRE(all->size() == 2);
    CHECK(all->front().credential_host() == "m:5000");
    CHECK(all->back().base().origin() == "https://registry-1.docker.io");
    CHECK(all->back().credential_host() == "docker.io");
}

TEST_CASE_FIXTURE(certs_rig, "certs.d: a change is followed, and so is its end") {
    CHECK(find("r.example").value() == nullptr);
    name("one/r.example", "a");
    const auto before = must_find();
    CHECK(first() == "https://a/v2/");
    CHECK(must_find() == before); // nothing was read again
    name("one/r.example", "bb");
    CHECK(first() == "https://bb/v2/");
    std::filesystem::remove_all(root("one"));
    CHECK(find("r.example").value() == nullptr);
}

TEST_CASE_FIXTURE(certs_rig, "certs.d: distrust() reads what has not changed") {
    name("one/r.example", "a");
    const auto before = must_find();
    directory.distrust();
    CHECK(must_find() != before);
}

TEST_CASE_FIXTURE(certs_rig, "certs.d: what cannot be understood changes nothing") {
    files.write("one/r.example/hosts.toml", "\nca = 3");
    const auto why = root("one") + "/r.example/hosts.toml:2: ca: expected an array of strings, "
                                   "found an integer";
    CHECK(error() == why);
    CHECK(error() == why);
    name("one/r.example", "a");
    const auto good = must_find();
    files.write("one/r.example/hosts.toml", "\nca = 3");
    CHECK(must_find() == good);
    CHECK(must_find() == good);
    name("one/r.example", "b");
    CHECK(first() == "https://b/v2/");
}

TEST_CASE_FIXTURE(certs_rig, "certs.d: a file that is missing, or none, is named") {
    const auto file = files.write("one/r.example/hosts.toml", "ca = 'ca.pem'\n");
    CHECK(error().starts_with(file + ": cannot load certificate authorities: "));
    CHECK(error().find(root("one") + "/r.example/ca.pem: ") != std::string::npos);
    files.write("one/r.example/ca.pem", "no certificate");
    CHECK(error().ends_with("no certificates in " + root("one") + "/r.example/ca.pem"));
    files.write("one/r.example/ca.pem", certificates().ca);
    CHECK(must_find()->front().trust().own());
    files.write("one/r.example/hosts.toml", "client = ['ca.pem']\n");
    CHECK(find("other.example").value() == nullptr);
    directory.distrust();
    CHECK(must_find()->front().trust().own()); // as before: no key in it
    files.write("one/r.example/hosts.toml", "server = 'https://x'\ncapabilities = ['push']\n");
    files.write("one/s.example/hosts.toml", "server = 'https://x'\ncapabilities = ['push']\n");
    CHECK(error("s.example").ends_with("hosts.toml: no host has the capability \"pull\""));
}

TEST_CASE_FIXTURE(certs_rig, "certs.d: without hosts.toml, docker's layout") {
    files.write("two/r.example/a.crt", certificates().ca);
    files.write("two/r.example/client.cert", certificates().client_certificate);
    files.write("two/r.example/client.key", certificates().client_key);
    files.write("two/r.example/notes.txt", "no certificate");
    const auto all = must_find();
    REQUIRE(all->size() == 1);
    CHECK(all->front().base().origin() == "https://r.example");
    CHECK(all->front().credential_host() == "r.example");
    const auto& trust = all->front().trust();
    CHECK(trust.own());
    CHECK(trust.elsewhere());
    CHECK(trust.own() != trust.elsewhere());
    files.write("two/r.example/b.crt", "no certificate");
    CHECK(must_find() == all);                   // it does not hold, and changes nothing
    files.write("two/r.example/hosts.toml", ""); // says nothing
    std::filesystem::remove(root("two") + "/r.example/b.crt");
    CHECK(must_find()->front().base().origin() == "https://r.example");
    std::filesystem::create_directories(root("one") + "/r.example"); // and nothing in it
    CHECK_FALSE(must_find()->front().trust().own());
}

TEST_CASE_FIXTURE(certs_rig, "certs.d: what is trusted alike shares a context, changes included") {
    files.write("one/ca.pem", certificates().ca);
    files.write("one/a/hosts.toml", "ca = '../ca.pem'\n");
    files.write("one/b/hosts.toml", "[host.'https://m']\nca = '../ca.pem'\n");
    const auto before = must_find("a")->front().trust().own();
    CHECK(must_find("b")->front().trust().own() == before);
    CHECK(must_find("a")->front().trust().elsewhere() == before); // nothing to present
    CHECK_FALSE(must_find("b")->back().trust().own());            // the general one
    files.write("one/a/hosts.toml", "ca = '../ca.pem'\nheader = { x = 'y' }\n");
    CHECK(must_find("a")->front().headers().size() == 1);
    CHECK(must_find("a")->front().trust().own() == before);
    files.write("one/ca.pem", make_certificates().ca + "\n"); // renewed
    CHECK(must_find("a")->front().trust().own() != before);
}
