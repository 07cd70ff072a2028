#include "app/hosts_file.h"

#include "app/go_duration.h"

#include <doctest/doctest.h>

#include <functional>

using namespace firstlight;
using namespace std::chrono_literals;

namespace {

constexpr const char* file = "/certs.d/r/hosts.toml";

hosts_file read(const std::string& text, const std::string& registry = "r.example") {
    auto loaded = parse_hosts_file(text, file, registry);
    INFO(text);
    REQUIRE_MESSAGE(loaded.has_value(), loaded.error().context());
    return *loaded;
}

std::vector<std::string> names(const std::vector<registry_endpoint>& hosts) {
    std::vector<std::string> all;
    for (const auto& each : hosts) {
        all.push_back(each.host + each.path);
    }
    return all;
}

using strings = std::vector<std::string>;
using pairs = std::vector<tls_files::client>;

struct row {
    const char* keys; // of a host, and of the root
    std::function<bool(const registry_endpoint&)> holds;
};

} // namespace

TEST_CASE("hosts.toml: each key, of a [host] and of the server") {
    const std::vector<row> rows{
      {"ca = 'a.pem'",
       [](auto& h) {
           return h.tls.authorities == strings{"/certs.d/r/a.pem"} && !h.tls.in_place_of_the_system;
       }},
      {"ca = ['/x/a.pem', '../b.pem']",
       [](auto& h) { return h.tls.authorities == strings{"/x/a.pem", "/certs.d/b.pem"}; }},
      {"client = 'c.pem'",
       [](auto& h) { return h.tls.clients == pairs{{"/certs.d/r/c.pem", ""}}; }},
      {"client = ['c.pem', '/d.pem']",
       [](auto& h) { return h.tls.clients == pairs{{"/certs.d/r/c.pem", ""}, {"/d.pem", ""}}; }},
      {"client = [['c', 'k'], ['/d', ''], 'e']",
       [](auto& h) {
           return h.tls.clients ==
                  pairs{{"/certs.d/r/c", "/certs.d/r/k"}, {"/d", ""}, {"/certs.d/r/e", ""}};
       }},
      {"skip_verify = true", [](auto& h) { return h.tls.skip_verify; }},
      {"header = { x-b = ['1', '2'], X-A = 'v' }",
       [](auto& h) {
           const std::vector<std::pair<std::string, std::string>> all{
             {"X-A", "v"}, {"x-b", "1"}, {"x-b", "2"}};
           return h.headers == all;
       }},
      {"dial_timeout = '1.5s'", [](auto& h) { return h.connect_timeout == 1500ms; }},
    };
    for (const auto& [keys, holds] : rows) {
        INFO(keys);
        const auto root = read(keys);
        REQUIRE(root.hosts.size() == 1);
        CHECK(root.warnings.empty());
        CHECK(root.hosts[0].host == "r.example");
        CHECK(holds(root.hosts[0]));
        const auto host = read("[host.'https://m']\n" + std::string(keys));
        REQUIRE(host.hosts.size() == 2);
        CHECK(host.warnings.empty());
        CHECK(host.hosts[0].host == "m");
        CHECK(holds(host.hosts[0]));
        CHECK_FALSE(holds(host.hosts[1])); // one host's are not another's
    }
}

TEST_CASE("hosts.toml: hosts are asked in the order of the file, the server last") {
    const std::vector<std::pair<const char*, strings>> rows{
      {"[host.'https://z']\n[host.'https://a']\n[host.'https://m']\n",
       {"z/v2", "a/v2", "m/v2", "r.example/v2"}},
      {"server = 'https://s'\n[host.'https://z'.header]\nx = 'y'\n[host.'https://a']\n"
       "[host.'https://z']\n",
       {"z/v2", "a/v2", "s/v2"}},
      {"host = { 'https://z' = {}, 'https://a' = {} }\n", {"z/v2", "a/v2", "r.example/v2"}},
      {"host.'https://z'.ca = 'x'\nhost.'https://a'.ca = 'x'\n", {"z/v2", "a/v2", "r.example/v2"}},
      {"", {"r.example/v2"}},
    };
    for (const auto& [text, expected] : rows) {
        CHECK(names(read(text).hosts) == expected);
    }
}

