#include "app/config.h"

#include "test/app/temporary_file.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>

using namespace firstlight;
using namespace std::chrono_literals;

namespace {

loaded_config read(const std::string& text) {
    auto loaded = parse_config(text, "c.toml");
    INFO(text);
    REQUIRE_MESSAGE(loaded.has_value(), loaded.error().context());
    return *loaded;
}

std::string error_of(const std::string& text) {
    const auto loaded = parse_config(text, "c.toml");
    INFO(text);
    REQUIRE(!loaded.has_value());
    CHECK(loaded.error().code() == errc::invalid_argument);
    return loaded.error().context();
}

std::string only_warning(const std::string& text) {
    const auto loaded = read(text);
    INFO(text);
    REQUIRE(loaded.warnings.size() == 1);
    return loaded.warnings.front();
}

struct row {
    const char* text;
    std::function<bool(const config&)> holds;
};

void check_rows(const std::vector<row>& rows) {
    for (const auto& r : rows) {
        INFO(r.text);
        const auto loaded = read(r.text);
        CHECK(loaded.warnings.empty());
        CHECK(r.holds(loaded.values));
        CHECK_FALSE(r.holds(config())); // the key, not the default, did it
    }
}

} // namespace

TEST_CASE("config: each key of the reference that means something here sets it") {
    check_rows({
      {"resolve_result_entry_ttl_sec = 7", [](auto& c) { return c.mount.resolved_ttl == 7s; }},
      {"prefetch_size = 8", [](auto& c) { return c.prefetch.bytes == 8; }},
      {"prefetch_timeout_sec = 9", [](auto& c) { return c.prefetch.timeout == 9s; }},
      {"prefetch_async_size = 10", [](auto& c) { return c.prefetch.async_bytes == 10; }},
      {"noprefetch = true", [](auto& c) { return !c.prefetch.enabled; }},
      {"no_background_fetch = true", [](auto& c) { return !c.background.enabled; }},
      {"allow_no_verification = true", [](auto& c) { return c.verification.allow_skip_label; }},
      {"max_concurrency = 5", [](auto& c) { return c.background.max_concurrency == 5; }},
      {"metrics_address = ':9'", [](auto& c) { return c.metrics_address == ":9"; }},
      {"root_path = '/r'", [](auto& c) { return c.root == "/r"; }},
      {"[blob]\nfetching_timeout_sec = 6", [](auto& c) { return c.read.deadline == 6s; }},
      {"[blob]\nprefetch_chunk_size = 6", [](auto& c) { return c.prefetch.request_bytes == 6; }},
      {"[blob]\nmax_retries = 6", [](auto& c) { return c.registry.max_retries == 6; }},
      {"[blob]\nmin_wait_msec = 6", [](auto& c) { return c.registry.min_backoff == 6ms; }},
      {"[blob]\nmax_wait_msec = 60", [](auto& c) { return c.registry.max_backoff == 60ms; }},
      {"[fuse]\nattr_timeout = 6", [](auto& c) { return c.fuse.attr_timeout == 6s; }},
      {"[fuse]\nentry_timeout = 6", [](auto& c) { return c.fuse.entry_timeout == 6s; }},
      {"[kubeconfig_keychain]\nenable_keychain = true",
       [](auto& c) { return c.keychain.kubernetes; }},
      {"[kubeconfig_keychain]\nkubeconfig_path = '/k'",
       [](auto& c) { return c.keychain.kubeconfig == "/k"; }},
      {"[cri_keychain]\nenable_keychain = true", [](auto& c) { return c.keychain.cri; }},
      {"[cri_keychain]\nimage_service_path = '/c'",
       [](auto& c) { return c.keychain.image_service == "/c"; }},
      {"[cri_keychain]\nlisten_path = '/l'",
       [](auto& c) { return c.keychain.image_service_listen == "/l"; }},
      {"cri_keychain_image_service_path = '/c'",
       [](auto& c) { return c.keychain.image_service == "/c"; }},
      {"[resolver]\nrequest_timeout_sec = 6",
       [](auto& c) { return c.registry.request_timeout == 6s; }},
    });
}

