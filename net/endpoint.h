#pragma once

#include "actors/result.h"
#include "net/blob_address.h"
#include "net/dial_terms.h"
#include "net/http_message.h"
#include "net/registry_config.h"
#include "net/tls_material.h"
#include "net/url.h"

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace firstlight {

/// The TLS contexts that a place's settings call for; none: the general one. A value.
class endpoint_trust {
public:
    endpoint_trust() = default; // the general one
    endpoint_trust(shared_tls_context own, shared_tls_context elsewhere)
      : own_(std::move(own))
      , elsewhere_(std::move(elsewhere)) {}

    /// For the endpoint, and for where it sends us for tokens.
    const shared_tls_context& own() const noexcept { return own_; }
    /// For where it redirects to: the same authorities, but no certificate of ours.
    const shared_tls_context& elsewhere() const noexcept { return elsewhere_; }

private:
    shared_tls_context own_;
    shared_tls_context elsewhere_;
};

/// A place to ask for a registry's blobs: a mirror, or the registry. A value.
class endpoint {
public:
    enum class role { mirror, registry };

    /// invalid_argument if `from` has no usable host. The registry's own host may be left
    /// out. A mirror that is a host of the registry's own gets its credentials, and no `ns=`.
    static result<endpoint>
    make(const registry_endpoint& from, const std::string& registry, role r, endpoint_trust trust);

    /// <API root>/<repository>/blobs/<digest>, with `ns=` where this is no host of the
    /// registry's own. invalid_argument for a repository that is none.
    result<url> blob_url(const blob_address& blob) const;

    /// The API's root.
    const url& base() const noexcept { return base_; }
    /// What credentials are looked up by.
    const std::string& credential_host() const noexcept { return credential_host_; }
    const http_fields& headers() const noexcept { return headers_; }
    /// Longest silence; 0: the general one.
    std::chrono::milliseconds timeout() const noexcept { return timeout_; }
    const endpoint_trust& trust() const noexcept { return trust_; }
    /// How long a connection may take to come up; 0: the general one.
    std::chrono::milliseconds connect_timeout() const noexcept { return connect_timeout_; }
    /// The base is https, but the server need not speak TLS.
    bool may_be_plain() const noexcept { return may_be_plain_; }

private:
    endpoint(
      url base, const registry_endpoint& from, std::string credential_host, std::string ns,
      endpoint_trust trust);

    url base_;
    std::string credential_host_;
    http_fields headers_;
    std::chrono::milliseconds timeout_;
    std::chrono::milliseconds connect_timeout_;
    bool may_be_plain_;
    endpoint_trust trust_;
    std::string ns_;
};

/// Immutable, so that all shards share it.
using endpoint_list = std::shared_ptr<const std::vector<endpoint>>;
/// One of a list, which it keeps alive.
using endpoint_ptr = std::shared_ptr<const endpoint>;

/// The TLS contexts that a configuration calls for. Immutable.
class trust_store {
public:
    /// Reads files. Throws std::runtime_error naming a bad one.
    explicit trust_store(const registry_config& config);

    const shared_tls_context& general() const noexcept { return general_; }
    endpoint_trust of(const registry_endpoint& from) const;
    /// How to reach `to`, where a request to `at` leads: as the configuration says of it, or
    /// as `at` is reached.
    dial_terms terms(const endpoint& at, const url& to) const;
    /// The same for a token server: it gets to know us, so it may see our certificate.
    dial_terms token_terms(const endpoint& at, const url& to) const;

private:
    endpoint_trust make(const tls_files& files);
    dial_terms terms(const endpoint& at, const url& to, const shared_tls_context& elsewhere) const;

    shared_tls_context general_;
    std::vector<std::pair<tls_files, endpoint_trust>> made_;
    std::map<std::string, endpoint_trust> by_origin_;
};

/// As the configuration has them, in the order to ask: mirrors (those of "*" where the
/// registry has none), then the registry. invalid_argument if `registry` is no host.
result<endpoint_list>
endpoints_of(const registry_config& config, const trust_store& trust, const std::string& registry);

} // namespace firstlight
