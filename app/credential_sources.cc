#include "app/credential_sources.h"

namespace firstlight {

namespace {

std::map<std::string, credentials> written_in(const config& settings) {
    std::map<std::string, credentials> all;
    for (const auto& [name, host] : settings.registry.hosts) {
        if (!host.identity_token.empty()) {
            all.emplace(name, credentials("", host.identity_token));
        } else if (!host.username.empty()) {
            all.emplace(name, credentials(host.username, host.password));
        }
    }
    return all;
}

std::string docker_file(const config& settings) {
    const auto& chosen = settings.registry.docker_config;
    return chosen.empty() ? docker_credentials::default_path() : chosen;
}

} // namespace

credential_sources::credential_sources(const config& settings, shard& home, worker_pool& pool)
  : configured_(written_in(settings))
  , docker_(pool, docker_file(settings)) {
    chain_.add("configuration", configured_);
    chain_.add("docker's config.json", docker_);
    if (settings.keychain.kubernetes) {
        const auto places = kubeconfig_places::from_environment(settings.keychain.kubeconfig);
        kubernetes_.emplace(home, pool, places);
        chain_.add("Kubernetes secrets", *kubernetes_);
    }
    if (settings.keychain.cri) {
        pulled_.emplace();
        chain_.add("CRI requests", *pulled_);
    }
}

task<result<void>> credential_sources::start() {
    if (kubernetes_) {
        kubernetes_->start();
    }
    co_return result<void>();
}

task<void> credential_sources::stop() {
    if (kubernetes_) {
        co_await kubernetes_->stop();
    }
}

} // namespace firstlight
