#pragma once
// The names under which docker's config.json and Kubernetes' secrets keep credentials.

#include "net/credential_source.h"

#include <cstddef>
#include <string_view>

namespace firstlight {

/// Any name of Docker Hub: docker.io and the hosts behind it.
bool is_docker_hub(std::string_view host) noexcept;

/// What Docker Hub is called when credentials are asked for.
inline constexpr std::string_view docker_hub_server = "https://index.docker.io/v1/";

/// How well `key` names what is asked for; 0: not at all. The longer its path the better,
/// and a host's own name is better than a pattern.
///
/// A key is "host[:port][/path]", maybe with a scheme. The path is the beginning of a
/// repository, by whole parts; the API's own (/v1/, /v2/) says nothing. All names of Docker
/// Hub are one. A label of the host may have '*' in it: any characters but a dot.
std::size_t docker_key_rank(std::string_view key, const credential_query& what) noexcept;

} // namespace firstlight
