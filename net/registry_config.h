#pragma once
// What an operator may set about registries. Plain options: filled in by whoever
// reads the configuration, before the shards start, and never changed after.

#include "actors/lane.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace firstlight {

/// Whether to speak TLS to a host.
enum class transport_choice {
    by_host, // plain for localhost, 127.0.0.1 and [::1], TLS for all others
    plain,   // `insecure = true` of the reference's configuration
    tls,
    tls_or_plain, // plain once the server turns out not to speak TLS
};

/// PEM files that say whom to trust in TLS, and who we are.
struct tls_files {
    /// A certificate to present and its key; no `key`: both are in one file.
    struct client {
        std::string certificate;
        std::string key;
        friend bool operator==(const client&, const client&) = default;
    };

    /// Authorities to trust besides the system's, or in their place.
    std::vector<std::string> authorities;
    bool in_place_of_the_system = false;
    /// Where there are several, that which the server's authorities have issued.
    std::vector<client> clients;
    /// Accept any certificate. For laboratories.
    bool skip_verify = false;

    bool empty() const noexcept { return authorities.empty() && clients.empty() && !skip_verify; }
    friend bool operator==(const tls_files&, const tls_files&) = default;
};

/// One place that serves /v2/: a registry, or a mirror of one.
struct registry_endpoint {
    /// "host" or "host:port". For the origin itself it may be left empty.
    std::string host;
    transport_choice transport = transport_choice::by_host;
    /// Root of the API there: empty, or begins with '/', and does not end with one.
    std::string path = "/v2";
    /// Sent with every request to this host; never to where it redirects.
    std::vector<std::pair<std::string, std::string>> headers;
    /// How long to wait without a byte of progress; 0: the general request_timeout.
    std::chrono::milliseconds timeout{0};
    /// How long a connection may take to come up; 0: the general connect_timeout.
    std::chrono::milliseconds connect_timeout{0};
    /// Empty: the general ones.
    tls_files tls;
};

struct registry_host {
    /// Asked in this order before the origin. Those without a host, or with a
    /// '/' in it, are ignored, as the reference does.
    std::vector<registry_endpoint> mirrors;
    /// The registry itself, always asked last.
    registry_endpoint origin;
};

/// When a server is taken for dead, and how often it is tried then. See circuit_breaker.
struct circuit_rules {
    /// Attempts in a row that came to nothing, each within `window` of the one before.
    unsigned failures = 3;
    std::chrono::milliseconds window{60'000};
    /// Until the first probe; doubled with each that fails; a random part of up to a
    /// quarter is left out.
    std::chrono::milliseconds first_rest{1000};
    std::chrono::milliseconds longest_rest{60'000};
    /// The longest that demand has to wait for a probe.
    std::chrono::milliseconds demand_rest{8000};
    /// A mirror that failed is asked last for this long.
    std::chrono::milliseconds asked_last{10'000};
};

struct registry_config {
    /// By the host of image references ("docker.io", "localhost:5000").
    std::map<std::string, registry_host> hosts;

    /// PEM file to trust in place of the system's authorities; empty: the system's.
    std::string ca_file;
    /// How old the word of a host_source on a registry may become until it is asked again.
    std::chrono::milliseconds hosts_interval{5000};
    /// How long a TCP and TLS connection may take to come up.
    std::chrono::milliseconds connect_timeout{10'000};
    /// How long a request may go without progress before it counts as failed. Not
    /// a bound on a whole body: that is the caller's deadline.
    std::chrono::milliseconds request_timeout{30'000};
    /// The same for an endpoint while another one is well, which can be asked instead.
    std::chrono::milliseconds silence_beside_others{3'000};
    /// How often a failed request is repeated (transport errors, 429, 5xx but 501).
    unsigned max_retries = 5;
    /// Back-off before retry n: min_wait * 2^n, at most max_wait, times [1, 2).
    std::chrono::milliseconds min_wait{30};
    std::chrono::milliseconds max_wait{300'000};

    /// Connections in use per host and shard, by lane: what a lane and those below
    /// it may hold together. The difference is never lent downwards.
    per_lane<unsigned> connections{8, 6, 4};
    /// An idle connection is kept this long.
    std::chrono::milliseconds idle_timeout{60'000};
    /// Where a blob's requests were redirected to is remembered this long.
    std::chrono::milliseconds redirect_ttl{15 * 60'000};
    circuit_rules circuit;

    /// What the background lane may read in a second, bytes, of all hosts together;
    /// 0: no limit.
    std::uint64_t background_bytes_per_second = 0;

    /// A server that ignores Range sends the whole blob: at most this many bytes
    /// are read and thrown away to reach the ones wanted.
    std::uint64_t max_skip = 16 << 20;
    std::string user_agent = "firstlight/0.1";
};

} // namespace firstlight