TEST_CASE("config: each key of our own sets it") {
    check_rows({
      {"root = '/r'", [](auto& c) { return c.root == "/r"; }},
      {"address = '/r/s'", [](auto& c) { return c.address == "/r/s"; }},
      {"[log]\nlevel = 'warning'", [](auto& c) { return c.log_level == log::level::warn; }},
      {"[runtime]\nshards = 3", [](auto& c) { return c.runtime.shards == 3; }},
      {"[runtime]\npin = false", [](auto& c) { return !c.runtime.pin; }},
      {"[runtime]\nio_threads = 3", [](auto& c) { return c.runtime.io_threads == 3; }},
      {"[runtime]\ncpu_threads = 3", [](auto& c) { return c.runtime.cpu_threads == 3; }},
      {"[runtime]\nbuffer_bytes = 3", [](auto& c) { return c.runtime.buffer_bytes == 3; }},
      {"[cache]\ndirectory = '/d'", [](auto& c) { return c.cache_directory() == "/d"; }},
      {"[cache]\nmax_bytes = 3", [](auto& c) { return c.cache.max_bytes == 3; }},
      {"[cache]\nmemory_bytes = 3", [](auto& c) { return c.cache.memory_bytes == 3; }},
      {"[read]\ndeadline_sec = 3", [](auto& c) { return c.read.deadline == 3s; }},
      {"[read]\nreadahead_bytes = 0", [](auto& c) { return c.read.readahead_bytes == 0; }},
      {"[prefetch]\nlearn = false", [](auto& c) { return !c.prefetch.learn; }},
      {"[prefetch]\nlearn_sec = 3", [](auto& c) { return c.prefetch.learn_time == 3s; }},
      {"[mount]\ndeadline_sec = 3", [](auto& c) { return c.mount.deadline == 3s; }},
      {"[fuse]\nmax_background = 3", [](auto& c) { return c.fuse.max_background == 3; }},
      {"[resolver]\nconnections_per_host = 3",
       [](auto& c) { return c.registry.connections_per_host == 3; }},
      {"[resolver]\ndocker_config = '/d.json'",
       [](auto& c) { return c.registry.docker_config == "/d.json"; }},
    });
}

TEST_CASE("config: keys of the reference without effect are accepted, and said so once") {
    for (const auto* text : {
           "http_cache_type = 'memory'",
           "filesystem_cache_type = 'memory'",
           "log_file_access = true",
           "resolve_result_entry = 3",
           "debug_address = '/run/d.sock'",
           "ipfs = true",
           "debug = true",
           "blob.valid_interval = 6",
           "blob.check_always = true",
           "snapshotter.allow_invalid_mounts_on_restart = false",
           "metadata_store = 'db'",
           "blob.chunk_size = 9",
           "directory_cache.max_lru_cache_entry = 9",
           "directory_cache.max_cache_fds = 9",
           "directory_cache.sync_add = true",
           "directory_cache.direct = false",
           "directory_cache.fadv_dontneed = true",
           "fuse.passthrough = true",
           "fuse.merge_buffer_size = 9",
           "fuse.merge_worker_count = 9",
           "fuse_manager.enable = true",
           "fuse_manager.address = '/f'",
           "fuse_manager.path = '/f'",
           "fuse_manager.metrics_address = ':1'",
         }) {
        const std::string all = text;
        const auto key = all.substr(0, all.find(' '));
        CHECK(only_warning(all).starts_with("c.toml:1: " + key + ": accepted, no effect: "));
    }
}

TEST_CASE("config: a key without effect is not worth a word at the reference's default") {
    CHECK(read("ipfs = false\nmetadata_store = 'memory'\n[directory_cache]\ndirect = true\n")
            .warnings.empty());
    CHECK(read("[blob]\nvalid_interval = 60\nforce_single_range_mode = true\n"
               "[snapshotter]\nallow_invalid_mounts_on_restart = true\n")
            .warnings.empty()); // what is the case anyway
}