TEST_CASE("hosts.toml: the server, and how it is spoken to") {
    struct expected {
        const char* registry;
        const char* text;
        const char* host;
        transport_choice transport;
    };
    using enum transport_choice;
    const std::vector<expected> rows{
      {"docker.io", "", "registry-1.docker.io", tls},
      {"r.example:5000", "", "r.example:5000", tls},
      {"localhost:5000", "", "localhost:5000", by_host},
      {"localhost:5000", "ca = 'a'", "localhost:5000", tls_or_plain},
      {"localhost:80", "ca = 'a'", "localhost:80", plain},
      {"localhost", "ca = 'a'", "localhost", tls},
      {"r", "server = 'https://s:1'", "s:1", tls},
      {"r", "server = 's'", "s", tls},
      {"r", "server = 'http://s:5000'", "s:5000", plain},
      {"r", "server = 'http://s:5000'\nskip_verify = true", "s:5000", tls_or_plain},
      {"r", "server = 'http://s:5000'\nskip_verify = false", "s:5000", tls_or_plain},
      {"r", "server = 'http://s:5000'\nclient = 'c'", "s:5000", tls_or_plain},
      {"r", "server = 'http://s:80'\nskip_verify = true", "s:80", plain},
      {"r", "server = 'http://s'\nskip_verify = true", "s", plain},
      {"r", "server = 'https://s:5000'\nskip_verify = true", "s:5000", tls},
      {"r", "server = 'http://[::1]:5000'", "[::1]:5000", plain},
    };
    for (const auto& each : rows) {
        INFO(each.registry, ": ", each.text);
        const auto loaded = read(each.text, each.registry);
        REQUIRE(loaded.hosts.size() == 1);
        CHECK(loaded.hosts[0].host == each.host);
        CHECK(loaded.hosts[0].transport == each.transport);
    }
}

TEST_CASE("hosts.toml: the API's root is appended unless it is there or overridden") {
    const std::vector<std::pair<const char*, const char*>> rows{
      {"server = 'https://s'", "/v2"},
      {"server = 'https://s/'", "/v2"},
      {"server = 'https://s/v2'", "/v2"},
      {"server = 'https://s/v2/'", "/v2"},
      {"server = 'https://s/v2/hub'", "/v2/hub/v2"},
      {"server = 'https://s/a//b/../c/'", "/a/c/v2"},
      {"server = 'https://s/v2/hub'\noverride_path = true", "/v2/hub"},
      {"server = 'https://s/api/'\noverride_path = true", "/api"},
      {"server = 'https://s'\noverride_path = true", ""},
      {"override_path = true", "/v2"}, // of a URL that is none
    };
    for (const auto& [text, path] : rows) {
        INFO(text);
        CHECK(read(text).hosts.at(0).path == path);
    }
}

TEST_CASE("hosts.toml: only hosts with the capability to pull are asked") {
    const auto all = read(R"(
server = "https://push"
capabilities = ["push"]
[host."https://both"]
capabilities = ["Resolve", "PULL"]
[host."https://resolves"]
capabilities = ["resolve", "referrers"]
[host."https://any"]
capabilities = []
)");
    CHECK(names(all.hosts) == strings{"both/v2", "any/v2"});
    // The registry itself, as containerd.
    CHECK(read("capabilities = ['push']").hosts.size() == 1);
}

