#include "net/blob_finder.h"

#include "actors/call.h"

#include <algorithm>
#include <charconv>

namespace firstlight {

namespace {

using steady = std::chrono::steady_clock;

constexpr unsigned most_hops = 10;
constexpr std::size_t most_routes = 16384;
constexpr std::size_t most_proofs = 4096;
constexpr std::size_t most_registries = 1024;
// How long a mirror that lacks a blob is asked for it last.
constexpr std::chrono::seconds absence{60};

template <class Map>
void bound(Map& map, std::size_t most) {
    if (map.size() >= most) {
        map.clear();
    }
}

std::string key_of(const url& u) {
    return u.origin() + u.target();
}

// The date form of RFC 9110, section 10.2.3, counts as a second.
std::chrono::milliseconds retry_after(const http_head& head) {
    const auto text = head.find("retry-after");
    if (text.empty()) {
        return std::chrono::milliseconds(0);
    }
    constexpr unsigned most = 24 * 3600;
    unsigned seconds = 1;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), seconds);
    (void)parsed;
    return std::chrono::seconds(std::min(seconds, most));
}

// Bearer where there is a choice.
std::optional<auth_challenge> challenge_in(const http_head& head) {
    auto all = parse_www_authenticate(head.join("www-authenticate"));
    const auto bearer = [](const auto& c) { return c.scheme == auth_challenge::kind::bearer; };
    const auto best = std::find_if(all.begin(), all.end(), bearer);
    if (best != all.end()) {
        return *best;
    }
    return all.empty() ? std::nullopt : std::optional(all.front());
}

bool client_error(unsigned status) noexcept {
    return status >= 400 && status < 500 && status != 429 && status != 408;
}

connection_pool::limits pool_limits(const registry_config& config) {
    return {config.connections, config.connect_timeout, config.idle_timeout, config.circuit};
}

} // namespace

class blob_finder::miss {
public:
    miss() = default;
    explicit miss(fault why)
      : why_(std::move(why))
      , again_(why_.code() == errc::unavailable) {}

    static miss of(const url& at, const http_head& head) {
        const auto status = head.status();
        const auto text = "answered " + std::to_string(status);
        auto code = errc::unsupported;
        if (status == 404 || status == 410) {
            code = errc::not_found;
        } else if (status == 401 || status == 403) {
            code = errc::unauthorized;
        } else if (status == 429 || status == 408 || (status >= 500 && status != 501)) {
            code = errc::unavailable;
        }
        miss m(fault(code, text).in(at.without_query()));
        m.retry_after_ = retry_after(head);
        return m;
    }

    const fault& why() const noexcept { return why_; }
    bool again() const noexcept { return again_; }
    std::chrono::milliseconds retry_after() const noexcept { return retry_after_; }
    void give_up() noexcept { again_ = false; }
    /// The server that is to blame is taken for dead; it may be asked again then.
    const std::optional<url>& dead() const noexcept { return dead_; }
    void blame(const url& server, steady::time_point until) {
        dead_ = server;
        until_ = until;
    }
    /// This, but worth a retry if an earlier endpoint's miss was: as soon as that of
    /// either may be of use.
    void inherit(const miss& earlier) {
        retry_after_ = std::max(retry_after_, earlier.retry_after_);
        if (!earlier.again_) {
            return;
        }
        const bool sooner = dead_ && (!earlier.dead_ || earlier.until_ < until_);
        if (!again_ || sooner) {
            dead_ = earlier.dead_;
            until_ = earlier.until_;
        }
        again_ = true;
    }

private:
    static std::chrono::milliseconds retry_after(const http_head& head) {
        return firstlight::retry_after(head);
    }
    fault why_;
    bool again_ = false;
    std::chrono::milliseconds retry_after_{0};
    std::optional<url> dead_;
    steady::time_point until_{};
};

blob_finder::blob_finder(shard& home, registry_hub& hub)
  : hub_(hub)
  , gate_(home, hub.link())
  , connections_(home, pool_limits(hub.config()), hub.metrics(), hub.circuits(), &gate_)
  , random_(static_cast<unsigned>(steady::now().time_since_epoch().count() + home.id()))
  , endpoints_(home, hub)
  , tasks_(home) {
}