TEST_CASE("config: an explicit 0 is the default where the reference has it so") {
    const auto c = read("resolve_result_entry_ttl_sec = 0\nprefetch_timeout_sec = 0\n"
                        "max_concurrency = 0\n[fuse]\nattr_timeout = 0\nentry_timeout = 0\n"
                        "[blob]\nmax_retries = 0\nvalid_interval = 0\nfetching_timeout_sec = 0\n"
                        "min_wait_msec = 0\nmax_wait_msec = 0\n[resolver]\nrequest_timeout_sec = 0")
                     .values;
    const config d;
    CHECK(c.mount.resolved_ttl == d.mount.resolved_ttl);
    CHECK(c.prefetch.timeout == d.prefetch.timeout);
    CHECK(c.prefetch.learn == d.prefetch.learn);
    CHECK(c.prefetch.learn_time == d.prefetch.learn_time);
    CHECK(c.background.max_concurrency == d.background.max_concurrency);
    CHECK(c.background.request_bytes == d.background.request_bytes);
    CHECK(c.background.bytes_per_second == d.background.bytes_per_second);
    CHECK(c.fuse.attr_timeout == d.fuse.attr_timeout);
    CHECK(c.fuse.entry_timeout == d.fuse.entry_timeout);
    CHECK(c.registry.max_retries == d.registry.max_retries);
    CHECK(c.read.deadline == d.read.deadline);
    CHECK(c.registry.min_backoff == d.registry.min_backoff);
    CHECK(c.registry.max_backoff == d.registry.max_backoff);
    CHECK(c.keychain.kubernetes == d.keychain.kubernetes);
    CHECK(c.keychain.kubeconfig == d.keychain.kubeconfig);
    CHECK(c.keychain.cri == d.keychain.cri);
    CHECK(c.keychain.image_service == d.keychain.image_service);
    CHECK(c.keychain.image_service_listen == d.keychain.image_service_listen);
    CHECK(c.registry.request_timeout == d.registry.request_timeout);
}

TEST_CASE("config: our key beats the reference's for the same thing") {
    CHECK(
      read("[blob]\nfetching_timeout_sec = 300\n[read]\ndeadline_sec = 5").values.read.deadline ==
      5s);
    CHECK(read("root_path = '/a'\nroot = '/b'").values.root == "/b");
}

TEST_CASE("config: no_prometheus closes the metrics endpoint") {
    CHECK(read("metrics_address = ':1'\nno_prometheus = true").values.metrics_address.empty());
    CHECK(read("metrics_address = ':1'\nno_prometheus = false").values.metrics_address == ":1");
}

TEST_CASE("config: switching verification off is not done in silence") {
    const auto loaded = read("\ndisable_verification = true");
    CHECK(loaded.values.verification.disabled);
    REQUIRE(loaded.warnings.size() == 1);
    CHECK(loaded.warnings.front().starts_with("c.toml:2: disable_verification: "));
}

TEST_CASE("config: mirrors as the standalone reference writes them") {
    const auto c = read(R"(
[resolver]
request_timeout_sec = 11
[[resolver.host."docker.io".mirrors]]
host = "mirror.example:5000"
insecure = true
request_timeout_sec = -1
[resolver.host."docker.io".mirrors.header]
X-One = "1"
X-Two = ["2", "3"]
[[resolver.host."docker.io".mirrors]]
host = "docker.io"
[[resolver.host."docker.io".mirrors]]
host = "127.0.0.1:5000"
request_timeout_sec = 2
)");
    CHECK(c.warnings.empty());
    const auto& mirrors = c.values.registry.hosts.at("docker.io").mirrors;
    REQUIRE(mirrors.size() == 3);
    CHECK(mirrors[0].host == "mirror.example:5000");
    CHECK(mirrors[0].plain_http);
    CHECK(!mirrors[0].request_timeout);
    const std::vector<std::pair<std::string, std::string>> headers{
      {"X-One", "1"}, {"X-Two", "2"}, {"X-Two", "3"}};
    CHECK(mirrors[0].headers == headers);
    CHECK(mirrors[1].host == "registry-1.docker.io");
    CHECK_FALSE(mirrors[1].plain_http);
    CHECK(mirrors[1].request_timeout == 11s);
    CHECK(mirrors[2].plain_http); // this machine
    CHECK(mirrors[2].request_timeout == 2s);
}

