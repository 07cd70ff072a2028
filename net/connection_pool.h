#pragma once

#include "actors/background.h"
#include "actors/deadline.h"
#include "actors/event.h"
#include "actors/result.h"
#include "actors/shard.h"
#include "net/host_resolver.h"
#include "net/http_stream.h"
#include "net/link_gate.h"
#include "net/net_metrics.h"
#include "net/request_lane.h"
#include "net/url.h"

#include <chrono>
#include <list>
#include <memory>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <vector>

namespace firstlight {

/// Kept-alive connections, per server, lent to one request at a time.
///
/// One per shard, an actor on it. A lane and those below it together hold at
/// most `connections[lane]` of a server's connections, so that some are never
/// lent downwards; who waits is served in lane order, and moves up when its
/// request is promoted. Across suspensions: a slot is in exactly one of its
/// server's `waiting` and `leased`, from take() until its lease ends.
class connection_pool {
public:
    struct limits {
        per_lane<unsigned> connections;
        std::chrono::milliseconds connect_timeout;
        std::chrono::milliseconds idle_timeout;
    };
    class lease;
    /// Whether an idle connection will do.
    enum class freshness { any, fresh };

    /// `gate` (none: no limits) says what may be under way to lower lanes.
    connection_pool(shard& home, limits l, net_metrics& metrics, link_gate* gate = nullptr);
    ~connection_pool();
    connection_pool(const connection_pool&) = delete;
    connection_pool& operator=(const connection_pool&) = delete;

    /// A connection to the server of `to`: an idle one, or a new one. timed_out
    /// when `d` passes in the queue, unavailable when connecting fails (within
    /// connect_timeout), stopping.
    task<result<lease>>
    take(url to, shared_tls_context trust, request_lane l, deadline d, freshness f);

    /// Connects ahead until the server has `connections` in use or idle, or the
    /// demand limit is reached. Returns when that is done or has failed.
    task<void> warm(url to, shared_tls_context trust, unsigned connections, deadline d);

    /// Aborts what is under way and refuses the rest.
    void abort() noexcept;
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

    server& server_of(const url& to);
    std::unique_ptr<slot> enter(const url& to, request_lane l);
    void leave(slot& s) noexcept;
    bool may_lend(const server& s, lane l) const noexcept;
    void dispatch(server& s);
    task<bool> granted(slot& s, deadline d);
    std::unique_ptr<http_stream> pick_idle(server& s, lane l);
    task<stream_result> connect(url to, shared_tls_context trust, deadline d);
    task<void> connect_ahead(url to, shared_tls_context trust, deadline d);
    task<void> reap(std::stop_token stop);
    void start_reaper();

    shard& home_;
    const limits limits_;
    net_metrics& metrics_;
    link_gate* const gate_;
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
    void answered_after(std::chrono::steady_clock::duration d) noexcept;
    /// The least that this server took for an answer in the last minute or so: what the
    /// way there and back takes when nothing queues up.
    std::chrono::steady_clock::duration round_trip() const noexcept;
    /// Gives it back now.
    void reset() noexcept;

private:
    std::unique_ptr<slot> slot_;
};

} // namespace firstlight
