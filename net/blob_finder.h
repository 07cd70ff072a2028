#pragma once

#include "actors/background.h"
#include "net/backoff.h"
#include "net/connection_pool.h"
#include "net/endpoint.h"
#include "net/endpoint_cache.h"
#include "net/http_call.h"
#include "net/link_gate.h"
#include "net/range_query.h"
#include "net/registry_hub.h"
#include "net/request_lane.h"

#include <chrono>
#include <memory>
#include <optional>
#include <random>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace firstlight {

/// One request as its caller means it. A value.
class wish {
public:
    wish(blob_address b, range_query q, request_lane l, deadline d)
      : blob(std::move(b))
      , query(q)
      , priority(std::move(l))
      , until(d) {}

    std::string to_string() const { return blob.to_string() + ", " + query.to_string(); }

    blob_address blob;
    range_query query;
    request_lane priority;
    deadline until;
};

/// A response that has been judged: its body is next.
class located {
public:
    located(
      answered a, body_plan p, std::chrono::milliseconds s, endpoint_ptr asked, endpoint_list rest)
      : from(std::move(a))
      , plan(p)
      , silence(s)
      , at(std::move(asked))
      , all(std::move(rest)) {}

    answered from;
    body_plan plan;
    std::chrono::milliseconds silence; // longest that its server may take
    endpoint_ptr at;                   // whoever it sent us to
    endpoint_list all;                 // that there were to ask
};

/// Gets a wish answered by somebody: chooses among mirrors and registry, proves
/// who we are, follows redirects, and repeats what may be repeated.
///
/// A server that is taken for dead (circuit_breaker, in the connection pool) is asked last
/// where there is another to ask. It is then probed on the side, at nobody's expense. Where
/// there is none, demand waits within its deadline until the server may be asked again, and
/// each probe that fails meanwhile counts as a retry; the lower lanes fail at once, and
/// leave their place to what is for other servers.
///
/// What a reload() changes is for requests to come: those under way go on as they are.
///
/// One per shard, part of its registry_client. What it has learned of blobs
/// (`routes_`) and tokens (`proofs_`) are copies of what the hub knows; both are
/// looked up anew after each suspension.
class blob_finder {
public:
    blob_finder(shard& home, registry_hub& hub);

    task<result<located>> find(const wish& w, backoff& tries);
    /// The body of `from` has come to nothing for `why`: if there is another endpoint, it is
    /// asked first for a while. Whether there is one that is well.
    bool broke_off(const located& from, const fault& why);
    /// Where a request for `blob` would go first; proves who we are, if it is known
    /// that this will be wanted.
    task<result<std::pair<url, dial_terms>>> first_stop(blob_address blob, deadline d);
    /// Where registries are reached is looked up anew before the next request.
    void reload() { endpoints_.forget(); }

    connection_pool& connections() noexcept { return connections_; }
    const registry_config& config() const noexcept { return hub_.config(); }
    const trust_store& trust() const noexcept { return hub_.trust(); }
    net_metrics& metrics() noexcept { return hub_.metrics(); }
    link_gate& gate() noexcept { return gate_; }
    std::stop_token stopping() const noexcept { return stop_.get_token(); }
    backoff retries() noexcept { return {hub_.config(), random_}; }
    /// Waits before a retry. stopping; `why` itself if `d` comes sooner.
    task<result<void>> wait(std::chrono::milliseconds pause, fault why, lane l, deadline d);

    /// Servers of this registry are known not to do suffix ranges.
    bool lacks_suffix(const std::string& registry) const { return no_suffix_.contains(registry); }
    void mark_no_suffix(const std::string& registry);

    void abort() noexcept;
    /// After abort() and the last find().
    task<void> stop();

private:
    struct route {
        std::optional<url> redirect;
        std::chrono::steady_clock::time_point redirect_until{};
        std::chrono::steady_clock::time_point absent_until{}; // the endpoint lacks it
    };
    // Why an endpoint did not answer.
    class miss;
    using outcome = boost::system::result<located, miss>;

    task<outcome> ask_all(const wish& w);
    task<outcome> ask(endpoint_ptr at, const endpoint_list& all, const wish& w, deadline d);
    bool another_is_well(const endpoint& than, const endpoint_list& all) const;
    std::chrono::milliseconds silence_of(const endpoint& at, const endpoint_list& all) const;
    std::vector<endpoint_ptr> in_order(const endpoint_list& all, const blob_address& b);
    void note(const endpoint& at, const blob_address& b, const fault& why);

    miss missed_at(const url& to, const fault& why, lane l) const;
    task<result<void>> pause(const miss& m, fault why, lane l, backoff& tries, deadline d);
    void try_out(const endpoint_ptr& at, const wish& w);
    task<void> probe(endpoint_ptr at, url to, std::string proof);

    task<void> recall(auth_scope scope, std::string key, lane l, deadline d);
    task<result<void>> prove(
      auth_scope scope, std::optional<auth_challenge> challenge, std::string refused, lane l,
      deadline d);
    std::string proof_for(const auth_scope& scope) const;
    std::optional<url> redirect_for(const std::string& key);
    void remember(const std::string& key, const url& to);
    void forget(const std::string& key, const url& stale);
    http_request
    request_for(const url& to, const endpoint* ours, std::string proof, const range_query& q) const;

    registry_hub& hub_;
    link_gate gate_;
    connection_pool connections_;
    std::minstd_rand random_;
    std::stop_source stop_;
    endpoint_cache endpoints_;
    std::unordered_map<std::string, route> routes_; // by the blob's URL there
    std::unordered_map<std::string, authorization> proofs_;
    std::unordered_set<std::string> no_suffix_;
    background_tasks tasks_;
};

} // namespace firstlight
