#include "net/connection_pool.h"

#include <algorithm>
#include <cassert>

namespace firstlight {

namespace {

using steady = std::chrono::steady_clock;

// Servers without connections are forgotten beyond this many.
constexpr std::size_t most_servers = 256;
constexpr std::size_t most_dead_servers = 1024;
constexpr std::chrono::seconds nearest_counts{30};
// How long a server that did not speak TLS is not asked whether it has learned to.
constexpr std::chrono::minutes plain_for{10};
// Requests that wait for one dead server. More would leave no room in the client for
// those to others.
constexpr std::size_t most_outlasting = 256;
constexpr std::array lanes_downwards{lane::demand, lane::prefetch, lane::background};

} // namespace

struct connection_pool::server {
    server(std::string o, const circuit_rules& rules)
      : origin(std::move(o))
      , circuit(rules) {}

    const std::string origin;
    circuit_breaker circuit;
    event changed; // the circuit closed, or a probe ended
    std::stop_source connecting;
    flow_turns turns;
    std::list<slot*> waiting; // in order of arrival
    std::list<slot*> leased;
    std::vector<idle_connection> idle; // the most recently used last
    unsigned warming = 0;
    unsigned present = 0; // slots, those turned away included
    unsigned outlasting = 0;
    steady::time_point plain_until{}; // it does not speak TLS, though its URL says so
    // The least of the present half minute and of the one before.
    steady::duration nearest = steady::duration::max();
    steady::duration nearest_before = steady::duration::max();
    steady::time_point nearest_until{};

    bool unused() const noexcept {
        return present == 0 && outlasting == 0 && idle.empty() && warming == 0;
    }
};

// One request's place: first in the queue, then with a connection.
struct connection_pool::slot {
    slot(
      connection_pool& p, server& s, request_lane l, const flow_claim& c, circuit_breaker::pass a)
      : pool(p)
      , at(s)
      , priority(std::move(l))
      , flow(s.turns.enter(c.flow))
      , bytes(c.bytes)
      , as(a) {
        ++at.present;
    }
    ~slot() {
        pool.leave(*this);
        --at.present;
    }
    slot(const slot&) = delete;
    slot& operator=(const slot&) = delete;

    enum class place { queue, with_connection, turned_away };

