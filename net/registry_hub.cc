#include "net/registry_hub.h"

#include "net/base64.h"
#include "net/http_call.h"

#include <algorithm>

namespace firstlight {

namespace {

using steady = std::chrono::steady_clock;

constexpr std::size_t most_entries = 4096;
constexpr std::size_t most_redirects = 16384;
constexpr std::size_t largest_answer = 1 << 20;
constexpr std::chrono::seconds token_patience{30};
constexpr unsigned token_attempts = 3;
// A token this near its end may expire on the way.
constexpr std::chrono::seconds margin{5};
constexpr std::string_view client_id = "firstlight";

std::string basic(const credentials& who) {
    return "Basic " + base64_encoded(who.user() + ":" + who.secret());
}

// Makes room crudely: what is forgotten costs a round trip to learn again.
template <class Map>
void bound(Map& map, std::size_t most) {
    if (map.size() >= most) {
        map.clear();
    }
}

std::string form(std::initializer_list<std::pair<std::string_view, std::string_view>> fields) {
    std::string out;
    for (const auto& [name, value] : fields) {
        if (!value.empty()) {
            out += out.empty() ? "" : "&";
            out.append(name).append("=").append(percent_encoded(value));
        }
    }
    return out;
}

std::string scope_of(const auth_scope& scope, const auth_challenge& challenge) {
    return challenge.scope.empty() ? "repository:" + scope.repository() + ":pull" : challenge.scope;
}

http_request get_token(const url& realm, const auth_challenge& challenge, std::string scope) {
    const auto query = form({{"service", challenge.service}, {"scope", scope}});
    const char* const joint = realm.target().find('?') == std::string::npos ? "?" : "&";
    return http_request(realm.target() + joint + query);
}

http_request
post_token(const url& realm, const auth_challenge& challenge, std::string scope, credentials who) {
    http_request request(realm.target(), http_request::method::post);
    request.add("Content-Type", "application/x-www-form-urlencoded");
    const bool identity = who.is_identity_token();
    request.set_body(form(
      {{"grant_type", identity ? "refresh_token" : "password"},
       {"service", challenge.service},
       {"scope", scope},
       {"client_id", client_id},
       {"username", who.user()},
       {identity ? "refresh_token" : "password", who.secret()}}));
    return request;
}

// An identity token is good for POST only. A user's GET comes first: every token
// server has it, and not all have POST.
std::vector<http_request> token_requests(
  const url& realm, const auth_challenge& challenge, const std::string& scope,
  const std::optional<credentials>& who) {
    std::vector<http_request> all;
    if (who && who->is_identity_token()) {
        all.push_back(post_token(realm, challenge, scope, *who));
        return all;
    }
    all.push_back(get_token(realm, challenge, scope));
    if (who) {
        all.back().add("Authorization", basic(*who));
        all.push_back(post_token(realm, challenge, scope, *who));
    }
    return all;
}

fault refusal_of(unsigned status) {
    const auto text = "token server answered " + std::to_string(status);
    if (status == 429 || (status >= 500 && status != 501)) {
        return {errc::unavailable, text};
    }
    if (status == 401 || status == 403) {
        return {errc::unauthorized, text};
    }
    return {errc::unsupported, text};
}

// Refused without credentials, since asking for them came to nothing. If that may pass, so
// may this.
fault unproved(const fault& refused, const fault& unasked) {
    const bool passing =
      unasked.code() == errc::unavailable && refused.code() == errc::unauthorized;
    return {
      passing ? errc::unavailable : refused.code(),
      refused.context() + "; credentials could not be had: " + unasked.context()};
}

connection_pool::limits pool_limits(const registry_config& config) {
    return {config.connections, config.connect_timeout, config.idle_timeout, config.circuit};
}

} // namespace

struct registry_hub::flight {
    std::optional<result<authorization>> outcome; // set when it has landed
    event landed;                                 // or begun to wait
    bool wanted = false;                          // by demand
    bool waiting = false;                         // for a token server that is taken for dead
};

struct registry_hub::entry {
    std::string scope; // as the registry's challenge put it; empty: not told
    authorization proof;
    steady::time_point expires_at = steady::time_point::max();
    std::shared_ptr<registry_hub::flight> flying;

