#include "net/connection_pool.h"

#include <algorithm>
#include <cassert>

namespace firstlight {

namespace {

using steady = std::chrono::steady_clock;

// Servers without connections are forgotten beyond this many.
constexpr std::size_t most_servers = 256;
constexpr std::chrono::seconds nearest_counts{30};
constexpr std::array lanes_downwards{lane::demand, lane::prefetch, lane::background};

} // namespace

struct connection_pool::server {
    std::list<slot*> waiting; // in order of arrival
    std::list<slot*> leased;
    std::vector<idle_connection> idle; // the most recently used last
    unsigned warming = 0;
    // The least of the present half minute and of the one before.
    steady::duration nearest = steady::duration::max();
    steady::duration nearest_before = steady::duration::max();
    steady::time_point nearest_until{};

    bool unused() const noexcept {
        return waiting.empty() && leased.empty() && idle.empty() && warming == 0;
    }
};

// One request's place: first in the queue, then with a connection.
struct connection_pool::slot {
    slot(connection_pool& p, server& s, request_lane l)
      : pool(p)
      , at(s)
      , priority(std::move(l)) {}
    ~slot() { pool.leave(*this); }
    slot(const slot&) = delete;
    slot& operator=(const slot&) = delete;

    connection_pool& pool;
    server& at;
    request_lane priority;
    event bell;
    bool lent = false;
    bool reused = false;
    std::unique_ptr<http_stream> stream;
};

connection_pool::connection_pool(shard& home, limits l, net_metrics& metrics, link_gate* gate)
  : home_(home)
  , limits_(l)
  , metrics_(metrics)
  , gate_(gate)
  , resolver_(home)
  , tasks_(home) {
}

connection_pool::~connection_pool() {
    const auto in_use = [](const auto& each) { return !each.second->leased.empty(); };
    assert(std::none_of(servers_.begin(), servers_.end(), in_use) && "lease outlives its pool");
    (void)in_use;
}

connection_pool::server& connection_pool::server_of(const url& to) {
    if (servers_.size() >= most_servers) {
        std::erase_if(servers_, [](const auto& each) { return each.second->unused(); });
    }
    auto& found = servers_[to.origin()];
    if (!found) {
        found = std::make_unique<server>();
    }
    return *found;
}

std::unique_ptr<connection_pool::slot> connection_pool::enter(const url& to, request_lane l) {
    auto& at = server_of(to);
    auto s = std::make_unique<slot>(*this, at, std::move(l));
    s->priority.watch(s.get(), [this, &at] { dispatch(at); });
    at.waiting.push_back(s.get());
    dispatch(at);
    return s;
}

void connection_pool::leave(slot& s) noexcept {
    s.priority.unwatch(&s);
    s.priority.set_granted(false);
    s.at.waiting.remove(&s);
    s.at.leased.remove(&s);
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

// A lane that may not have more keeps those below it waiting too: its own limit
// counts them.
void connection_pool::dispatch(server& s) {
    const auto sooner = [](const slot* a, const slot* b) {
        return index_of(a->priority.get()) < index_of(b->priority.get());
    };
    while (!s.waiting.empty()) {
        const auto first = std::min_element(s.waiting.begin(), s.waiting.end(), sooner);
        if (!may_lend(s, (*first)->priority.get())) {
            return;
        }
        (*first)->lent = true;
        (*first)->priority.set_granted(true);
        (*first)->bell.notify_all();
        s.leased.splice(s.leased.end(), s.waiting, first);
    }
}

task<bool> connection_pool::granted(slot& s, deadline d) {
    while (!s.lent && !d.expired() && !stop_.stop_requested()) {
        const auto patience = std::min<deadline::clock::duration>(d.left(), std::chrono::hours(1));
        co_await s.bell.wait_for(patience);
    }
    co_return s.lent;
}

// The background takes only connections whose windows were never opened wide; the
// others prefer those that were.
std::unique_ptr<http_stream> connection_pool::pick_idle(server& s, lane l) {
    const bool lower = gate_ && l == lane::background;
    const auto oldest = steady::now() - limits_.idle_timeout;
    std::erase_if(s.idle, [oldest](const auto& i) { return i.since < oldest; });
    while (!s.idle.empty()) {
        const auto wide = [](const auto& i) { return i.stream->wide(); };
        auto found = std::find_if(s.idle.rbegin(), s.idle.rend(), [&](const auto& i) {
            return wide(i) != lower; // the most recently used of its kind
        });
        if (found == s.idle.rend()) {
            if (lower) {
                return nullptr;
            }
            found = s.idle.rbegin();
        }
        auto stream = std::move(found->stream);
        s.idle.erase(std::next(found).base());
        if (stream->alive()) {
            return stream;
        }
    }
    return nullptr;
}

task<result<connection_pool::lease>>
connection_pool::take(url to, shared_tls_context trust, request_lane l, deadline d, freshness f) {
    auto held = enter(to, std::move(l));
    if (!co_await granted(*held, d)) {
        const bool stopping = stop_.stop_requested();
        const auto code = stopping ? errc::stopping : errc::timed_out;
        co_return fault(code, "waiting for a connection to " + to.origin());
    }
    if (f == freshness::any) {
        held->stream = pick_idle(held->at, held->priority.get());
        held->reused = held->stream != nullptr;
    }
    if (!held->stream) {
        auto& idle = held->at.idle; // of the other kind
        if (!idle.empty() && idle.size() + held->at.leased.size() > limits_.connections[0]) {
            idle.erase(idle.begin());
        }
        auto opened = co_await connect(to, std::move(trust), d);
        if (!opened) {
            co_return opened.error();
        }
        held->stream = std::move(*opened);
    }
    lease taken(std::move(held));
    taken.fit_window(); // before the request: its answer may fill the window at once
    co_return std::move(taken);
}

task<connection_pool::stream_result>
connection_pool::connect(url to, shared_tls_context trust, deadline d) {
    const auto limit = d.within(limits_.connect_timeout);
    auto addresses = co_await resolver_.resolve(to.name(), limit);
    if (!addresses) {
        co_return addresses.error();
    }
    auto opened = co_await http_stream::connect(
      home_.on(lane::demand), to, std::move(*addresses), std::move(trust), limit,
      stop_.get_token());
    if (opened) {
        metrics_.connected();
    }
    co_return opened;
}

task<void> connection_pool::connect_ahead(url to, shared_tls_context trust, deadline d) {
    auto& at = server_of(to); // stays: it counts as warming
    auto opened = co_await connect(to, std::move(trust), d);
    --at.warming;
    const bool room = at.idle.size() + at.leased.size() < limits_.connections[0];
    if (opened && room && !stop_.stop_requested()) {
        at.idle.push_back({std::move(*opened), std::chrono::steady_clock::now()});
        start_reaper();
    }
}

task<void>
connection_pool::warm(url to, shared_tls_context trust, unsigned connections, deadline d) {
    struct progress {
        unsigned left = 0;
        event done;
    };
    auto shared = std::make_shared<progress>();
    auto& at = server_of(to);
    const auto wanted = std::min(connections, limits_.connections[0]);
    while (!stop_.stop_requested() && at.idle.size() + at.leased.size() + at.warming < wanted) {
        ++at.warming;
        ++shared->left;
        auto one = [this, to, trust, d, shared](std::stop_token) -> task<void> {
            co_await connect_ahead(to, trust, d);
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

void connection_pool::abort() noexcept {
    stop_.request_stop();
    resolver_.abort();
    for (auto& [origin, each] : servers_) {
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

void connection_pool::lease::answered_after(steady::duration d) noexcept {
    auto& at = slot_->at;
    if (const auto now = steady::now(); now >= at.nearest_until) {
        at.nearest_before = std::exchange(at.nearest, steady::duration::max());
        at.nearest_until = now + nearest_counts;
    }
    at.nearest = std::min(at.nearest, d);
    if (auto* gate = slot_->pool.gate_) {
        gate->answered(d - round_trip(), round_trip());
    }
}

steady::duration connection_pool::lease::round_trip() const noexcept {
    return std::min(slot_->at.nearest, slot_->at.nearest_before);
}

void connection_pool::lease::reset() noexcept {
    slot_ = nullptr;
}

} // namespace firstlight
