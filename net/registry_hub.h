#pragma once

#include "actors/background.h"
#include "actors/deadline.h"
#include "actors/result.h"
#include "actors/shard.h"
#include "net/auth_challenge.h"
#include "net/auth_documents.h"
#include "net/circuit_board.h"
#include "net/connection_pool.h"
#include "net/credential_source.h"
#include "net/endpoint.h"
#include "net/host_source.h"
#include "net/link_gate.h"
#include "net/net_metrics.h"
#include "net/registry_config.h"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

namespace firstlight {

/// The value of an Authorization header, and when to ask for a newer one. Empty:
/// none is known to be needed.
class authorization {
public:
    using time_point = std::chrono::steady_clock::time_point;

    authorization() = default;
    authorization(std::string header, time_point renew_at)
      : header_(std::move(header))
      , renew_at_(renew_at) {}

    const std::string& header() const noexcept { return header_; }
    bool current() const noexcept { return std::chrono::steady_clock::now() < renew_at_; }

private:
    std::string header_;
    time_point renew_at_ = time_point::max();
};

/// Whom a token is for: a repository, at an endpoint. A value.
class auth_scope {
public:
    auth_scope(endpoint_ptr at, std::string repository)
      : at_(std::move(at))
      , repository_(std::move(repository)) {}

    const endpoint& at() const noexcept { return *at_; }
    const url& base() const noexcept { return at_->base(); }
    const std::string& credential_host() const noexcept { return at_->credential_host(); }
    const std::string& repository() const noexcept { return repository_; }
    std::string key() const { return base().origin() + base().target() + " " + repository_; }

private:
    endpoint_ptr at_;
    std::string repository_;
};

/// What a blob's first request from a shard should know.
class blob_route {
public:
    blob_route() = default;

    /// Where an earlier request was redirected to.
    std::optional<url> redirect;
    authorization::time_point redirect_until{};
    authorization proof;
};

/// What the registry clients of all shards share: the configuration, trusted
/// authorities, bearer tokens, and where blobs were redirected to, so that a
/// shard's first request profits from what another has learned.
///
/// One per process, an actor on `home`; `config` and `trust` from any shard.
/// Built on the main thread (it reads CA files; a bad one throws
/// std::runtime_error naming it). `credentials`, `metrics` and `hosts` outlive it; without
/// `hosts` the configuration alone says where registries are reached. Across suspensions: an entry
/// has a flight exactly while one token fetch for it is under way.
class registry_hub {
public:
    registry_hub(
      shard& home, registry_config config, credential_source& credentials, net_metrics& metrics,
      host_source* hosts = nullptr);
    ~registry_hub();
    registry_hub(const registry_hub&) = delete;
    registry_hub& operator=(const registry_hub&) = delete;

    shard& home() noexcept { return home_; }
    const registry_config& config() const noexcept { return config_; }
    const trust_store& trust() const noexcept { return trust_; }
    net_metrics& metrics() noexcept { return metrics_; }
    const std::shared_ptr<link_keeper>& link() const noexcept { return link_; }
    const std::shared_ptr<circuit_board>& circuits() const noexcept { return circuits_; }

    /// From any shard: what endpoints() says may change.
    bool hosts_may_change() const noexcept { return hosts_ != nullptr; }
    /// Where `registry` is reached, in the order to ask. The faults of endpoints_of() and
    /// host_source.
    task<result<endpoint_list>> endpoints(std::string registry);

    /// What is known about `blob` (its URL at the endpoint, as text). Where the
    /// endpoint is known to want a token, with one. `l` as below.
    task<result<blob_route>> recall(auth_scope scope, std::string blob, lane l, deadline d);

    /// Proof for `scope` after a 401 with `challenge`, or after a 403 (nothing)
    /// to a request that carried `refused`: another than that. unauthorized when
    /// there are no credentials, or they were refused; unavailable, timed_out,
    /// stopping. Only demand waits for a token server that is taken for dead, and only it
    /// makes the fetch of a token do so: for the other lanes that is unavailable.
    task<result<authorization>> authorize(
      auth_scope scope, std::optional<auth_challenge> challenge, std::string refused, lane l,
      deadline d);

    void remember_redirect(std::string blob, url to);
    /// Forgets it unless it has been replaced meanwhile.
    void forget_redirect(const std::string& blob, const url& stale);

    /// On `home`, after all clients. Fails what is under way with errc::stopping
    /// and waits for it.
    task<void> stop();

private:
    struct entry;
    struct flight;
    using flight_ptr = std::shared_ptr<flight>;
    struct redirect {
        url to;
        authorization::time_point until;
    };

    entry& entry_of(const auth_scope& scope);
    task<result<authorization>> join(auth_scope scope, lane l, deadline d);
    void renew(const auth_scope& scope, entry& e);
    task<void> fly(auth_scope scope, auth_challenge challenge, flight_ptr mine);
    task<result<authorization>> prove(auth_scope scope, auth_challenge challenge, flight_ptr mine);
    task<result<authorization>> present(
      auth_scope scope, auth_challenge challenge, std::optional<credentials> who, flight_ptr mine);
    task<result<authorization>> fetch_token(
      auth_scope scope, auth_challenge challenge, std::optional<credentials> who, flight_ptr mine);
    task<result<token_answer>>
    ask_for_token(url realm, dial_terms how, http_request request, deadline d, flight_ptr mine);
    task<bool> outlast(url realm, deadline d, flight_ptr mine);

    shard& home_;
    const registry_config config_;
    const trust_store trust_;
    credential_source& credentials_;
    net_metrics& metrics_;
    host_source* const hosts_;
    const std::shared_ptr<link_keeper> link_;
    const std::shared_ptr<circuit_board> circuits_;
    connection_pool connections_;
    std::unordered_map<std::string, auth_challenge> challenges_; // by endpoint origin
    std::unordered_map<std::string, std::unique_ptr<entry>> entries_;
    std::unordered_map<std::string, redirect> redirects_;
    bool stopping_ = false;
    background_tasks flights_;
};

} // namespace firstlight
