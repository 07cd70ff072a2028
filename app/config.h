#pragma once
// What the operator chose. conf/firstlight.toml documents each key; docs/config.md
// says how the keys of stargz-snapshotter's config.toml map onto these fields.

#include "actors/log.h"
#include "actors/result.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace firstlight {

/// Every setting, with its default. A plain value: read once by main, which hands
/// each part of the program its section.
struct config {
    std::string root = "/var/lib/firstlight";
    std::string address = "/run/firstlight/firstlight.sock"; // gRPC, a unix socket
    std::string metrics_address;                             // "host:port"; empty: off
    log::level log_level = log::level::info;

    struct runtime_section {
        unsigned shards = 0; // 0: one per processor
        bool pin = true;
        unsigned io_threads = 4;
        unsigned cpu_threads = 0; // 0: one per processor, at least 2
        /// Of all shards together: what is being fetched, decoded or answered.
        std::uint64_t buffer_bytes = 128ULL << 20;
    } runtime;

    struct cache_section {
        std::string directory; // empty: <root>/cache; see cache_directory()
        std::uint64_t max_bytes = 20ULL << 30;
        std::uint64_t memory_bytes = 128ULL << 20; // chunks that are not on disk yet
    } cache;

    struct read_section {
        /// A read(2) that has not been served by then fails with EIO.
        std::chrono::seconds deadline{60};
        /// The most that is fetched ahead of a sequential reader; 0: nothing.
        std::uint64_t readahead_bytes = 8ULL << 20;
    } read;

    struct mount_section {
        /// A layer that is not mounted by then is left to containerd, eagerly.
        std::chrono::seconds deadline{30};
        /// How long a layer resolved for a neighbour is kept for its own Prepare.
        std::chrono::seconds resolved_ttl{120};
    } mount;

    struct prefetch_section {
        bool enabled = true;
        std::uint64_t bytes = 0; // of a layer with neither landmark nor label
        /// How long making a container waits for prefetching; 0: not at all. What it
        /// then reads comes before all that is prefetched.
        std::chrono::seconds timeout{0};
        /// A prefetch larger than this holds up no container; 0: any may.
        std::uint64_t async_bytes = 0;
        /// Compressed bytes that one request of a prefetch asks for; 0: 1 MiB.
        std::uint64_t request_bytes = 0;
        /// Note what containers read first, and prefetch that at the next mount.
        bool learn = true;
        std::chrono::seconds learn_time{10}; // since an image's first read
    } prefetch;

    struct background_section {
        bool enabled = true;
        unsigned max_concurrency = 4; // ranges fetched at once, of all layers
        /// Compressed bytes that one request asks for.
        std::uint64_t request_bytes = 4ULL << 20;
        /// Of all hosts together; 0: what the link gives and readers leave.
        std::uint64_t bytes_per_second = 0;
    } background;

    struct verification_section {
        bool disabled = false;         // verify nothing, ever
        bool allow_skip_label = false; // honour the label that asks not to verify
    } verification;

    struct fuse_section {
        // Days: a layer never changes, and is invalidated when it goes.
        std::chrono::seconds attr_timeout{std::chrono::days(7)};
        std::chrono::seconds entry_timeout{std::chrono::days(7)};
        unsigned max_background = 4096; // requests the kernel lets queue up
    } fuse;

    /// A place that serves a registry's content: a mirror, or the registry itself.
    struct endpoint {
        std::string host; // host or host:port; neither scheme nor path
        bool plain_http = false;
        /// For one attempt of one request; nothing: none. Filled from the global one
        /// where the file says nothing.
        std::optional<std::chrono::seconds> request_timeout;
        std::vector<std::pair<std::string, std::string>> headers; // sent with each request
    };

    /// What is known of one registry, by the host in image references ("docker.io").
    struct registry_host {
        /// Tried in this order before the registry itself.
        std::vector<endpoint> mirrors;
        // Basic credentials; all empty: anonymous. Never logged.
        std::string username;
        std::string password;
        std::string identity_token;
        bool insecure_skip_verify = false;
        std::string ca_file; // empty: the system's authorities
        // A certificate to present; the key may be in the same file. Empty: none.
        std::string certificate_file;
        std::string key_file;
    };

    struct registry_section {
        std::map<std::string, registry_host> hosts;
        /// Where directories about registries are, as containerd and docker keep them; those
        /// that do not exist do no harm.
        std::vector<std::string> config_paths{"/etc/containerd/certs.d", "/etc/docker/certs.d"};
        /// For one attempt of one request.
        std::chrono::seconds request_timeout{30};
        unsigned connections_per_host = 8; // of each shard
        /// Docker's config.json, for credentials; empty: where docker looks for it.
        std::string docker_config;
        unsigned max_retries = 5;
        std::chrono::milliseconds min_backoff{30};
        std::chrono::milliseconds max_backoff{10'000};
    } registry;

    /// Where credentials come from besides the configuration and docker's config.json.
    struct keychain_section {
        /// Secrets of type dockerconfigjson, from the API server of Kubernetes.
        bool kubernetes = false;
        /// How to reach it; empty: $KUBECONFIG, ~/.kube/config, or as a pod does.
        std::string kubeconfig;
        /// What kubelet sends along with its requests to pull images, which we pass on.
        bool cri = false;
        std::string image_service = "/run/containerd/containerd.sock"; // where to
        /// The socket for these requests; empty: `address`.
        std::string image_service_listen;
    } keychain;

    /// cache.directory, or its place under root.
    std::string cache_directory() const;
};

/// A configuration, and what the operator should know about it: unknown keys and
/// keys that do nothing here, one sentence each, with file and line.
struct loaded_config {
    config values;
    std::vector<std::string> warnings;
};

/// Reads TOML from `text`; `file` names it in messages. Keys are those of
/// conf/firstlight.toml and of stargz-snapshotter's config.toml (docs/config.md);
/// where both say the same thing, ours wins. What is not set keeps its default.
///
/// Errors: invalid_argument, "FILE:LINE: KEY: what was expected", for bad syntax,
/// a value of the wrong type, or out of range.
result<loaded_config> parse_config(std::string_view text, const std::string& file);

/// parse_config() of a file. With `required` unset a missing file gives the
/// defaults, else not_found. Blocks: for main's thread, before the shards start.
///
/// Errors: as parse_config(); not_found; io_error; invalid_argument for a file
/// over 1 MiB.
result<loaded_config> load_config(const std::string& file, bool required);

/// The level called `name`: trace, debug, info, warn or warning, error.
/// invalid_argument otherwise.
result<log::level> parse_log_level(std::string_view name);

} // namespace firstlight
