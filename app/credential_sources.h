#pragma once

#include "actors/shard.h"
#include "actors/worker_pool.h"
#include "app/config.h"
#include "net/configured_credentials.h"
#include "net/credential_chain.h"
#include "net/docker_credentials.h"
#include "net/kubernetes_secrets.h"
#include "net/pulled_credentials.h"

#include <optional>

namespace firstlight {

/// All places that credentials come from, in the order in which they are asked: the
/// configuration, docker's config.json, Kubernetes' secrets, requests to pull images.
class credential_sources {
public:
    /// `home` is the registry_hub's shard.
    credential_sources(const config& settings, shard& home, worker_pool& pool);
    credential_sources(const credential_sources&) = delete;
    credential_sources& operator=(const credential_sources&) = delete;

    credential_source& all() noexcept { return chain_; }
    /// Where such requests are noted; none if they are not wanted.
    pulled_credentials* pulled() noexcept { return pulled_ ? &*pulled_ : nullptr; }

    /// Both on `home`; stop() after the hub's.
    task<result<void>> start();
    task<void> stop();

private:
    configured_credentials configured_;
    docker_credentials docker_;
    std::optional<kubernetes_secrets> kubernetes_;
    std::optional<pulled_credentials> pulled_;
    credential_chain chain_;
};

} // namespace firstlight