TEST_CASE("hosts.toml: what is wrong is told with file, line and key") {
    const std::vector<std::pair<const char*, const char*>> rows{
      {"\nserver = 1", "2: server: expected a string, found an integer"},
      {"server = 'ftp://s'", "1: server: expected \"http(s)://host[:port][/path]\""},
      {"server = 'https://u:p@s'", "1: server: expected \"http(s)://host[:port][/path]\""},
      {"server = 'https://s?q'", "1: server: expected \"http(s)://host[:port][/path]\""},
      {"[host.'https://a b']",
       "1: host.\"https://a b\": expected \"http(s)://host[:port][/path]\""},
      {"[host.'']", "1: host.\"\": expected \"http(s)://host[:port][/path]\""},
      {"host = 'a'", "1: host: expected a table, found a string"},
      {"[host]\n'https://a' = 3", "2: host.\"https://a\": expected a table, found an integer"},
      {"[host.'https://a']\ncapabilities = ['fly']",
       "2: host.\"https://a\".capabilities: expected pull, resolve, push or referrers, found "
       "\"fly\""},
      {"capabilities = 'pull'", "1: capabilities: expected an array of strings, found a string"},
      {"ca = 3", "1: ca: expected an array of strings, found an integer"},
      {"ca = ['']", "1: ca: expected the path of a file"},
      {"client = 3", "1: client: expected a path, or a pair of them, found an integer"},
      {"client = [['a']]", "1: client: expected a pair of a certificate and its key"},
      {"client = [['a', 3]]", "1: client: expected a path, or a pair of them, found an integer"},
      {"skip_verify = 1", "1: skip_verify: expected true or false, found an integer"},
      {"override_path = ''", "1: override_path: expected true or false, found a string"},
      {"dial_timeout = 3", "1: dial_timeout: expected a string, found an integer"},
      {"dial_timeout = '3'", "1: dial_timeout: expected a duration such as \"1.5s\", found \"3\""},
      {"[header]\nx = \"a\\nb\"",
       "2: header.x: expected an HTTP header, without control characters"},
      {"[header]\n\n'a b' = 'c'",
       "3: header.\"a b\": expected an HTTP header, without control characters"},
    };
    for (const auto& [text, expected] : rows) {
        const auto loaded = parse_hosts_file(text, file, "r");
        INFO(text);
        REQUIRE(!loaded);
        CHECK(loaded.error().code() == errc::invalid_argument);
        CHECK(loaded.error().context() == file + (":" + std::string(expected)));
    }
    CHECK(parse_hosts_file("x = 1\n[", file, "r")
            .error()
            .context()
            .starts_with(std::string(file) + ":2: "));
}

TEST_CASE("hosts.toml: unknown keys are named, and do no harm") {
    const auto loaded = read("plugin = 1\n[host.'https://a']\nretries = 3\n");
    CHECK(names(loaded.hosts) == strings{"a/v2", "r.example/v2"});
    REQUIRE(loaded.warnings.size() == 2);
    CHECK(loaded.warnings[0].starts_with(std::string(file) + ":1: plugin: unknown key"));
    CHECK(loaded.warnings[1].starts_with(
      std::string(file) + ":3: host.\"https://a\".retries: unknown key"));
}

TEST_CASE("a directory without hosts.toml speaks of the registry itself") {
    tls_files files;
    CHECK(registry_itself("docker.io", files).host == "registry-1.docker.io");
    CHECK(registry_itself("localhost:5000", files).transport == transport_choice::by_host);
    files.authorities = {"/a"};
    CHECK(registry_itself("localhost:5000", files).transport == transport_choice::tls_or_plain);
    CHECK(registry_itself("r", files).transport == transport_choice::tls);
    CHECK(registry_itself("r", files).tls == files);
}

TEST_CASE("durations as Go writes them") {
    const std::vector<std::pair<const char*, std::chrono::milliseconds>> good{
      {"0", 0ms},          {"0s", 0ms},
      {"10s", 10s},        {"1m30s", 90s},
      {"1.5h", 90min},     {"250ms", 250ms},
      {"+2s", 2s},         {".5s", 500ms},
      {"1.s", 1s},         {"1ns", 1ms},
      {"1500us", 2ms},     {"1500\xc2\xb5s", 2ms},
      {"2\xce\xbcs", 1ms}, {"1h1m1s1ms", 3'661'001ms}};
    for (const auto& [text, expected] : good) {
        INFO(text);
        CHECK(parse_go_duration(text) == expected);
    }
    for (const auto* text :
         {"", "+", "1", "s", "1 s", " 1s", "-1s", "1d", "1e3s", ".s", "1..5s", "1s2", "0x1s",
          "nans", "infs", "9999999h", "99999999999999999999999999h"}) {
        INFO(text);
        CHECK_FALSE(parse_go_duration(text));
    }
}
