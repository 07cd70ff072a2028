#include "net/endpoint.h"

#include "net/image_reference.h"

#include <tuple>

namespace firstlight {

namespace {

constexpr std::string_view hub = "docker.io";
constexpr std::string_view hub_host = "registry-1.docker.io";

bool speaks_tls(transport_choice choice, std::string_view name) noexcept {
    switch (choice) {
    case transport_choice::plain:
        return false;
    case transport_choice::tls:
        return true;
    case transport_choice::by_host:
        break;
    }
    return !is_loopback(name);
}

result<url> base_of(const registry_endpoint& from, std::string_view host) {
    const auto parts = split_host(host);
    if (!parts) {
        return fault(errc::invalid_argument, "not a registry host: " + std::string(host));
    }
    return url::make(speaks_tls(from.transport, parts->name), host, "/v2/");
}

bool usable(const registry_endpoint& mirror) noexcept {
    return !mirror.host.empty() && mirror.host.find('/') == std::string::npos;
}

std::string_view host_of(std::string_view registry) noexcept {
    return registry == hub ? hub_host : registry;
}

} // namespace

endpoint::endpoint(url base, const registry_endpoint& from, std::string registry, bool mirror)
  : base_(std::move(base))
  , credential_host_(mirror ? from.host : registry)
  , headers_(from.headers)
  , timeout_(from.timeout) {
    if (mirror && from.host != host_of(registry)) {
        ns_ = std::move(registry);
    }
}

result<url> endpoint::blob_url(const blob_address& blob) const {
    if (!is_repository(blob.repository())) {
        return fault(errc::invalid_argument, "not a repository: " + blob.repository());
    }
    auto target = "/v2/" + blob.repository() + "/blobs/" + blob.blob().to_string();
    if (!ns_.empty()) {
        target += "?ns=" + percent_encoded(ns_);
    }
    return base_.resolve(target);
}

result<std::vector<endpoint>>
endpoints_of(const registry_config& config, const std::string& registry) {
    registry_host host;
    if (const auto found = config.hosts.find(registry); found != config.hosts.end()) {
        host = found->second;
    }
    std::vector<endpoint> all;
    for (const auto& mirror : host.mirrors) {
        const auto base = usable(mirror) ? base_of(mirror, host_of(mirror.host))
                                         : fault(errc::invalid_argument, "no host");
        if (base) {
            all.emplace_back(*base, mirror, registry, true);
        }
    }
    const auto& named = host.origin.host;
    const auto base = base_of(host.origin, named.empty() ? host_of(registry) : named);
    if (!base) {
        return base.error();
    }
    all.emplace_back(*base, host.origin, registry, false);
    return all;
}

trust_store::trust_store(const registry_config& config)
  : general_(make_tls_context(config.ca_file, false)) {
    // One context for each way to trust, however many hosts share it.
    std::map<std::pair<std::string, bool>, shared_tls_context> made;
    const auto add = [&](const registry_endpoint& from, std::string_view host) {
        const auto base = base_of(from, host);
        if (!base || (from.ca_file.empty() && !from.skip_verify)) {
            return;
        }
        auto& context = made[{from.ca_file, from.skip_verify}];
        if (!context) {
            context = make_tls_context(from.ca_file, from.skip_verify);
        }
        by_origin_[base->origin()] = context;
    };
    for (const auto& [registry, host] : config.hosts) {
        add(host.origin, host.origin.host.empty() ? host_of(registry) : host.origin.host);
        for (const auto& mirror : host.mirrors) {
            add(mirror, mirror.host);
        }
    }
}

shared_tls_context trust_store::of(const url& to) const {
    const auto found = by_origin_.find(to.origin());
    return found == by_origin_.end() ? general_ : found->second;
}

} // namespace firstlight
