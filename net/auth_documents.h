#pragma once
// The two JSON documents of registry authentication.

#include "actors/result.h"
#include "net/credential_source.h"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace firstlight {

/// What a token endpoint answered.
/// Source: distribution.github.io/distribution/spec/auth/token, "Token Response
/// Fields".
struct token_answer {
    std::string token;
    std::chrono::seconds lifetime{0}; // 0: not said
};

/// corrupt, without the text, if it is not such a document.
result<token_answer> parse_token_answer(std::string_view json);

/// The entry for `host` among the `auths` of docker's config.json. docker.io is
/// looked up as "https://index.docker.io/v1/"; a key may carry a scheme and a
/// path, which are not compared. invalid_argument, without the text, if it is not
/// such a document.
result<std::optional<credentials>>
find_docker_credentials(std::string_view json, std::string_view host);

} // namespace firstlight