std::vector<endpoint_ptr> blob_finder::in_order(const endpoint_list& all, const blob_address& b) {
    std::vector<endpoint_ptr> order;
    for (const auto& each : *all) {
        order.emplace_back(all, &each);
    }
    if (order.size() < 2) {
        return order;
    }
    const auto now = steady::now();
    const auto promising = [&](const endpoint_ptr& at) {
        const auto to = at->blob_url(b);
        const auto known = to ? routes_.find(key_of(*to)) : routes_.end();
        return connections_.well(at->base()) &&
               (known == routes_.end() || known->second.absent_until <= now);
    };
    std::stable_partition(order.begin(), order.end(), promising);
    return order;
}

void blob_finder::note(const endpoint& at, const blob_address& b, const fault& why) {
    const auto to = at.blob_url(b);
    if (why.code() == errc::unavailable || why.code() == errc::timed_out) {
        connections_.troubled(at.base());
    } else if (to) {
        routes_[key_of(*to)].absent_until = steady::now() + absence;
    }
}

task<result<located>> blob_finder::find(const wish& w, backoff& tries) {
    while (true) {
        auto got = co_await ask_all(w);
        if (got) {
            co_return std::move(*got);
        }
        const auto missed = got.error();
        auto why = missed.why().in(w.to_string());
        if (!missed.again() || !tries.more()) {
            co_return why;
        }
        auto waited = co_await pause(missed, std::move(why), w.priority.get(), tries, w.until);
        if (!waited) {
            co_return waited.error();
        }
    }
}

task<result<void>>
blob_finder::pause(const miss& m, fault why, lane l, backoff& tries, deadline d) {
    const auto usual = tries.next(m.retry_after());
    if (!m.dead()) {
        co_return co_await wait(usual, std::move(why), l, d);
    }
    if (!co_await connections_.outlast(*m.dead(), l, d)) {
        co_return why;
    }
    if (stop_.stop_requested()) {
        co_return fault(errc::stopping, why.context());
    }
    metrics().retried(l);
    co_return result<void>();
}

task<result<void>>
blob_finder::wait(std::chrono::milliseconds pause, fault why, lane l, deadline d) {
    if (pause >= d.left()) {
        const auto code = d.expired() ? errc::timed_out : why.code();
        co_return fault(code, why.context() + "; no time left to try again");
    }
    metrics().retried(l);
    co_return co_await sleep_for(pause, stop_.get_token());
}

task<blob_finder::outcome> blob_finder::ask_all(const wish& w) {
    const auto all = co_await endpoints_.of(w.blob.registry(), w.until);
    if (!all) {
        co_return miss(all.error());
    }
    miss worst;
    const auto order = in_order(*all, w.blob);
    for (std::size_t i = 1; i < order.size(); ++i) {
        try_out(order[i], w);
    }
    for (const auto& at : order) {
        // Nobody but the last may use up all the time.
        const auto d = at == order.back() ? w.until : w.until.within(w.until.left() / 2);
        auto got = co_await ask(at, *all, w, d);
        if (got) {
            co_return got;
        }
        auto missed = got.error();
        const auto code = missed.why().code();
        if (code == errc::stopping || code == errc::invalid_argument || w.until.expired()) {
            co_return missed;
        }
        if (order.size() > 1) {
            note(*at, w.blob, missed.why());
        }
        missed.inherit(worst);
        worst = std::move(missed);
    }
    co_return worst;
}

// What an operator has not set for the endpoint depends on whether there is another that
// would rather be asked than waited for.
std::chrono::milliseconds
blob_finder::silence_of(const endpoint& at, const endpoint_list& all) const {
    if (at.timeout().count() > 0) {
        return at.timeout();
    }
    const auto usual = config().request_timeout;
    return another_is_well(at, all) ? std::min(usual, config().silence_beside_others) : usual;
}

bool blob_finder::another_is_well(const endpoint& than, const endpoint_list& all) const {
    return std::ranges::any_of(*all, [&](const endpoint& each) {
        return &each != &than && each.base().origin() != than.base().origin() &&
               connections_.well(each.base());
    });
}

bool blob_finder::broke_off(const located& from, const fault& why) {
    const bool its_fault = why.code() == errc::unavailable || why.code() == errc::timed_out;
    if (!its_fault || from.all->size() < 2) {
        return false;
    }
    connections_.troubled(from.at->base());
    return another_is_well(*from.at, from.all);
}