TEST_CASE("config: a mirror with a path is left out, with a warning, as the reference does") {
    const auto loaded = read("[[resolver.host.a.mirrors]]\nhost = 'b/c'\n"
                             "[[resolver.host.a.mirrors]]\nhost = 'd'\n");
    REQUIRE(loaded.warnings.size() == 1);
    CHECK(loaded.warnings.front().starts_with("c.toml:2: resolver.host.a.mirrors.host: "));
    REQUIRE(loaded.values.registry.hosts.at("a").mirrors.size() == 1);
    CHECK(loaded.values.registry.hosts.at("a").mirrors[0].host == "d");
}

TEST_CASE("config: so is an endpoint that is none, or has a path") {
    const auto loaded = read("[registry.mirrors.a]\nendpoint = [\n'https://',\n"
                             "'https://b/prefix/v2',\n'c:5000']\n");
    REQUIRE(loaded.warnings.size() == 2);
    CHECK(loaded.warnings.front().starts_with("c.toml:2: registry.mirrors.a.endpoint: "));
    CHECK(loaded.warnings.back().find("https://b/prefix/v2") != std::string::npos);
    REQUIRE(loaded.values.registry.hosts.at("a").mirrors.size() == 1);
    CHECK(loaded.values.registry.hosts.at("a").mirrors[0].host == "c:5000");
}

TEST_CASE("config: registries as the in-process form of the reference writes them") {
    const auto c = read(R"(
[registry.mirrors."*"]
endpoint = ["https://m.example/v2/", "http://plain.example:80"]
[registry.configs."m.example".auth]
auth = "dXNlcjpwYTpzcw=="
[registry.configs."m.example".tls]
ca_file = "/ca.pem"
cert_file = "/c.pem"
key_file = "/k.pem"
[registry.configs."plain.example:80"]
auth = { username = "u", password = "p", identitytoken = "t" }
tls = { insecure_skip_verify = true }
)");
    CHECK(c.warnings.empty());
    const auto& hosts = c.values.registry.hosts;
    REQUIRE(hosts.at("*").mirrors.size() == 2);
    CHECK(hosts.at("*").mirrors[0].host == "m.example");
    CHECK_FALSE(hosts.at("*").mirrors[0].plain_http);
    CHECK(hosts.at("*").mirrors[1].host == "plain.example:80");
    CHECK(hosts.at("*").mirrors[1].plain_http);
    CHECK(hosts.at("m.example").username == "user");
    CHECK(hosts.at("m.example").password == "pa:ss");
    CHECK(hosts.at("m.example").ca_file == "/ca.pem");
    CHECK(hosts.at("m.example").certificate_file == "/c.pem");
    CHECK(hosts.at("m.example").key_file == "/k.pem");
    CHECK(hosts.at("plain.example:80").username == "u");
    CHECK(hosts.at("plain.example:80").password == "p");
    CHECK(hosts.at("plain.example:80").identity_token == "t");
    CHECK(hosts.at("plain.example:80").insecure_skip_verify);
}

TEST_CASE("config: where directories about registries are") {
    using strings = std::vector<std::string>;
    const std::vector<std::pair<const char*, strings>> rows{
      {"", config().registry.config_paths},
      {"config_path = '/a'", {"/a"}},
      {"config_path = '/a:/b/c'", {"/a", "/b/c"}},
      {"config_path = ['/a', '/b']", {"/a", "/b"}},
      {"config_path = ''", {}},
      {"config_path = []", {}},
      {"config_path = '/a'\nmirrors = {}", {"/a"}},
    };
    for (const auto& [keys, expected] : rows) {
        INFO(keys);
        const auto loaded = read("[registry]\n" + std::string(keys));
        CHECK(loaded.warnings.empty());
        CHECK(loaded.values.registry.config_paths == expected);
    }
}

TEST_CASE("config: unknown keys are all named, with their lines, in order") {
    const auto loaded = read("zebra = 1\n[fuse]\nattr_timeuot = 3\n[cahce]\nmax_bytes = 3\n"
                             "[registry.configs.h.tls]\ncafile = ''\n");
    const std::vector<std::string> expected{
      "c.toml:1: zebra", "c.toml:3: fuse.attr_timeuot", "c.toml:4: cahce",
      "c.toml:7: registry.configs.h.tls.cafile"};
    REQUIRE(loaded.warnings.size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
        CHECK(loaded.warnings[i] == expected[i] + ": unknown key, ignored; see docs/config.md");
    }
}

