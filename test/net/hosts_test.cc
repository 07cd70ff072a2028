// Where registries are reached, as a host_source says it, and what belongs to an endpoint.

#include "net/tls_context.h"
#include "test/imposter/test_certificates.h"
#include "test/net/net_rig.h"
#include "test/temporary_directory.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <map>
#include <mutex>

using namespace firstlight;
using namespace firstlight::test;

namespace {

class scripted_hosts final : public host_source {
public:
    task<result<endpoint_list>> find(std::string registry) override {
        const std::lock_guard hold(mutex_);
        ++asked;
        const auto found = known_.find(registry);
        co_return found == known_.end() ? endpoint_list() : found->second;
    }
    void say(const std::string& registry, result<endpoint_list> what) {
        const std::lock_guard hold(mutex_);
        known_.insert_or_assign(registry, std::move(what));
    }
    std::atomic<int> asked = 0;

private:
    std::mutex mutex_;
    std::map<std::string, result<endpoint_list>> known_;
};

registry_endpoint at_host(const registry_imposter& where) {
    registry_endpoint e;
    e.host = where.host();
    return e;
}

endpoint_trust load(const tls_files& files) {
    const auto read = tls_material::read(files);
    REQUIRE_MESSAGE(read.has_value(), read.error().context());
    return {make_tls_context(*read), make_tls_context(read->anonymous())};
}

// As a directory of the registry's would have it.
result<endpoint_list>
listed(const std::string& registry, const std::vector<registry_endpoint>& all) {
    std::vector<endpoint> made;
    for (const auto& each : all) {
        const auto trust = each.tls.empty() ? endpoint_trust() : load(each.tls);
        made.push_back(endpoint::make(each, registry, endpoint::role::mirror, trust).value());
    }
    return std::make_shared<const std::vector<endpoint>>(std::move(made));
}

registry_config patient() {
    auto c = quick();
    c.hosts_interval = 1h;
    return c;
}

struct hosts_rig : net_rig {
    scripted_hosts source;
    registry_imposter mirror;
    std::string content = pattern(10'000);
    digest blob = registry.add_blob(content);
    const byte_range some{100, 5000};

    hosts_rig() {
        mirror.add_blob(content);
        hosts = &source;
        restart(patient());
    }
    ~hosts_rig() { end(); }
    void say(const std::vector<registry_endpoint>& all) {
        source.say(registry.host(), listed(registry.host(), all));
    }
    // Credentials, which are known.
    void mirror_wants(imposter_options::auth how) {
        mirror.change([how](auto& o) {
            o.authentication = how;
            o.user = "u";
            o.password = "p";
        });
        who.for_host = mirror.host();
        who.held = credentials("u", "p");
    }
    void reload() {
        auto work = [](registry_client* of) -> task<void> {
            of->reload();
            co_return;
        };
        start(a, work(client.get())).get();
    }
    bool reads_right() {
        const auto got = read(blob, some);
        INFO((got ? std::string() : got.error().context()));
        CHECK(got.has_value());
        return got && *got == slice(content, some);
    }
};

const test_certificates& certificates() {
    static const auto made = make_certificates();
    return made;
}

imposter_options over_tls(const std::string& client_authority = "") {
    imposter_options o;
    o.certificate = certificates().certificate;
    o.private_key = certificates().private_key;
    o.client_authority = client_authority;
    return o;
}

struct secure_rig : hosts_rig {
    temporary_directory files;
    registry_imposter secure{over_tls()};
    registry_imposter closed{over_tls(certificates().ca)}; // to all but its clients
    tls_files trusted;
    tls_files known;

