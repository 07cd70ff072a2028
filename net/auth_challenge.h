#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace firstlight {

/// One challenge of a WWW-Authenticate header. Parameters that we do not use are
/// dropped. Source: RFC 9110, section 11.6.1; RFC 6750, section 3;
/// distribution.github.io/distribution/spec/auth/token.
struct auth_challenge {
    enum class kind { basic, bearer };
    kind scheme = kind::basic;
    std::string realm;
    std::string service;
    std::string scope;
    std::string error; // "invalid_token", "insufficient_scope"
};

/// The Basic and Bearer challenges in the value of a WWW-Authenticate header;
/// others are passed over. What cannot be parsed ends the list. Bounded by the
/// header's length.
std::vector<auth_challenge> parse_www_authenticate(std::string_view text);

} // namespace firstlight