TEST_CASE("config: a wrong type or value is an error with file, line, key and what was expected") {
    const std::vector<std::pair<const char*, const char*>> rows{
      {"\nroot = 1", "c.toml:2: root: expected a string, found an integer"},
      {"root = 'var'", "c.toml:1: root: expected an absolute path, found \"var\""},
      {"noprefetch = 'yes'", "c.toml:1: noprefetch: expected true or false, found a string"},
      {"prefetch_size = 1.5",
       "c.toml:1: prefetch_size: expected an integer, found a floating-point number"},
      {"prefetch_size = 1979-05-27",
       "c.toml:1: prefetch_size: expected an integer, found a date or time"},
      {"max_concurrency = -1",
       "c.toml:1: max_concurrency: expected an integer from 0 to 1024, found -1"},
      {"metadata_store = 'etcd'",
       "c.toml:1: metadata_store: expected \"memory\" or \"db\", found \"etcd\""},
      {"metrics_address = '9100'",
       "c.toml:1: metrics_address: expected \"host:port\", found \"9100\""},
      {"blob = 3", "c.toml:1: blob: expected a table, found an integer"},
      {"[blob]\nmin_wait_msec = 9\nmax_wait_msec = 3",
       "c.toml:3: blob.max_wait_msec: expected at least min_wait_msec"},
      {"ipfs = 'no'", "c.toml:1: ipfs: expected true or false, found a string"},
      {"[log]\nlevel = 'loud'",
       "c.toml:2: log.level: expected trace, debug, info, warn or error, found \"loud\""},
      {"[runtime]\nio_threads = 1",
       "c.toml:2: runtime.io_threads: expected 0 or at least 2, found 1: one is kept for demand"},
      {"[prefetch]\nlearn_sec = 3601",
       "c.toml:2: prefetch.learn_sec: expected an integer from 0 to 3600, found 3601"},
      {"[cri_keychain]\nenable_keychain = true\n"
       "image_service_path = '/run/firstlight/firstlight.sock'",
       "c.toml:3: cri_keychain.image_service_path: expected containerd's socket, found one of our "
       "own"},
      {"[kubeconfig_keychain]\nkubeconfig_path = 'k'",
       "c.toml:2: kubeconfig_keychain.kubeconfig_path: expected an absolute path, found \"k\""},
      {"[resolver.host.a]\nmirrors = 'b'",
       "c.toml:2: resolver.host.a.mirrors: expected an array of tables, found a string"},
      {"[[resolver.host.a.mirrors]]\nheader = { X-A = \"a\\r\\nb\" }",
       "c.toml:2: resolver.host.a.mirrors.header.X-A: expected an HTTP header, without control "
       "characters"},
      {"[registry.mirrors.a]\nendpoint = [1]",
       "c.toml:2: registry.mirrors.a.endpoint: expected an array of strings, found an integer in "
       "it"},
      {"[registry.configs.a.auth]\nauth = 'secret'",
       "c.toml:2: registry.configs.a.auth.auth: expected base64 of \"username:password\""},
      {"[registry]\nconfig_path = '/c:d'",
       "c.toml:2: registry.config_path: expected absolute paths, found \"d\""},
      {"[registry]\nconfig_path = 3",
       "c.toml:2: registry.config_path: expected an array of strings, found an integer"},
      {"[registry.configs.a.tls]\nkey_file = '/k'",
       "c.toml:2: registry.configs.a.tls.key_file: expected a cert_file besides"},
    };
    for (const auto& [text, expected] : rows) {
        CHECK(error_of(text) == expected);
    }
}

