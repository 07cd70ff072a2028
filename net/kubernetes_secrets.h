#pragma once

#include "actors/background.h"
#include "actors/event.h"
#include "actors/shard.h"
#include "actors/worker_pool.h"
#include "net/backoff.h"
#include "net/credential_source.h"
#include "net/host_resolver.h"
#include "net/kubeconfig.h"
#include "net/kubernetes_documents.h"
#include "net/registry_config.h"

#include <chrono>
#include <map>
#include <optional>
#include <random>
#include <string>

namespace firstlight {

/// Credentials from the secrets of type kubernetes.io/dockerconfigjson in all namespaces:
/// listed once, then watched, kept in memory and nowhere else. Where several know a host, the
/// longest path counts, then the first by name (namespace/name).
///
/// The kubeconfig is read anew for each watch, so that a new token is used; one that does not
/// exist yet is looked for. What goes wrong is repeated with a growing pause, logged once, and
/// meanwhile what is known counts. Until the first list has come, or failed, find() waits for
/// it, but not for long: after a restart, credentials are asked for again rather than missed.
///
/// One per process, an actor on the registry_hub's shard; all methods there. Needs the right
/// to list and watch secrets in all namespaces.
class kubernetes_secrets final : public credential_source {
public:
    struct options {
        unsigned page = 500;                          // secrets in one answer
        std::chrono::seconds watch{240};              // after which the server ends one
        std::chrono::milliseconds silence{30'000};    // longest that it may take to answer
        std::chrono::milliseconds look_again{10'000}; // for a kubeconfig
        std::chrono::milliseconds first_pause{1000};
        std::chrono::milliseconds longest_pause{60'000};
        std::chrono::milliseconds first_wait{5000}; // of find()
        std::size_t most_secrets = 10'000;
        std::size_t most_bytes = 64 << 20; // of their documents
    };
    kubernetes_secrets(shard& home, worker_pool& pool, kubeconfig_places places);
    kubernetes_secrets(shard& home, worker_pool& pool, kubeconfig_places places, options o);
    ~kubernetes_secrets() override;

    /// Returns at once.
    void start();
    task<void> stop();

    /// unavailable if nothing could be listed yet.
    task<result<std::optional<credentials>>> find(credential_query what) override;
    std::size_t size() const noexcept { return known_.size(); }

private:
    class session;
    enum class watch_end { over, too_old };
    using secrets = std::map<std::string, kubernetes_secret>; // by name

    task<void> follow(std::stop_token stop);
    task<result<void>> round(std::stop_token stop);
    task<result<void>> list(session& with);
    task<result<void>> watch(session& with);
    task<result<watch_end>> read_events(session& with, deadline d);
    result<watch_end> take(std::string_view line);
    void put(kubernetes_secret s, secrets& into, std::size_t& bytes);
    void settle(const result<void>& outcome);

    worker_pool& pool_;
    const kubeconfig_places places_;
    const options options_;
    const registry_config retrying_; // for backoff
    std::minstd_rand random_;
    host_resolver resolver_;
    secrets known_;
    std::size_t bytes_ = 0;
    std::string version_;       // up to which known_ is right; empty: to be listed
    bool listed_ = false;       // once
    bool full_ = false;         // has been said
    std::optional<fault> last_; // why it does not work at present
    event settled_;             // listed, or failed
    background_tasks tasks_;
};

} // namespace firstlight
