#include "net/endpoint.h"

#include "net/image_reference.h"
#include "net/tls_context.h"

#include <algorithm>
#include <stdexcept>

namespace firstlight {

namespace {

constexpr const char* any_registry = "*";

bool speaks_tls(transport_choice choice, std::string_view name) noexcept {
    switch (choice) {
    case transport_choice::plain:
        return false;
    case transport_choice::tls:
    case transport_choice::tls_or_plain:
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
    return url::make(speaks_tls(from.transport, parts->name), host, from.path + "/");
}

const std::vector<registry_endpoint>&
mirrors_of(const registry_config& config, const std::string& registry) {
    static const std::vector<registry_endpoint> none;
    for (const auto& name : {registry, std::string(any_registry)}) {
        const auto found = config.hosts.find(name);
        if (found != config.hosts.end() && !found->second.mirrors.empty()) {
            return found->second.mirrors;
        }
    }
    return none;
}

} // namespace

endpoint::endpoint(
  url base, const registry_endpoint& from, std::string credential_host, std::string ns,
  endpoint_trust trust)
  : base_(std::move(base))
  , credential_host_(std::move(credential_host))
  , headers_(from.headers)
  , timeout_(from.timeout)
  , connect_timeout_(from.connect_timeout)
  , may_be_plain_(from.transport == transport_choice::tls_or_plain)
  , trust_(std::move(trust))
  , ns_(std::move(ns)) {
}

result<endpoint> endpoint::make(
  const registry_endpoint& from, const std::string& registry, role r, endpoint_trust trust) {
    const auto own_host = host_of(registry);
    const bool unnamed = from.host.empty() && r == role::registry;
    const auto base = base_of(from, unnamed ? own_host : host_of(from.host));
    if (!base) {
        return base.error();
    }
    const bool own = r == role::registry || host_of(from.host) == own_host;
    return endpoint(
      *base, from, own ? registry : from.host, own ? std::string() : registry, std::move(trust));
}

result<url> endpoint::blob_url(const blob_address& blob) const {
    if (!is_repository(blob.repository())) {
        return fault(errc::invalid_argument, "not a repository: " + blob.repository());
    }
    auto target = base_.target() + blob.repository() + "/blobs/" + blob.blob().to_string();
    if (!ns_.empty()) {
        target += "?ns=" + percent_encoded(ns_);
    }
    return base_.resolve(target);
}

result<endpoint_list>
endpoints_of(const registry_config& config, const trust_store& trust, const std::string& registry) {
    std::vector<endpoint> all;
    for (const auto& mirror : mirrors_of(config, registry)) {
        auto made = endpoint::make(mirror, registry, endpoint::role::mirror, trust.of(mirror));
        if (made) {
            all.push_back(std::move(*made));
        }
    }
    registry_endpoint origin;
    if (const auto found = config.hosts.find(registry); found != config.hosts.end()) {
        origin = found->second.origin;
    }
    auto made = endpoint::make(origin, registry, endpoint::role::registry, trust.of(origin));
    if (!made) {
        return made.error();
    }
    all.push_back(std::move(*made));
    return std::make_shared<const std::vector<endpoint>>(std::move(all));
}

trust_store::trust_store(const registry_config& config) {
    tls_files system;
    if (!config.ca_file.empty()) {
        system.authorities = {config.ca_file};
        system.in_place_of_the_system = true;
    }
    general_ = make(system).own();
    const auto add = [&](const registry_endpoint& from, const std::string& host) {
        const auto base = base_of(from, host);
        if (base && !from.tls.empty()) {
            by_origin_[base->origin()] = make(from.tls);
        }
    };
    for (const auto& [registry, host] : config.hosts) {
        add(host.origin, host.origin.host.empty() ? host_of(registry) : host.origin.host);
        for (const auto& mirror : host.mirrors) {
            add(mirror, mirror.host);
        }
    }
}

// One for each way to trust, however many hosts share it.
endpoint_trust trust_store::make(const tls_files& files) {
    const auto known = std::ranges::find(made_, files, &decltype(made_)::value_type::first);
    if (known != made_.end()) {
        return known->second;
    }
    const auto material = tls_material::read(files);
    if (!material) {
        throw std::runtime_error(material.error().context());
    }
    const auto own = make_tls_context(*material);
    const bool anonymous = material->clients().empty();
    const endpoint_trust trust(own, anonymous ? own : make_tls_context(material->anonymous()));
    made_.emplace_back(files, trust);
    return trust;
}

endpoint_trust trust_store::of(const registry_endpoint& from) const {
    const auto known = std::ranges::find(made_, from.tls, &decltype(made_)::value_type::first);
    return from.tls.empty() || known == made_.end() ? endpoint_trust() : known->second;
}

dial_terms
trust_store::terms(const endpoint& at, const url& to, const shared_tls_context& elsewhere) const {
    const auto or_general = [this](const auto& trust) { return trust ? trust : general_; };
    if (to.origin() == at.base().origin()) {
        return {or_general(at.trust().own()), at.connect_timeout(), at.may_be_plain()};
    }
    const auto known = by_origin_.find(to.origin());
    return or_general(known == by_origin_.end() ? elsewhere : known->second.own());
}

dial_terms trust_store::terms(const endpoint& at, const url& to) const {
    return terms(at, to, at.trust().elsewhere());
}

dial_terms trust_store::token_terms(const endpoint& at, const url& to) const {
    return terms(at, to, at.trust().own());
}

} // namespace firstlight
