#pragma once

#include "actors/result.h"
#include "net/blob_address.h"
#include "net/http_message.h"
#include "net/http_stream.h"
#include "net/registry_config.h"
#include "net/url.h"

#include <chrono>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace firstlight {

/// A place to ask for a registry's blobs: a mirror, or the registry. A value.
class endpoint {
public:
    endpoint(url base, const registry_endpoint& from, std::string registry, bool mirror);

    /// …/v2/<repository>/blobs/<digest>, with `ns=` where this is no host of the
    /// registry's own. invalid_argument for a repository that is none.
    result<url> blob_url(const blob_address& blob) const;

    const url& base() const noexcept { return base_; }
    /// What credentials are looked up by.
    const std::string& credential_host() const noexcept { return credential_host_; }
    const http_fields& headers() const noexcept { return headers_; }
    /// Longest silence; 0: the general one.
    std::chrono::milliseconds timeout() const noexcept { return timeout_; }

private:
    url base_;
    std::string credential_host_;
    http_fields headers_;
    std::chrono::milliseconds timeout_;
    std::string ns_;
};

/// In the order to ask: mirrors, then the registry. invalid_argument if
/// `registry` is no host.
result<std::vector<endpoint>>
endpoints_of(const registry_config& config, const std::string& registry);

/// The TLS contexts that a configuration calls for. Immutable.
class trust_store {
public:
    /// Reads the CA files. Throws std::runtime_error naming a bad one.
    explicit trust_store(const registry_config& config);
    /// That of the endpoint configured for this URL's host, or the general one.
    shared_tls_context of(const url& to) const;

private:
    shared_tls_context general_;
    std::map<std::string, shared_tls_context> by_origin_;
};

} // namespace firstlight
