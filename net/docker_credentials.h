#pragma once

#include "actors/mailbox.h"
#include "actors/run_process.h"
#include "actors/worker_pool.h"
#include "net/auth_documents.h"
#include "net/credential_source.h"

#include <chrono>
#include <string>

namespace firstlight {

/// Credentials as the docker command keeps them: in its config.json (base64 `auth`,
/// `username` and `password`, or `identitytoken` of `auths`), or with a helper that the file
/// names (`credHelpers` of the registry, else `credsStore`). A helper that has none for the
/// registry leaves it to `auths`.
///
/// The file is read anew, and the helper run, at each use, on the pool. A missing file means
/// no credentials, a malformed one is an invalid_argument fault that names it; a helper that
/// is missing, fails, or does not end in time is unavailable, and named. A helper gets the
/// registry's name on its standard input; nothing secret goes into its arguments or its
/// environment, and what it says never into a fault. Two run at once at most.
///
/// Source: as docker_config; github.com/docker/docker-credential-helpers for the helpers.
class docker_credentials final : public credential_source {
public:
    struct options {
        std::string helper_path; // where helpers are; empty: this process's PATH
        std::chrono::milliseconds helper_time{5000};
    };
    docker_credentials(worker_pool& pool, std::string file);
    docker_credentials(worker_pool& pool, std::string file, options o);
    /// $DOCKER_CONFIG/config.json, or else $HOME/.docker/config.json.
    static std::string default_path();

    task<result<std::optional<credentials>>> find(credential_query what) override;

private:
    task<result<std::optional<credentials>>> ask(std::string helper, std::string server);

    worker_pool& pool_;
    const std::string file_;
    const options options_;
    mailbox running_; // helpers
};

} // namespace firstlight
