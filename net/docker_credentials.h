#pragma once

#include "actors/worker_pool.h"
#include "net/credential_source.h"

#include <string>

namespace firstlight {

/// Credentials from the `auths` of docker's config.json: base64 `auth`,
/// `username` and `password`, or `identitytoken`. The file is read anew at each
/// use, on the pool; a missing file means no credentials, a malformed one is an
/// invalid_argument fault that names it.
///
/// Source: docs.docker.com/reference/cli/docker/login, "Configure credential
/// stores"; helpers (`credHelpers`, `credsStore`) are not run.
class docker_credentials final : public credential_source {
public:
    docker_credentials(worker_pool& pool, std::string path);
    /// $DOCKER_CONFIG/config.json, or else $HOME/.docker/config.json.
    static std::string default_path();

    task<result<std::optional<credentials>>> find(std::string host) override;

private:
    worker_pool& pool_;
    const std::string path_;
};

} // namespace firstlight