task<blob_finder::outcome>
blob_finder::ask(endpoint_ptr at, const endpoint_list& all, const wish& w, deadline d) {
    const auto start = at->blob_url(w.blob);
    if (!start) {
        co_return miss(start.error());
    }
    const auto key = key_of(*start);
    const auth_scope scope(at, w.blob.repository());
    const auto silence = silence_of(*at, all);
    const patience p(silence, d);
    const auto l = w.priority.get();
    co_await recall(scope, key, l, d);

    auto to = redirect_for(key).value_or(*start);
    bool remembered = redirect_for(key).has_value(); // `to` is where we were sent before
    bool redirected = false;                         // `to` is where we were sent just now
    bool proved = false;
    for (unsigned hop = 0; hop < most_hops; ++hop) {
        const bool ours = to.origin() == start->origin();
        const auto proof = ours ? proof_for(scope) : std::string();
        auto request = request_for(to, ours ? at.get() : nullptr, proof, w.query);
        flow_claim share(w.blob.registry() + "/" + w.blob.repository(), w.query.length());
        auto got = co_await send(
          connections_, metrics(), to, trust().terms(*at, to), std::move(request), w.priority, p,
          std::move(share));
        if (!got) {
            const bool elsewhere = remembered && got.error().code() == errc::unavailable;
            if (!elsewhere) {
                co_return missed_at(to, got.error(), w.priority.get());
            }
            forget(key, to);
            to = *start;
            remembered = false;
            continue;
        }
        const auto status = got->head.status();
        if (got->head.redirects()) {
            auto next = to.resolve(got->head.find("location"));
            co_await discard(std::move(*got), p);
            if (!next) {
                co_return miss(next.error().in("redirected by " + to.without_query()));
            }
            to = std::move(*next);
            redirected = true;
            remembered = false;
            continue;
        }
        const bool refused = status == 401 || (status == 403 && !proof.empty());
        if (ours && refused && !proved) {
            proved = true;
            auto challenge = status == 401 ? challenge_in(got->head) : std::nullopt;
            co_await discard(std::move(*got), p);
            auto proven = co_await prove(scope, std::move(challenge), proof, l, d);
            if (!proven) {
                miss m(proven.error().in(to.without_query()));
                if (w.priority.get() != lane::demand) {
                    m.give_up(); // the hub has tried more than once
                }
                co_return m;
            }
            to = *start;
            redirected = false;
            continue;
        }
        if (remembered && client_error(status) && status != 416) {
            co_await discard(std::move(*got), p); // the signature has run out, or the like
            forget(key, to);
            to = *start;
            remembered = false;
            continue;
        }
        if (!w.query.answers(status)) {
            auto missed = miss::of(to, got->head);
            co_await discard(std::move(*got), p);
            co_return missed;
        }
        const auto plan = w.query.judge(got->head);
        if (!plan) {
            co_return miss(plan.error().in(to.without_query()));
        }
        if (redirected && status < 300) {
            remember(key, to);
        }
        co_return located(std::move(*got), *plan, silence, at, all);
    }
    co_return miss(fault(errc::corrupt, "too many redirects").in(start->without_query()));
}

blob_finder::miss blob_finder::missed_at(const url& to, const fault& why, lane l) const {
    miss m(why.in(to.without_query()));
    if (const auto until = connections_.open_until(to, l)) {
        m.blame(to, *until);
    }
    return m;
}

// An endpoint that is asked last, or not at all, would stay so for ever.
void blob_finder::try_out(const endpoint_ptr& at, const wish& w) {
    const auto due = connections_.open_until(at->base(), lane::background);
    const auto to = at->blob_url(w.blob);
    if (!due || *due > steady::now() || !to) {
        return;
    }
    const auth_scope scope(at, w.blob.repository());
    auto work = [this, at, to = *to, proof = proof_for(scope)](std::stop_token) {
        return probe(at, to, proof);
    };
    tasks_.spawn("try " + at->base().origin(), lane::background, std::move(work));
}

// Whatever it answers, it is alive.
task<void> blob_finder::probe(endpoint_ptr at, url to, std::string proof) {
    const auto silence = config().request_timeout;
    const patience p(silence, deadline::after(2 * silence));
    auto request = request_for(to, at.get(), std::move(proof), range_query::size());
    auto got = co_await send(
      connections_, metrics(), to, trust().terms(*at, to), std::move(request), lane::background, p);
    if (got) {
        co_await discard(std::move(*got), p);
    }
}

http_request blob_finder::request_for(
  const url& to, const endpoint* ours, std::string proof, const range_query& q) const {
    http_request request(to.target());
    request.add("User-Agent", config().user_agent);
    request.add("Range", q.header());
    if (ours) {
        for (const auto& [name, value] : ours->headers()) {
            if (proof.empty() || !same_name(name, "Authorization")) {
                request.add(name, value);
            }
        }
    }
    if (!proof.empty()) {
        request.add("Authorization", std::move(proof));
    }
    return request;
}