TEST_CASE("config: bad syntax is an error with its line") {
    CHECK(error_of("root = '/a'\n\nthis is not TOML\n").starts_with("c.toml:3: "));
    CHECK(error_of("a = 1\na = 2\n").starts_with("c.toml:"));
    for (const std::string bad :
         {"\xff", "\x83", "\xc3", "\xe2\x82", "\xf0\x9f\x98(", "\xe0\x80\x80", "\xed\xa0\x80",
          "\xf0\x80\x80\x80", "\xf4\x9a\x9a\x9a", "\x01", "\x7f"}) {
        CHECK(
          error_of("a = 1\n'" + bad + "'") ==
          "c.toml:2: expected UTF-8 without control characters");
    }
    CHECK(error_of("a = " + std::string(200'000, '[')).ends_with("nested too deep"));
}

TEST_CASE("config: text beyond ASCII is as good") {
    CHECK(read("root = '/\xc3\xa4/\xe2\x82\xac/\xf0\x9f\x98\x80'").values.root.size() == 12);
}

TEST_CASE("config: an empty file is the defaults") {
    for (const auto* text : {"", "\n", "# nothing\n"}) {
        CHECK(read(text).values.cache_directory() == "/var/lib/firstlight/cache");
        CHECK(read(text).warnings.empty());
    }
}

TEST_CASE("config: the file that we ship is the defaults, key by key") {
    const auto loaded = load_config(FIRSTLIGHT_SOURCE_DIR "/conf/firstlight.toml", true);
    REQUIRE_MESSAGE(loaded.has_value(), loaded.error().context());
    CHECK(loaded->warnings.empty());
    const auto& c = loaded->values;
    const config d;
    CHECK(c.root == d.root);
    CHECK(c.address == d.address);
    CHECK(c.metrics_address == d.metrics_address);
    CHECK(c.cache_directory() == d.cache_directory());
    CHECK(c.cache.max_bytes == d.cache.max_bytes);
    CHECK(c.cache.memory_bytes == d.cache.memory_bytes);
    CHECK(c.runtime.buffer_bytes == d.runtime.buffer_bytes);
    CHECK(c.read.deadline == d.read.deadline);
    CHECK(c.read.readahead_bytes == d.read.readahead_bytes);
    CHECK(c.mount.deadline == d.mount.deadline);
    CHECK(c.mount.resolved_ttl == d.mount.resolved_ttl);
    CHECK(c.prefetch.timeout == d.prefetch.timeout);
    CHECK(c.prefetch.learn == d.prefetch.learn);
    CHECK(c.prefetch.learn_time == d.prefetch.learn_time);
    CHECK(c.background.max_concurrency == d.background.max_concurrency);
    CHECK(c.background.request_bytes == d.background.request_bytes);
    CHECK(c.background.bytes_per_second == d.background.bytes_per_second);
    CHECK(c.fuse.attr_timeout == d.fuse.attr_timeout);
    CHECK(c.fuse.entry_timeout == d.fuse.entry_timeout);
    CHECK(c.fuse.max_background == d.fuse.max_background);
    CHECK(c.registry.request_timeout == d.registry.request_timeout);
    CHECK(c.registry.config_paths == d.registry.config_paths);
    CHECK(c.registry.connections_per_host == d.registry.connections_per_host);
    CHECK(c.registry.max_retries == d.registry.max_retries);
    CHECK(c.registry.min_backoff == d.registry.min_backoff);
    CHECK(c.registry.max_backoff == d.registry.max_backoff);
    CHECK(c.runtime.io_threads == d.runtime.io_threads);
    CHECK(c.runtime.pin == d.runtime.pin);
}

TEST_CASE("config: a missing file is the defaults, or fatal if it was asked for") {
    const auto tolerated = load_config("/nonexistent/c.toml", false);
    REQUIRE(tolerated.has_value());
    CHECK(tolerated->values.root == config().root);
    const auto refused = load_config("/nonexistent/c.toml", true);
    REQUIRE(!refused.has_value());
    CHECK(refused.error().code() == errc::not_found);
    CHECK(refused.error().context().find("/nonexistent/c.toml") != std::string::npos);
}

TEST_CASE("config: a file that cannot be one is refused") {
    CHECK(!load_config("/", false).has_value()); // a directory
    const test::temporary_file huge(std::string((1U << 20) + 1, '#'));
    const auto refused = load_config(huge.path(), true);
    REQUIRE(!refused.has_value());
    CHECK(refused.error().code() == errc::invalid_argument);
}