    bool holds() const noexcept { return !proof.header().empty() && steady::now() < expires_at; }
};

registry_hub::registry_hub(
  shard& home, registry_config config, credential_source& credentials, net_metrics& metrics,
  host_source* hosts)
  : home_(home)
  , config_(std::move(config))
  , trust_(config_)
  , credentials_(credentials)
  , metrics_(metrics)
  , hosts_(hosts)
  , link_(std::make_shared<link_keeper>(home, config_.background_bytes_per_second))
  , circuits_(std::make_shared<circuit_board>(home, metrics))
  , connections_(home, pool_limits(config_), metrics, circuits_)
  , flights_(home) {
}

registry_hub::~registry_hub() = default;

registry_hub::entry& registry_hub::entry_of(const auth_scope& scope) {
    auto& found = entries_[scope.key()];
    if (!found) {
        found = std::make_unique<entry>();
    }
    return *found;
}

task<result<endpoint_list>> registry_hub::endpoints(std::string registry) {
    if (hosts_) {
        auto found = co_await hosts_->find(registry);
        if (!found || *found) {
            co_return found;
        }
    }
    co_return endpoints_of(config_, trust_, registry);
}

task<result<blob_route>>
registry_hub::recall(auth_scope scope, std::string blob, lane l, deadline d) {
    blob_route route;
    const auto known = redirects_.find(blob);
    if (known != redirects_.end() && steady::now() < known->second.until) {
        route.redirect = known->second.to;
        route.redirect_until = known->second.until;
    }
    if (!challenges_.contains(scope.base().origin())) {
        co_return route;
    }
    auto& e = entry_of(scope);
    if (e.holds()) {
        route.proof = e.proof;
        if (!e.proof.current() && !e.flying) {
            renew(scope, e);
        }
        co_return route;
    }
    auto proof = co_await join(scope, l, d);
    if (proof) {
        route.proof = *proof;
    } // otherwise the request itself finds out, and reports it
    co_return route;
}

task<result<authorization>> registry_hub::authorize(
  auth_scope scope, std::optional<auth_challenge> challenge, std::string refused, lane l,
  deadline d) {
    if (!challenge && !challenges_.contains(scope.base().origin())) {
        co_return fault(errc::unauthorized, "refused without asking for credentials");
    }
    if (entries_.size() >= most_entries) {
        std::erase_if(entries_, [](const auto& each) { return !each.second->flying; });
    }
    auto& e = entry_of(scope);
    if (challenge) {
        e.scope = challenge->scope;
        bound(challenges_, most_entries);
        challenges_[scope.base().origin()] = std::move(*challenge);
    }
    if (!refused.empty() && e.proof.header() == refused) {
        e.proof = authorization();
    }
    if (e.holds()) {
        co_return e.proof; // somebody else has been here meanwhile
    }
    co_return co_await join(std::move(scope), l, d);
}

void registry_hub::renew(const auth_scope& scope, entry& e) {
    auto challenge = challenges_.find(scope.base().origin())->second;
    challenge.scope = e.scope; // the stored one is of whichever repository was asked last
    e.flying = std::make_shared<flight>();
    auto work = [this, scope, challenge, mine = e.flying](std::stop_token) {
        return fly(scope, challenge, mine);
    };
    flights_.spawn("token for " + scope.key(), lane::demand, std::move(work));
}

task<result<authorization>> registry_hub::join(auth_scope scope, lane l, deadline d) {
    if (stopping_) {
        co_return fault(errc::stopping, "registry hub");
    }
    auto& e = entry_of(scope);
    if (!e.flying) {
        renew(scope, e);
    }
    const auto joined = e.flying; // `e` may be gone after a suspension
    joined->wanted = joined->wanted || l == lane::demand;
    while (!joined->outcome && !stopping_) {
        if (joined->waiting && l != lane::demand) {
            co_return fault(
              errc::unavailable, "the token server for " + scope.key() + " does not answer");
        }
        if (d.expired()) {
            co_return fault(errc::timed_out, "waiting for a token for " + scope.key());
        }
        const auto longest = std::min<deadline::clock::duration>(d.left(), token_patience);
        co_await joined->landed.wait_for(longest);
    }
    if (!joined->outcome) {
        co_return fault(errc::stopping, "registry hub");
    }
    co_return *joined->outcome;
}

task<void> registry_hub::fly(auth_scope scope, auth_challenge challenge, flight_ptr mine) {
    try {
        mine->outcome = co_await prove(scope, std::move(challenge), mine);
    } catch (const std::exception& e) {
        mine->outcome = fault(errc::unknown, e.what()); // or its waiters wait for ever
    }
    auto& e = entry_of(scope);
    if (*mine->outcome) {
        e.proof = **mine->outcome;
    }
    e.flying = nullptr;
    mine->landed.notify_all();
}

task<result<authorization>>
registry_hub::prove(auth_scope scope, auth_challenge challenge, flight_ptr mine) {
    const credential_query wanted(scope.credential_host(), scope.repository());
    auto who = co_await credentials_.find(wanted);
    if (!who && who.error().code() == errc::stopping) {
        co_return who.error();
    }
    if (!who) { // a public image needs none
        auto proof = co_await present(scope, std::move(challenge), std::nullopt, std::move(mine));
        if (!proof) {
            co_return unproved(proof.error(), who.error());
        }
        co_return proof;
    }
    co_return co_await present(
      std::move(scope), std::move(challenge), std::move(*who), std::move(mine));
}

task<result<authorization>> registry_hub::present(
  auth_scope scope, auth_challenge challenge, std::optional<credentials> who, flight_ptr mine) {
    if (challenge.scheme == auth_challenge::kind::bearer) {
        co_return co_await fetch_token(
          std::move(scope), std::move(challenge), std::move(who), std::move(mine));
    }
    if (!who || who->is_identity_token()) {
        co_return fault(
          errc::unauthorized, "no user and password for " + scope.credential_host() +
                                ": log in, so that they are in docker's config.json, or "
                                "configure them");
    }
    entry_of(scope).expires_at = steady::time_point::max();
    co_return authorization(basic(*who), steady::time_point::max());
}

task<result<authorization>> registry_hub::fetch_token(
  auth_scope scope, auth_challenge challenge, std::optional<credentials> who, flight_ptr mine) {
    const auto realm = scope.base().resolve(challenge.realm);
    if (challenge.realm.empty() || !realm) {
        co_return fault(errc::unauthorized, "challenge with an unusable realm");
    }
    const bool secure = scope.base().tls() && !scope.at().may_be_plain();
    const bool exposed = !realm->tls() && secure && !is_loopback(realm->name());
    if (who && exposed) {
        co_return fault(
          errc::unauthorized, "credentials are not sent to " + realm->without_query() +
                                ": plain http, though the registry is https");
    }
    const auto d = deadline::after(token_patience);
    const auto how = trust_.token_terms(scope.at(), *realm);
    const auto wanted = scope_of(scope, challenge);
    auto requests = token_requests(*realm, challenge, wanted, who);
    fault last;
    for (auto& request : requests) {
        auto answer = co_await ask_for_token(*realm, how, std::move(request), d, mine);
        if (answer) {
            metrics_.token();
            const auto lifetime = answer->lifetime;
            const bool lasting = lifetime.count() == 0; // good until refused
            const auto now = steady::now();
            const auto never = steady::time_point::max();
            const auto spare = std::min<steady::duration>(margin, lifetime / 10);
            entry_of(scope).expires_at = lasting ? never : now + lifetime - spare;
            const auto renew_at = lasting ? never : now + lifetime * 3 / 4;
            co_return authorization("Bearer " + answer->token, renew_at);
        }
        last = answer.error();
        if (last.code() != errc::unsupported && last.code() != errc::unauthorized) {
            break;
        }
    }
    const auto code = last.code() == errc::unsupported ? errc::unauthorized : last.code();
    const auto* as = who ? "with the credentials of " : "anonymously, for ";
    co_return fault(code, last.context() + ", asked " + as + scope.credential_host())
      .in(realm->without_query());
}

// Waits, if somebody's read does, until a token server that is taken for dead may be asked.
task<bool> registry_hub::outlast(url realm, deadline d, flight_ptr mine) {
    if (!mine->wanted) {
        co_return false;
    }
    mine->waiting = true;
    mine->landed.notify_all(); // the other lanes do not wait
    const bool may_ask = co_await connections_.outlast(realm, lane::demand, d);
    mine->waiting = false;
    co_return may_ask;
}

task<result<token_answer>> registry_hub::ask_for_token(
  url realm, dial_terms how, http_request request, deadline d, flight_ptr mine) {
    const patience p(config_.request_timeout, d);
    request.add("User-Agent", config_.user_agent);
    fault last;
    for (unsigned attempt = 0; attempt < token_attempts; ++attempt) {
        if (attempt > 0 && connections_.open_until(realm, lane::demand)) {
            if (!co_await outlast(realm, d, mine)) {
                break;
            }
        } else if (attempt > 0) {
            (void)co_await sleep_for(config_.min_wait * (1 << attempt), flights_.token());
        }
        auto got = co_await send(connections_, metrics_, realm, how, request, lane::demand, p);
        if (!got) {
            last = got.error();
        } else if (got->head.status() == 200) {
            auto text = co_await read_text(*got, largest_answer, p);
            if (text) {
                co_return parse_token_answer(*text);
            }
            last = text.error();
        } else {
            last = refusal_of(got->head.status());
            co_await discard(std::move(*got), p);
        }
        if (last.code() != errc::unavailable || d.expired()) {
            break;
        }
    }
    co_return last;
}

void registry_hub::remember_redirect(std::string blob, url to) {
    bound(redirects_, most_redirects);
    redirect known{std::move(to), steady::now() + config_.redirect_ttl};
    redirects_.insert_or_assign(std::move(blob), std::move(known));
}

void registry_hub::forget_redirect(const std::string& blob, const url& stale) {
    const auto known = redirects_.find(blob);
    if (known != redirects_.end() && known->second.to.target() == stale.target()) {
        redirects_.erase(known);
    }
}

task<void> registry_hub::stop() {
    stopping_ = true;
    connections_.abort();
    for (auto& [key, each] : entries_) {
        if (each->flying) {
            each->flying->landed.notify_all();
        }
    }
    co_await link_->stop();
    co_await flights_.stop();
    co_await connections_.stop();
}

} // namespace firstlight
