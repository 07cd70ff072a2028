#pragma once

#include "actors/deadline.h"
#include "actors/shard.h"
#include "net/credential_source.h"
#include "net/net_metrics.h"
#include "net/registry_config.h"

#include <memory>

namespace firstlight {

/// What the registry clients of all shards share: the configuration, trusted
/// authorities, bearer tokens, and where blobs were redirected to, so that a
/// shard's first request profits from what another has learned.
///
/// One per process, an actor on `home`. Built on the main thread (it reads CA
/// files; a bad one throws std::runtime_error naming it). Stopped on `home`
/// after all clients. `credentials` and `metrics` outlive it.
class registry_hub {
public:
    registry_hub(
      shard& home, registry_config config, credential_source& credentials, net_metrics& metrics);
    ~registry_hub();
    registry_hub(const registry_hub&) = delete;
    registry_hub& operator=(const registry_hub&) = delete;

    /// On `home`. Fails what is under way with errc::stopping and waits for it.
    task<void> stop();
    shard& home() noexcept;

private:
    friend class registry_client;
    class impl;
    std::unique_ptr<impl> impl_;
};

} // namespace firstlight
