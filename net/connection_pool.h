#pragma once

#include "actors/background.h"
#include "actors/deadline.h"
#include "actors/event.h"
#include "actors/result.h"
#include "actors/shard.h"
#include "net/circuit_board.h"
#include "net/circuit_breaker.h"
#include "net/dial_terms.h"
#include "net/flow_turns.h"
#include "net/host_resolver.h"
#include "net/http_stream.h"
#include "net/link_gate.h"
#include "net/net_metrics.h"
#include "net/request_lane.h"
#include "net/url.h"

#include <chrono>
#include <list>
#include <memory>
#include <optional>
#include <random>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <vector>

namespace firstlight {

/// Kept-alive connections, per server, lent to one request at a time; and whether a
/// server is worth asking.
///
/// One per shard, an actor on it. A lane and those below it together hold at
/// most `connections[lane]` of a server's connections, so that some are never
/// lent downwards; who waits is served in lane order, and moves up when its
/// request is promoted. Within a lane, flows take turns (flow_turns). Across suspensions:
/// a slot is in at most one of its server's `waiting` and `leased`, from take() until its
/// lease ends, and in neither once it has been turned away.
///
/// Each server has a circuit_breaker. When it opens, who waits for a connection is turned
/// away, connections that are coming up are given up, and idle ones closed; and so in the
/// pools of other shards, through the circuit_board.
class connection_pool {
public:
    struct limits {
        per_lane<unsigned> connections;
        std::chrono::milliseconds connect_timeout;
        std::chrono::milliseconds idle_timeout;
        circuit_rules circuit{};
    };
    class lease;
    /// Whether an idle connection will do.
    enum class freshness { any, fresh };

    /// `gate` (none: no limits) says what may be under way to lower lanes.
    connection_pool(
      shard& home, limits l, net_metrics& metrics, std::shared_ptr<circuit_board> board,
      link_gate* gate = nullptr);
    ~connection_pool();
    connection_pool(const connection_pool&) = delete;
    connection_pool& operator=(const connection_pool&) = delete;

    /// A connection to the server of `to`: an idle one that was made with the same trust,
    /// or a new one. timed_out when `d` passes in the queue, unavailable when connecting fails
    /// (within connect_timeout), and at once while the server's circuit is open; stopping.
    task<result<lease>>
    take(url to, dial_terms how, request_lane l, deadline d, freshness f, flow_claim c = {});

    /// The server's circuit is open: since when, or nothing. Until when a request of lane
    /// `l` is refused; in the past if it may probe.
    std::optional<std::chrono::steady_clock::time_point> open_until(const url& to, lane l) const;
    /// Waits until a request of lane `l` may reach the server: its circuit closes or wants
    /// a probe; or another's probe has failed. False, and at once where possible, if that
    /// will not be before `d`, or too many wait already; and always for the lower lanes,
    /// whose callers have something else to do meanwhile.
    task<bool> outlast(url to, lane l, deadline d);
    /// The server answered, but is of no use at present.
    void troubled(const url& to);
    /// To be preferred to a server that is not.
    bool well(const url& to) const;

    /// Connects ahead until the server has `connections` in use or idle, or the
    /// demand limit is reached. Returns when that is done or has failed.
    task<void> warm(url to, dial_terms how, unsigned connections, deadline d);

    /// Aborts what is under way and refuses the rest.
    void abort();
    /// After abort(), and once no lease is left: waits for the pool's own tasks.
    task<void> stop();

    /// Connections lying idle, of all servers; for metrics and tests.
    std::size_t idle() const noexcept;

private:
    struct server;
    struct slot;
    struct idle_connection {
        std::unique_ptr<http_stream> stream;
        std::chrono::steady_clock::time_point since;
    };
    using stream_result = result<std::unique_ptr<http_stream>>;

    server& server_of(const std::string& origin);
    void make_room();
    std::unique_ptr<slot>
    enter(server& at, request_lane l, const flow_claim& c, circuit_breaker::pass as);
    void leave(slot& s) noexcept;
    bool may_lend(const server& s, lane l) const noexcept;
    void lend(server& s, std::list<slot*>::iterator to);
    void dispatch(server& s);
    task<bool> granted(slot& s, deadline d);
    std::unique_ptr<http_stream> pick_idle(slot& s, const url& to, const dial_terms& how);
    task<stream_result>
    connect(server& at, url to, dial_terms how, deadline d, circuit_breaker::pass as);
    task<stream_result>
    open(server& at, url to, dial_terms how, deadline limit, std::stop_token stop);

    task<bool> outlast(server& at, lane l, deadline d);
    void report(server& at, circuit_breaker::report r);
    void apply(server& at, circuit_breaker::change c);
    void turn_away(server& at);
    void told(const circuit_board::notice& n);
    void tell(const server& at, bool dead);
    double jitter();
    task<void> connect_ahead(url to, dial_terms how, deadline d);
    task<void> reap(std::stop_token stop);
    void start_reaper();

    shard& home_;
    const limits limits_;
    net_metrics& metrics_;
    const std::shared_ptr<circuit_board> board_;
    const circuit_board::member_ptr membership_;
    link_gate* const gate_;
    std::minstd_rand random_;
    host_resolver resolver_;
    std::unordered_map<std::string, std::unique_ptr<server>> servers_;
    bool reaping_ = false;
    std::stop_source stop_;
    background_tasks tasks_;
};

/// A connection in use. Goes back to the pool when destroyed, if it can take
/// another request.
class connection_pool::lease {
public:
    lease() noexcept; // holds nothing
    explicit lease(std::unique_ptr<slot> held) noexcept;
    lease(lease&&) noexcept;
    lease& operator=(lease&&) noexcept;
    ~lease();

    explicit operator bool() const noexcept { return slot_ != nullptr; }
    http_stream& stream() noexcept;
    /// It has served a request before.
    bool reused() const noexcept;
    /// Sizes the receive window for the lane that the request is in now.
    void fit_window();
    /// A request has been answered after `d`.
    void answered_after(std::chrono::steady_clock::duration d);
    /// One has not, but ended with `f` after `took`, and might have taken `allowed`.
    void failed(
      const fault& f, std::chrono::steady_clock::duration took,
      std::chrono::steady_clock::duration allowed);
    /// The least that this server took for an answer in the last minute or so: what the
    /// way there and back takes when nothing queues up.
    std::chrono::steady_clock::duration round_trip() const noexcept;
    /// Gives it back now.
    void reset() noexcept;

private:
    std::unique_ptr<slot> slot_;
};

} // namespace firstlight
