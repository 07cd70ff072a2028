#include "test/imposter/test_certificates.h"
#include "test/net/net_rig.h"

#include <cstdio>
#include <filesystem>
#include <fstream>

#include <unistd.h>

using namespace firstlight;
using namespace firstlight::test;

namespace {

const test_certificates& certificates() {
    static const auto made = make_certificates();
    return made;
}

imposter_options over_tls() {
    imposter_options o;
    o.certificate = certificates().certificate;
    o.private_key = certificates().private_key;
    return o;
}

struct tls_rig : net_rig {
    std::string ca_file = (std::filesystem::temp_directory_path() /
                           ("firstlight-ca-" + std::to_string(::getpid()) + ".pem"))
                            .string();
    std::string content = pattern(500'000);
    digest blob = registry.add_blob(content);
    const byte_range some{100, 300'000};

    tls_rig()
      : net_rig(over_tls()) {
        std::ofstream(ca_file) << certificates().ca;
    }
    ~tls_rig() { std::remove(ca_file.c_str()); }
    registry_config with(registry_endpoint origin) {
        origin.transport = transport_choice::tls;
        auto config = quick();
        config.hosts[registry.host()].origin = origin;
        return config;
    }
    void trusting() {
        registry_endpoint origin;
        origin.tls.authorities = {ca_file};
        restart(with(origin));
    }
};

} // namespace

TEST_CASE_FIXTURE(tls_rig, "tails and ranges over TLS, on one connection") {
    trusting();
    const auto end = tail(blob, 1000);
    REQUIRE_MESSAGE(end.has_value(), end.error().context());
    CHECK(as_text(end->data()) == content.substr(499'000));
    const auto got = read(blob, some);
    REQUIRE(got.has_value());
    CHECK(*got == slice(content, some));
    CHECK(registry.connections() == 1);
}

TEST_CASE_FIXTURE(tls_rig, "an authority that is not trusted ends it, with the way out named") {
    restart(with(registry_endpoint()));
    const auto got = read(blob, some);
    REQUIRE(!got);
    CHECK(got.error().code() == errc::failed_precondition);
    CHECK(got.error().context().find("ca_file") != std::string::npos);
    CHECK(registry.log().empty());
}

TEST_CASE_FIXTURE(tls_rig, "a certificate for another name does not do") {
    registry_endpoint origin;
    origin.tls.authorities = {ca_file};
    origin.host = "localhost:" + registry.host().substr(registry.host().find(':') + 1);
    restart(with(origin));
    CHECK(read(blob, some).has_value()); // localhost is in the certificate
    origin.host = "127.0.0.2" + registry.host().substr(registry.host().find(':'));
    restart(with(origin));
    CHECK(!read(blob, some));
}

TEST_CASE_FIXTURE(tls_rig, "verification can be left out where the operator says so") {
    registry_endpoint origin;
    origin.tls.skip_verify = true;
    restart(with(origin));
    CHECK(read(blob, some).has_value());
}

TEST_CASE_FIXTURE(tls_rig, "connections that break are resumed over TLS too") {
    trusting();
    imposter_fault f;
    f.close_after = 100'000;
    registry.fail(f);
    auto got = read(blob, some);
    REQUIRE_MESSAGE(got.has_value(), got.error().context());
    CHECK(*got == slice(content, some));
    registry.drop_connections(); // the pool notices, or the request does
    got = read(blob, some);
    CHECK(got.has_value());
}

TEST_CASE_FIXTURE(tls_rig, "a CA file that is none is named at start-up") {
    registry_endpoint origin;
    origin.tls.authorities = {"/nonexistent/ca.pem"};
    CHECK_THROWS_WITH(
      trust_store{with(origin)},
      "cannot load certificate authorities: /nonexistent/ca.pem: No such file or directory");
}