    secure_rig() {
        secure.add_blob(content);
        closed.add_blob(content);
        trusted.authorities = {files.write("ca.pem", certificates().ca)};
        known = trusted;
        known.clients = {
          {files.write("client.cert", certificates().client_certificate),
           files.write("client.key", certificates().client_key)}};
    }
    ~secure_rig() { end(); }
    registry_endpoint over(const registry_imposter& where, const tls_files& tls) {
        auto e = at_host(where);
        e.transport = transport_choice::tls;
        e.tls = tls;
        return e;
    }
};

} // namespace

TEST_CASE_FIXTURE(hosts_rig, "a source's word beats the configuration's, in its order") {
    auto first = at_host(mirror);
    first.headers = {{"X-Farm", "7"}, {"authorization", "Basic own"}};
    say({first, at_host(registry)});
    CHECK(reads_right());
    CHECK(registry.log().empty());
    REQUIRE(mirror.log().size() == 1);
    const auto seen = mirror.log()[0];
    CHECK(seen.path == "/v2/library/thing/blobs/" + blob.to_string());
    CHECK(seen.query == "ns=" + percent_encoded(registry.host()));
    CHECK(seen.headers.at("x-farm") == "7");
    CHECK(seen.authorization == "Basic own");

    mirror.vanish();
    CHECK(reads_right());
    REQUIRE(registry.log().size() == 1);
    CHECK(registry.log()[0].query.empty()); // its own host
    CHECK(!registry.log()[0].headers.contains("x-farm"));
}

TEST_CASE_FIXTURE(
  hosts_rig, "a registry of which the source knows nothing is the configuration's") {
    CHECK(reads_right());
    CHECK(registry.log().size() == 1);
}

TEST_CASE_FIXTURE(hosts_rig, "the API's root may be anywhere, and headers stay there") {
    registry_imposter storage;
    storage.add_blob(content);
    auto first = at_host(mirror);
    first.headers = {{"X-Farm", "7"}};
    for (const auto* root : {"/v2/hub", "/api", ""}) {
        CAPTURE(root);
        first.path = root;
        mirror.change([&](auto& o) { o.redirect_to = storage.url(); });
        mirror.clear_log();
        storage.clear_log();
        restart(patient());
        say({first});
        CHECK(reads_right());
        REQUIRE(mirror.log().size() == 1);
        CHECK(mirror.log()[0].path == root + ("/library/thing/blobs/" + blob.to_string()));
        CHECK(mirror.log()[0].headers.contains("x-farm"));
        REQUIRE(storage.log().size() == 1);
        CHECK(!storage.log()[0].headers.contains("x-farm"));
    }
}

TEST_CASE_FIXTURE(hosts_rig, "a proof takes the place of a configured Authorization") {
    mirror_wants(imposter_options::auth::basic);
    auto first = at_host(mirror);
    first.headers = {{"Authorization", "Basic stale"}};
    say({first});
    CHECK(reads_right());
    REQUIRE(mirror.log().size() == 2);
    CHECK(mirror.log()[0].authorization == "Basic stale");
    CHECK(mirror.log()[1].authorization == "Basic dTpw");
}

TEST_CASE_FIXTURE(hosts_rig, "requests do not ask the source while its word is fresh") {
    say({at_host(mirror)});
    for (int i = 0; i < 20; ++i) {
        CHECK(reads_right());
    }
    CHECK(source.asked == 1);
}

TEST_CASE_FIXTURE(hosts_rig, "a change is seen once the old word has aged, and costs no read") {
    auto config = quick();
    config.hosts_interval = 1ms;
    restart(config);
    say({at_host(mirror)});
    CHECK(reads_right());
    CHECK(registry.log().empty());
    say({at_host(registry)});
    for (int i = 0; i < 5000 && registry.log().empty(); ++i) {
        REQUIRE(reads_right());
    }
    CHECK(registry.log().size() == 1);
}

TEST_CASE_FIXTURE(hosts_rig, "after a reload the next request is the first to go elsewhere") {
    say({at_host(mirror)});
    CHECK(reads_right());
    say({at_host(registry)});
    CHECK(reads_right());
    CHECK(registry.log().empty());
    reload();
    CHECK(reads_right());
    CHECK(registry.log().size() == 1);
    CHECK(mirror.log().size() == 2);
}

TEST_CASE_FIXTURE(hosts_rig, "what runs goes on through a reload, and connections are kept") {
    say({at_host(mirror)});
    imposter_fault slow;
    slow.delay = 100ms;
    mirror.fail(slow);
    auto under_way = reading(at(blob), some);
    while (mirror.log().empty()) {
        std::this_thread::yield();
    }
    say({at_host(registry), at_host(mirror)});
    reload();
    CHECK(under_way.get().has_value());
    CHECK(mirror.log().size() == 1);
    say({at_host(mirror)});
    reload();
    CHECK(reads_right());
    CHECK(mirror.connections() == 1);
    CHECK(registry.log().empty());
}

TEST_CASE_FIXTURE(hosts_rig, "a source's fault ends a request, until it has an answer") {
    source.say(registry.host(), fault(errc::invalid_argument, "hosts.toml:3: ca: what"));
    const auto got = read(blob, some);
    REQUIRE(!got);
    CHECK(got.error().code() == errc::invalid_argument);
    CHECK(got.error().context().find("hosts.toml:3") != std::string::npos);
    CHECK(registry.log().empty());
    say({at_host(mirror)});
    CHECK(reads_right());
    source.say(registry.host(), fault(errc::invalid_argument, "hosts.toml:3: ca: what"));
    reload();
    CHECK(reads_right()); // as before
    CHECK(mirror.log().size() == 2);
}

TEST_CASE_FIXTURE(hosts_rig, "mirrors of * are those of a registry that has none") {
    registry_host any, origin;
    any.mirrors = {at_host(mirror)};
    auto config = patient();
    config.hosts["*"] = any;
    config.hosts[registry.host()] = origin;
    restart(config);
    CHECK(reads_right());
    CHECK(mirror.log().size() == 1);
    CHECK(registry.log().empty());
}

TEST_CASE_FIXTURE(secure_rig, "a client certificate is presented to the endpoint that it is for") {
    say({over(closed, known)});
    CHECK(reads_right());
    REQUIRE(closed.log().size() == 1);
    CHECK(closed.log()[0].client == "firstlight test client");
}

TEST_CASE_FIXTURE(secure_rig, "certificate and key may be in one file") {
    known.clients = {
      {files.write("both.pem", certificates().client_certificate + certificates().client_key), ""}};
    say({over(closed, known)});
    CHECK(reads_right());
}

TEST_CASE_FIXTURE(secure_rig, "of several certificates, that is presented which the server takes") {
    const auto others = make_certificates("another authority");
    known.clients.insert(
      known.clients.begin(), {files.write("other.cert", others.client_certificate),
                              files.write("other.key", others.client_key)});
    say({over(closed, known)});
    CHECK(reads_right());
    CHECK(closed.log().size() == 1);
    known.clients.pop_back();
    known.clients.push_back(known.clients.front());
    say({over(closed, known)}); // none of which it takes
    restart(patient());
    CHECK(!read(blob, some));
    CHECK(closed.log().size() == 1);
}

TEST_CASE_FIXTURE(secure_rig, "a server that wants a certificate says so, and is not asked again") {
    say({over(closed, trusted)});
    const auto got = read(blob, some);
    REQUIRE(!got);
    CHECK(got.error().code() == errc::failed_precondition);
    CHECK(got.error().context().find("client certificate") != std::string::npos);
    CHECK(closed.connections() == 1);
}

TEST_CASE_FIXTURE(secure_rig, "a redirect takes the authorities along, but no certificate") {
    registry_imposter gate(over_tls(certificates().ca));
    say({over(gate, known)});
    gate.change([&](auto& o) { o.redirect_to = secure.url(); });
    CHECK(reads_right());
    REQUIRE(secure.log().size() == 1);
    CHECK(secure.log()[0].client.empty());
    restart(patient());
    gate.change([&](auto& o) { o.redirect_to = closed.url(); });
    CHECK(!read(blob, some));
    CHECK(closed.log().empty());
}

TEST_CASE_FIXTURE(secure_rig, "a connection made on trust does not serve who wants it verified") {
    tls_files careless;
    careless.skip_verify = true;
    source.say("a.example", listed("a.example", {over(secure, careless)}));
    source.say("b.example", listed("b.example", {over(secure, tls_files())}));
    const auto from = [&](const char* name) {
        return reading(blob_address(name, "library/thing", blob), some).get();
    };
    CHECK(from("a.example").has_value());
    const auto got = from("b.example");
    REQUIRE(!got);
    CHECK(got.error().code() == errc::failed_precondition);
    CHECK(secure.log().size() == 1);
    CHECK(from("a.example").has_value());
    CHECK(secure.log().back().connection == 1);
}

TEST_CASE_FIXTURE(secure_rig, "an http host with TLS settings is spoken to in TLS, if it can") {
    auto ambiguous = over(secure, trusted);
    ambiguous.transport = transport_choice::tls_or_plain;
    say({ambiguous});
    CHECK(reads_right());
    CHECK(secure.log().size() == 1);
    ambiguous.host = mirror.host();
    say({ambiguous});
    reload();
    CHECK(reads_right());
    CHECK(reads_right());
    CHECK(mirror.log().size() == 2);
    CHECK(mirror.connections() == 2); // one was for a handshake that came to nothing
}

TEST_CASE_FIXTURE(secure_rig, "but not in plain because its certificate does not hold") {
    const auto others = make_certificates("another authority");
    auto ambiguous = over(secure, trusted);
    ambiguous.transport = transport_choice::tls_or_plain;
    ambiguous.tls.authorities = {files.write("other.pem", others.ca)};
    say({ambiguous});
    const auto got = read(blob, some);
    REQUIRE(!got);
    CHECK(got.error().code() == errc::failed_precondition);
    CHECK(secure.connections() == 1);
}

TEST_CASE_FIXTURE(secure_rig, "a token comes in plain where the registry turned out to be plain") {
    mirror_wants(imposter_options::auth::bearer);
    auto ambiguous = over(mirror, trusted);
    ambiguous.transport = transport_choice::tls_or_plain;
    say({ambiguous});
    CHECK(reads_right());
    CHECK(mirror.count("/token") == 1);
}

TEST_CASE_FIXTURE(hosts_rig, "an endpoint's own dial timeout bounds its handshake") {
    const int mute = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    REQUIRE(::bind(mute, reinterpret_cast<sockaddr*>(&at), size) == 0);
    REQUIRE(::listen(mute, 8) == 0); // the kernel accepts, and nobody speaks
    REQUIRE(::getsockname(mute, reinterpret_cast<sockaddr*>(&at), &size) == 0);
    registry_endpoint silent;
    silent.host = "127.0.0.1:" + std::to_string(ntohs(at.sin_port));
    silent.transport = transport_choice::tls;
    silent.connect_timeout = 50ms;
    auto config = patient();
    config.connect_timeout = 1h;
    restart(config);
    say({silent, at_host(registry)});
    const auto began = std::chrono::steady_clock::now();
    const auto got = read(blob, some, 60s); // half of which is the most that one may take
    CHECK(got.has_value());
    CHECK(std::chrono::steady_clock::now() - began < 20s);
    ::close(mute);
}
