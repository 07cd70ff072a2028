#pragma once
// The JSON documents of registry authentication.

#include "actors/result.h"
#include "net/credential_source.h"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace firstlight {

/// What a token endpoint answered.
/// Source: distribution.github.io/distribution/spec/auth/token, "Token Response
/// Fields".
struct token_answer {
    std::string token;
    std::chrono::seconds lifetime{0}; // 0: not said
};

/// User and secret of an `auth`: base64 (RFC 4648, section 4) of both, joined by a colon.
/// invalid_argument, without the text, if it is none.
result<std::pair<std::string, std::string>> unpack_auth(const std::string& packed);

/// corrupt, without the text, if it is not such a document.
result<token_answer> parse_token_answer(std::string_view json);

/// Docker's config.json, or a Kubernetes secret of type dockerconfigjson: who we are to
/// which registry, and which program knows. Immutable.
///
/// Source: docs.docker.com/reference/cli/docker/login, "Credential stores";
/// kubernetes.io/docs/concepts/containers/images, "Interpretation of config.json".
class docker_config {
public:
    /// One of `auths`: its key, and what it holds. Without credentials there is nothing
    /// (they are with a helper); malformed ones are invalid_argument, without the text.
    struct entry {
        std::string key;
        result<std::optional<credentials>> held;
    };

    docker_config() = default; // says nothing
    /// invalid_argument, without the text, if it is not such a document.
    static result<docker_config> parse(std::string_view json);

    /// What the best of the matching keys (docker_key.h) holds; the first of equals.
    result<std::optional<credentials>> find(const credential_query& what) const;
    /// The helper to ask about it, as in "docker-credential-<name>": that of
    /// `credHelpers`, or the one of `credsStore`; empty if there is none.
    const std::string& helper_for(const credential_query& what) const;
    const std::vector<entry>& auths() const noexcept { return auths_; }

private:
    std::vector<entry> auths_;
    std::vector<std::pair<std::string, std::string>> helpers_; // key, name
    std::string store_;
};

/// What a credential helper answered to `get`: nothing if there are no credentials in it.
/// corrupt, without the text, if it is no such answer.
/// Source: github.com/docker/docker-credential-helpers, "Development".
result<std::optional<credentials>> parse_helper_answer(std::string_view json);

} // namespace firstlight
