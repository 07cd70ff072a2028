#pragma once

#include "actors/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace firstlight {

/// "name", "name:port", "1.2.3.4:port" or "[v6]:port", taken apart.
struct host_parts {
    std::string name;       // IPv6 without the brackets
    std::uint16_t port = 0; // 0: none was given
};

/// Nothing if `text` is no host: only letters, digits, '.', '-', '_' (or hex
/// and ':' in brackets) may occur, so that it is safe in a header.
std::optional<host_parts> split_host(std::string_view text);

/// "localhost", "127.0.0.1" or "::1", without a port.
bool is_loopback(std::string_view name) noexcept;

/// An http or https URL. A value.
class url {
public:
    /// Absolute URLs only. Refuses control characters, spaces, user information
    /// (invalid_argument), and drops a fragment.
    static result<url> parse(std::string_view text);
    /// `host` as split_host() reads it; `target` begins with '/'.
    static result<url> make(bool tls, std::string_view host, std::string target);

    /// `reference` as found in a Location header of this URL. RFC 3986, section
    /// 5.2, without the removal of dot segments.
    result<url> resolve(std::string_view reference) const;

    /// The same over plain HTTP.
    url in_plain() const;

    bool tls() const noexcept { return tls_; }
    const std::string& name() const noexcept { return name_; }
    std::uint16_t port() const noexcept { return port_; }
    /// Path and query, as in a request line.
    const std::string& target() const noexcept { return target_; }
    /// For a Host header: the port only where it is not the scheme's own.
    std::string authority() const;
    /// "https://host:port": what credentials and connections are bound to.
    std::string origin() const;
    /// For logs: no query, which may be a signature.
    std::string without_query() const;
    /// The value of a query parameter, not decoded; empty if there is none.
    std::string_view parameter(std::string_view name) const noexcept;

private:
    bool tls_ = true;
    std::string name_;
    std::uint16_t port_ = 0;
    std::string target_;
};

/// Percent-encodes all but the unreserved characters of RFC 3986, section 2.3.
std::string percent_encoded(std::string_view text);

} // namespace firstlight