// Asks the hub once per blob, and again when our token grows old.
task<void> blob_finder::recall(auth_scope scope, std::string key, lane l, deadline d) {
    const auto proof = proofs_.find(scope.key());
    const bool old = proof != proofs_.end() && !proof->second.current();
    if (routes_.contains(key) && !old) {
        co_return;
    }
    auto ask = [&hub = hub_, scope, key, l, d] { return hub.recall(scope, key, l, d); };
    auto known = co_await call_on(hub_.home(), lane::demand, std::move(ask));
    if (!known) {
        co_return; // then the request finds out by itself
    }
    bound(routes_, most_routes);
    auto& mine = routes_[key];
    if (known->redirect) {
        mine.redirect = known->redirect;
        mine.redirect_until = known->redirect_until;
    }
    if (!known->proof.header().empty()) {
        bound(proofs_, most_proofs);
        proofs_[scope.key()] = known->proof;
    }
}

task<result<void>> blob_finder::prove(
  auth_scope scope, std::optional<auth_challenge> challenge, std::string refused, lane l,
  deadline d) {
    auto ask = [&hub = hub_, scope, challenge, refused, l, d] {
        return hub.authorize(scope, challenge, refused, l, d);
    };
    auto proof = co_await call_on(hub_.home(), lane::demand, std::move(ask));
    if (!proof) {
        proofs_.erase(scope.key());
        co_return proof.error();
    }
    bound(proofs_, most_proofs);
    proofs_[scope.key()] = *proof;
    co_return result<void>();
}

std::string blob_finder::proof_for(const auth_scope& scope) const {
    const auto known = proofs_.find(scope.key());
    return known == proofs_.end() ? std::string() : known->second.header();
}

std::optional<url> blob_finder::redirect_for(const std::string& key) {
    const auto known = routes_.find(key);
    if (known == routes_.end() || steady::now() >= known->second.redirect_until) {
        return std::nullopt;
    }
    return known->second.redirect;
}

void blob_finder::remember(const std::string& key, const url& to) {
    bound(routes_, most_routes);
    auto& mine = routes_[key];
    mine.redirect = to;
    mine.redirect_until = steady::now() + config().redirect_ttl;
    auto tell = [&hub = hub_, key, to](std::stop_token) -> task<void> {
        auto there = [&hub, key, to]() -> task<result<void>> {
            hub.remember_redirect(key, to);
            co_return result<void>();
        };
        (void)co_await call_on(hub.home(), lane::prefetch, std::move(there));
    };
    tasks_.spawn("share a redirect", lane::prefetch, std::move(tell));
}

void blob_finder::forget(const std::string& key, const url& stale) {
    if (const auto known = routes_.find(key); known != routes_.end()) {
        known->second.redirect = std::nullopt;
    }
    auto tell = [&hub = hub_, key, stale](std::stop_token) -> task<void> {
        auto there = [&hub, key, stale]() -> task<result<void>> {
            hub.forget_redirect(key, stale);
            co_return result<void>();
        };
        (void)co_await call_on(hub.home(), lane::prefetch, std::move(there));
    };
    tasks_.spawn("withdraw a redirect", lane::prefetch, std::move(tell));
}

task<result<std::pair<url, dial_terms>>> blob_finder::first_stop(blob_address blob, deadline d) {
    const auto all = co_await endpoints_.of(blob.registry(), d);
    if (!all) {
        co_return all.error();
    }
    const auto at = in_order(*all, blob).front();
    const auto start = at->blob_url(blob);
    if (!start) {
        co_return start.error();
    }
    const auth_scope scope(at, blob.repository());
    const auto key = key_of(*start);
    co_await recall(scope, key, lane::prefetch, d);
    auto to = redirect_for(key).value_or(*start);
    auto how = trust().terms(*at, to);
    co_return std::pair(std::move(to), std::move(how));
}

void blob_finder::mark_no_suffix(const std::string& registry) {
    bound(no_suffix_, most_registries);
    no_suffix_.insert(registry);
}

void blob_finder::abort() noexcept {
    stop_.request_stop();
    endpoints_.abort();
    connections_.abort();
}

task<void> blob_finder::stop() {
    abort();
    co_await tasks_.stop();
    co_await endpoints_.stop();
    co_await connections_.stop();
}

} // namespace firstlight