    connection_pool& pool;
    server& at;
    request_lane priority;
    flow_turns::flow& flow;
    std::uint64_t bytes;
    circuit_breaker::pass as; // not probe any more once its outcome is known
    event bell;
    place in = place::queue;
    bool reused = false;
    std::unique_ptr<http_stream> stream;
};

connection_pool::connection_pool(
  shard& home, limits l, net_metrics& metrics, std::shared_ptr<circuit_board> board,
  link_gate* gate)
  : home_(home)
  , limits_(l)
  , metrics_(metrics)
  , board_(std::move(board))
  , membership_(std::make_shared<circuit_board::member>(home))
  , gate_(gate)
  , random_(static_cast<unsigned>(steady::now().time_since_epoch().count() + home.id()))
  , resolver_(home)
  , tasks_(home) {
    membership_->told = [this](const circuit_board::notice& n) { told(n); };
    asio::post(board_->home().on(lane::demand), [b = board_, m = membership_] { b->add(m); });
}

connection_pool::~connection_pool() {
    const auto in_use = [](const auto& each) { return !each.second->leased.empty(); };
    assert(std::none_of(servers_.begin(), servers_.end(), in_use) && "lease outlives its pool");
    (void)in_use;
}

connection_pool::server& connection_pool::server_of(const std::string& origin) {
    if (servers_.size() >= most_servers) {
        make_room();
    }
    auto& found = servers_[origin];
    if (!found) {
        found = std::make_unique<server>(origin, limits_.circuit);
    }
    return *found;
}

void connection_pool::make_room() {
    const bool too_many = servers_.size() >= most_dead_servers;
    std::erase_if(servers_, [&](const auto& each) {
        const auto& s = *each.second;
        const bool dead = s.circuit.open();
        if (!s.unused() || (dead && !too_many)) {
            return false;
        }
        if (dead) {
            auto forget = [b = board_, origin = s.origin] { b->forget(origin); };
            asio::post(board_->home().on(lane::demand), std::move(forget));
        }
        return true;
    });
}

// A probe does not wait: who holds connections of a dead server may do so for long.
std::unique_ptr<connection_pool::slot>
connection_pool::enter(server& at, request_lane l, const flow_claim& c, circuit_breaker::pass as) {
    auto s = std::make_unique<slot>(*this, at, std::move(l), c, as);
    s->priority.watch(s.get(), [this, &at] { dispatch(at); });
    at.waiting.push_back(s.get());
    if (as == circuit_breaker::pass::probe) {
        lend(at, std::prev(at.waiting.end()));
    }
    dispatch(at);
    return s;
}

void connection_pool::leave(slot& s) noexcept {
    s.priority.unwatch(&s);
    s.priority.set_granted(false);
    if (s.in == slot::place::queue) {
        s.at.waiting.remove(&s);
        s.at.turns.give_up(s.flow);
    } else if (s.in == slot::place::with_connection) {
        s.at.leased.remove(&s);
        s.at.turns.end(s.flow);
    }
    if (s.as == circuit_breaker::pass::probe) {
        report(s.at, {s.as, circuit_breaker::evidence::none, "", {}});
    }
    const bool keep = s.stream && s.stream->reusable() && !stop_.stop_requested();
    if (keep && s.at.idle.size() < limits_.connections[0]) {
        s.at.idle.push_back({std::move(s.stream), std::chrono::steady_clock::now()});
        start_reaper();
    }
    dispatch(s.at);
}

bool connection_pool::may_lend(const server& s, lane l) const noexcept {
    for (const auto cap : lanes_downwards) {
        if (index_of(cap) > index_of(l)) {
            break;
        }
        const auto at_most = [cap](const slot* each) {
            return index_of(each->priority.get()) >= index_of(cap);
        };
        const auto held = std::count_if(s.leased.begin(), s.leased.end(), at_most);
        if (static_cast<unsigned>(held) >= limits_.connections[index_of(cap)]) {
            return false;
        }
    }
    return true;
}

void connection_pool::lend(server& s, std::list<slot*>::iterator to) {
    auto& chosen = **to;
    chosen.in = slot::place::with_connection;
    chosen.priority.set_granted(true);
    s.turns.serve(chosen.flow, chosen.priority.get(), chosen.bytes);
    s.leased.splice(s.leased.end(), s.waiting, to);
    chosen.bell.notify_all();
}

// A lane that may not have more keeps those below it waiting too: its own limit
// counts them.
void connection_pool::dispatch(server& s) {
    const auto sooner = [&](const slot* a, const slot* b) {
        const auto la = a->priority.get();
        const auto lb = b->priority.get();
        const auto places = limits_.connections[0];
        return la != lb ? index_of(la) < index_of(lb)
                        : s.turns.rank(a->flow, la, places) < s.turns.rank(b->flow, lb, places);
    };
    while (!s.waiting.empty()) {
        const auto first = std::min_element(s.waiting.begin(), s.waiting.end(), sooner);
        if (!may_lend(s, (*first)->priority.get())) {
            return;
        }
        lend(s, first);
    }
}

task<bool> connection_pool::granted(slot& s, deadline d) {
    while (s.in == slot::place::queue && !d.expired() && !stop_.stop_requested()) {
        const auto patience = std::min<deadline::clock::duration>(d.left(), std::chrono::hours(1));
        co_await s.bell.wait_for(patience);
    }
    // The circuit may have opened since it was lent.
    const bool refused = s.as != circuit_breaker::pass::probe && s.at.circuit.open();
    co_return s.in == slot::place::with_connection && !refused;
}

// The background takes only connections whose windows were never opened wide; the
// others prefer those that were.
std::unique_ptr<http_stream>
connection_pool::pick_idle(slot& for_whom, const url& to, const dial_terms& how) {
    auto& s = for_whom.at;
    const bool lower = gate_ && for_whom.priority.get() == lane::background;
    const auto oldest = steady::now() - limits_.idle_timeout;
    std::erase_if(s.idle, [oldest](const auto& i) { return i.since < oldest; });
    while (!s.idle.empty()) {
        const auto suits = [&](const auto& i) { return i.stream->suits(to, how.trust()); };
        auto found = std::find_if(s.idle.rbegin(), s.idle.rend(), [&](const auto& i) {
            return suits(i) && i.stream->wide() != lower; // the most recently used of its kind
        });
        if (found == s.idle.rend() && !lower) {
            found = std::find_if(s.idle.rbegin(), s.idle.rend(), suits);
        }
        if (found == s.idle.rend()) {
            return nullptr;
        }
        auto stream = std::move(found->stream);
        s.idle.erase(std::next(found).base());
        if (stream->alive()) {
            return stream;
        }
    }
    return nullptr;
}

task<result<connection_pool::lease>> connection_pool::take(
  url to, dial_terms how, request_lane l, deadline d, freshness f, flow_claim c) {
    auto& at = server_of(to.origin());
    const auto as = at.circuit.admit(l.get(), steady::now());
    if (as == circuit_breaker::pass::refused) {
        co_return at.circuit.refusal(l.get(), steady::now());
    }
    auto held = enter(at, std::move(l), c, as);
    if (!co_await granted(*held, d)) {
        if (stop_.stop_requested()) {
            co_return fault(errc::stopping, "waiting for a connection to " + at.origin);
        }
        if (held->in == slot::place::queue) {
            co_return fault(errc::timed_out, "waiting for a connection to " + at.origin);
        }
        co_return at.circuit.refusal(held->priority.get(), steady::now());
    }
    if (f == freshness::any) {
        held->stream = pick_idle(*held, to, how);
        held->reused = held->stream != nullptr;
    }
    if (!held->stream) {
        auto& idle = at.idle; // of the other kind
        if (!idle.empty() && idle.size() + at.leased.size() > limits_.connections[0]) {
            idle.erase(idle.begin());
        }
        auto opened = co_await connect(at, to, std::move(how), d, held->as);
        if (!opened) {
            held->as = circuit_breaker::pass::free; // connect() has reported it
            co_return opened.error();
        }
        held->stream = std::move(*opened);
    }
    lease taken(std::move(held));
    taken.fit_window(); // before the request: its answer may fill the window at once
    co_return std::move(taken);
}

// That it succeeds says nothing yet: a server may accept, and be silent then.
task<connection_pool::stream_result>
connection_pool::connect(server& at, url to, dial_terms how, deadline d, circuit_breaker::pass as) {
    if (stop_.stop_requested()) {
        co_return fault(errc::stopping, "connecting to " + at.origin);
    }
    const auto began = steady::now();
    const bool own_limit = how.limit().count() > 0;
    const auto allowed = own_limit ? how.limit() : limits_.connect_timeout;
    const auto stop = at.connecting.get_token();
    auto opened = co_await open(at, to, std::move(how), d.within(allowed), stop);
    if (opened && !stop.stop_requested()) {
        metrics_.connected();
        co_return opened;
    }
    const auto why = opened ? fault() : opened.error();
    if (stop_.stop_requested()) {
        co_return fault(errc::stopping, "connecting to " + at.origin);
    }
    if (stop.stop_requested()) { // the circuit has opened
        co_return at.circuit.refusal(lane::demand, steady::now());
    }
    const auto is = circuit_breaker::evidence_of(why, steady::now() - began, allowed);
    report(at, {as, is, why.context(), began});
    co_return why;
}

task<connection_pool::stream_result>
connection_pool::open(server& at, url to, dial_terms how, deadline limit, std::stop_token stop) {
    auto addresses = co_await resolver_.resolve(to.name(), limit, stop);
    if (!addresses) {
        co_return addresses.error();
    }
    const auto home = home_.on(lane::demand);
    if (!how.may_be_plain() || steady::now() >= at.plain_until) {
        auto opened = co_await http_stream::connect(home, to, *addresses, how.trust(), limit, stop);
        if (opened || opened.error().code() != errc::unsupported) {
            co_return opened;
        }
        if (!how.may_be_plain()) {
            co_return fault(errc::unavailable, opened.error().context());
        }
        at.plain_until = steady::now() + plain_for;
    }
    co_return co_await http_stream::connect(
      home, to.in_plain(), std::move(*addresses), how.trust(), limit, stop);
}

void connection_pool::report(server& at, circuit_breaker::report r) {
    const bool probe = r.as == circuit_breaker::pass::probe;
    apply(at, at.circuit.ended(r, steady::now(), jitter()));
    if (probe) {
        at.changed.notify_all();
    }
}

void connection_pool::apply(server& at, circuit_breaker::change c) {
    switch (c) {
    case circuit_breaker::change::none:
        return;
    case circuit_breaker::change::opened:
        turn_away(at);
        tell(at, true);
        return;
    case circuit_breaker::change::closed:
        at.changed.notify_all();
        tell(at, false);
        return;
    }
}

// Exchanges that are under way go on: their servers have taken the request.
void connection_pool::turn_away(server& at) {
    at.idle.clear();
    for (auto* each : std::exchange(at.waiting, {})) {
        at.turns.give_up(each->flow);
        each->in = slot::place::turned_away;
        each->bell.notify_all();
    }
    std::exchange(at.connecting, std::stop_source()).request_stop();
}

void connection_pool::told(const circuit_board::notice& n) {
    if (stop_.stop_requested()) {
        return;
    }
    auto& at = server_of(n.origin);
    if (!n.dead) {
        (void)at.circuit.told_alive();
        at.changed.notify_all();
    } else if (
      at.circuit.told_dead(n.since, n.why, steady::now(), jitter()) ==
      circuit_breaker::change::opened) {
        turn_away(at);
    }
}

void connection_pool::tell(const server& at, bool dead) {
    circuit_board::notice n(at.origin, dead, at.circuit.since(), at.circuit.why());
    auto report = [b = board_, m = membership_, n = std::move(n)] { b->report(m, n); };
    asio::post(board_->home().on(lane::demand), std::move(report));
}

double connection_pool::jitter() {
    return std::uniform_real_distribution<double>(0.0, 1.0)(random_);
}

std::optional<steady::time_point> connection_pool::open_until(const url& to, lane l) const {
    const auto known = servers_.find(to.origin());
    if (known == servers_.end() || !known->second->circuit.open()) {
        return std::nullopt;
    }
    return known->second->circuit.next_probe(l);
}

task<bool> connection_pool::outlast(url to, lane l, deadline d) {
    auto& at = server_of(to.origin());
    if (l != lane::demand || at.outlasting >= most_outlasting) {
        co_return !at.circuit.open();
    }
    ++at.outlasting;
    const bool may_try = co_await outlast(at, l, d);
    --at.outlasting;
    co_return may_try;
}

task<bool> connection_pool::outlast(server& at, lane l, deadline d) {
    const auto& circuit = at.circuit;
    const auto failed = circuit.failed_probes();
    while (circuit.open() && circuit.failed_probes() == failed && !stop_.stop_requested()) {
        const auto now = steady::now();
        auto until = d.at();
        if (!circuit.probing()) {
            const auto next = circuit.next_probe(l);
            if (next <= now || next >= until) {
                co_return next <= now;
            }
            until = next;
        }
        if (now >= until) {
            co_return false;
        }
        const auto patience = std::min<steady::duration>(until - now, std::chrono::hours(1));
        co_await at.changed.wait_for(patience);
    }
    co_return true;
}

void connection_pool::troubled(const url& to) {
    server_of(to.origin()).circuit.troubled(steady::now());
}

bool connection_pool::well(const url& to) const {
    const auto known = servers_.find(to.origin());
    return known == servers_.end() || known->second->circuit.well(steady::now());
}

task<void> connection_pool::connect_ahead(url to, dial_terms how, deadline d) {
    auto& at = server_of(to.origin()); // stays: it counts as warming
    const auto as = circuit_breaker::pass::free;
    auto opened = co_await connect(at, to, std::move(how), d, as);
    --at.warming;
    const bool room =
      !at.circuit.open() && at.idle.size() + at.leased.size() < limits_.connections[0];
    if (opened && room && !stop_.stop_requested()) {
        at.idle.push_back({std::move(*opened), std::chrono::steady_clock::now()});
        start_reaper();
    }
}

task<void> connection_pool::warm(url to, dial_terms how, unsigned connections, deadline d) {
    struct progress {
        unsigned left = 0;
        event done;
    };
    auto shared = std::make_shared<progress>();
    auto& at = server_of(to.origin());
    const auto wanted = std::min(connections, limits_.connections[0]);
    while (!stop_.stop_requested() && !at.circuit.open() &&
           at.idle.size() + at.leased.size() + at.warming < wanted) {
        ++at.warming;
        ++shared->left;
        auto one = [this, to, how, d, shared](std::stop_token) -> task<void> {
            co_await connect_ahead(to, how, d);
            if (--shared->left == 0) {
                shared->done.notify_all();
            }
        };
        tasks_.spawn("connect ahead to " + to.origin(), lane::prefetch, std::move(one));
    }
    while (shared->left > 0) {
        co_await shared->done.wait();
    }
}

void connection_pool::start_reaper() {
    if (!reaping_ && !stop_.stop_requested()) {
        reaping_ = true;
        auto work = [this](std::stop_token stop) { return reap(stop); };
        tasks_.spawn("close idle connections", lane::background, std::move(work));
    }
}

// Runs only while there is something idle.
task<void> connection_pool::reap(std::stop_token stop) {
    while (idle() > 0 && !stop.stop_requested()) {
        (void)co_await sleep_for(limits_.idle_timeout / 2, stop);
        const auto oldest = std::chrono::steady_clock::now() - limits_.idle_timeout;
        for (auto& [origin, each] : servers_) {
            std::erase_if(each->idle, [oldest](const auto& i) {
                return i.since < oldest || !i.stream->alive();
            });
        }
    }
    reaping_ = false;
}

std::size_t connection_pool::idle() const noexcept {
    std::size_t all = 0;
    for (const auto& [origin, each] : servers_) {
        all += each->idle.size();
    }
    return all;
}

void connection_pool::abort() {
    stop_.request_stop();
    if (membership_->told) {
        membership_->told = nullptr;
        asio::post(
          board_->home().on(lane::demand), [b = board_, m = membership_] { b->remove(m); });
    }
    resolver_.abort();
    for (auto& [origin, each] : servers_) {
        each->connecting.request_stop();
        each->changed.notify_all();
        for (auto* waiting : each->waiting) {
            waiting->bell.notify_all();
        }
        for (auto* leased : each->leased) {
            if (leased->stream) {
                leased->stream->abort();
            }
        }
        each->idle.clear();
    }
}

task<void> connection_pool::stop() {
    abort();
    co_await tasks_.stop();
    co_await resolver_.stop();
}

connection_pool::lease::lease() noexcept = default;
connection_pool::lease::lease(std::unique_ptr<slot> held) noexcept
  : slot_(std::move(held)) {
}
connection_pool::lease::lease(lease&&) noexcept = default;
connection_pool::lease& connection_pool::lease::operator=(lease&&) noexcept = default;
connection_pool::lease::~lease() = default;

http_stream& connection_pool::lease::stream() noexcept {
    return *slot_->stream;
}

void connection_pool::lease::fit_window() {
    if (const auto* gate = slot_->pool.gate_) {
        const bool limited = slot_->priority.get() == lane::background;
        stream().limit_receive_window(limited ? gate->window(round_trip()) : 0);
    }
}

bool connection_pool::lease::reused() const noexcept {
    return slot_->reused;
}

void connection_pool::lease::answered_after(steady::duration d) {
    auto& at = slot_->at;
    const auto now = steady::now();
    if (now >= at.nearest_until) {
        at.nearest_before = std::exchange(at.nearest, steady::duration::max());
        at.nearest_until = now + nearest_counts;
    }
    at.nearest = std::min(at.nearest, d);
    if (auto* gate = slot_->pool.gate_) {
        gate->answered(d - round_trip(), round_trip());
    }
    const auto as = std::exchange(slot_->as, circuit_breaker::pass::free);
    slot_->pool.report(at, {as, circuit_breaker::evidence::alive, "", now - d});
}

void connection_pool::lease::failed(
  const fault& f, steady::duration took, steady::duration allowed) {
    const auto is = circuit_breaker::evidence_of(f, took, allowed);
    const auto as = std::exchange(slot_->as, circuit_breaker::pass::free);
    slot_->pool.report(slot_->at, {as, is, f.context(), steady::now() - took});
}

steady::duration connection_pool::lease::round_trip() const noexcept {
    return std::min(slot_->at.nearest, slot_->at.nearest_before);
}

void connection_pool::lease::reset() noexcept {
    slot_ = nullptr;
}

} // namespace firstlight
