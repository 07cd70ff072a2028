// linkproxy: a TCP proxy that makes a loopback server look far away.
//
// Delay, a rate shared by all connections, connection set-up that costs a round
// trip, and optionally slow start. Programs that measure or assert round trips
// run against it, since kernels without netem can do no better.

#include "test/link/link_model.h"
#include "test/link/request_log.h"

#include <CLI/CLI.hpp>
#include <boost/asio.hpp>
#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <deque>
#include <fstream>
#include <memory>
#include <utility>
#include <vector>

namespace asio = boost::asio;
using asio::ip::tcp;

namespace firstlight::link {
namespace {

constexpr auto quietly = asio::as_tuple(asio::use_awaitable);
// Large enough to be cheap, small enough that a shared line serves its
// connections in turn (0.6 ms at 200 Mbit/s).
constexpr std::size_t segment = std::size_t{16} * 1024;

constexpr int unread = 64 * 1024;

struct settings {
    std::string listen = "127.0.0.1:0";
    std::string to;
    double delay_ms = 0;
    double rate_mbit = 0;
    std::string direction = "down";
    std::size_t burst = 0;
    std::size_t window = 0;
    bool slow_start = false;
    std::string request_log;
};

struct counters {
    std::uint64_t connections = 0;
    std::uint64_t open = 0;
    std::uint64_t refused = 0;
    std::uint64_t up = 0;
    std::uint64_t down = 0;
};

/// Everything the connections share; outlives them all.
struct proxy {
    proxy(const settings& s, tcp::endpoint target, double bytes_per_second, clock::duration delay)
      : options(s)
      , to(std::move(target))
      , up(s.direction == "both" ? bytes_per_second : 0, delay, s.burst)
      , down(bytes_per_second, delay, s.burst)
      , window_bytes(s.window > 0 ? s.window : default_window(bytes_per_second, delay)) {
        if (!s.request_log.empty()) {
            requests.open(s.request_log, std::ios::app);
        }
    }

    settings options;
    tcp::endpoint to;
    line up;
    line down;
    std::size_t window_bytes;
    counters seen;
    std::ofstream requests;
};

void print(const counters& seen) {
    fmt::print(
      "{{\"connections\":{},\"open\":{},\"refused\":{},\"bytes_up\":{},\"bytes_down\":{}}}\n",
      seen.connections, seen.open, seen.refused, seen.up, seen.down);
    std::fflush(stdout);
}

/// Seconds since the epoch, for the request log.
double wall_clock() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// One direction of one connection: what was read and is still under way.
struct stream {
    stream(asio::any_io_executor ex, const proxy& shared)
      : arrival(ex)
      , room(ex)
      , flow(shared.window_bytes, shared.options.slow_start) {}

    struct parcel {
        clock::time_point when;
        std::vector<char> bytes; // empty: the sender is done
    };

    std::deque<parcel> under_way;
    asio::steady_timer arrival; // cancelled when a parcel joins an empty queue
    asio::steady_timer room;    // cancelled when an acknowledgement gets a date
    window flow;
    bool broken = false;
};

struct connection {
    connection(tcp::socket c, proxy& p)
      : shared(p)
      , client(std::move(c))
      , server(client.get_executor())
      , up(client.get_executor(), p)
      , down(client.get_executor(), p) {}
    ~connection() { --shared.seen.open; }
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;

    proxy& shared;
    tcp::socket client;
    tcp::socket server;
    stream up;
    stream down;
    request_scanner scanner;
};

using connection_ptr = std::shared_ptr<connection>;

void log_requests(connection& c, const std::vector<char>& bytes) {
    if (!c.shared.requests.is_open()) {
        return;
    }
    for (const auto& r : c.scanner.feed(std::string_view(bytes.data(), bytes.size()))) {
        c.shared.requests << fmt::format(
          "{:.6f} {} {} {}\n", wall_clock(), r.method, r.target, r.range.empty() ? "-" : r.range);
    }
    c.shared.requests.flush();
}

asio::awaitable<void> wait_for_room(stream& s) {
    while (!s.broken && s.flow.room(clock::now()) == 0) {
        s.room.expires_at(s.flow.next_acknowledgement().value_or(clock::time_point::max()));
        co_await s.room.async_wait(quietly);
    }
}

void send(stream& s, clock::time_point when, std::vector<char> bytes) {
    s.under_way.push_back({when, std::move(bytes)});
    if (s.under_way.size() == 1) {
        s.arrival.cancel();
    }
}

/// Reads from `from` and puts what came on the line.
asio::awaitable<void>
collect(connection_ptr keep, tcp::socket& from, stream& s, line& wire, clock::time_point opens) {
    const bool upward = &s == &keep->up;
    for (;;) {
        co_await wait_for_room(s);
        if (s.broken) {
            break;
        }
        std::vector<char> bytes(std::min(segment, s.flow.room(clock::now())));
        const auto [failed, n] = co_await from.async_read_some(asio::buffer(bytes), quietly);
        bytes.resize(failed ? 0 : n);
        s.flow.sent(bytes.size());
        const auto when = std::max(wire.carry(clock::now(), bytes.size()), opens + wire.delay());
        if (upward) {
            log_requests(*keep, bytes);
        }
        const bool done = bytes.empty();
        send(s, when, std::move(bytes));
        if (done) {
            break;
        }
    }
}

/// Hands parcels to `to` when they are due. `keep` owns what the references are to.
asio::awaitable<void> deliver(
  [[maybe_unused]] connection_ptr keep, tcp::socket& to, stream& s, line& wire,
  std::uint64_t& counter) {
    for (;;) {
        while (s.under_way.empty()) {
            s.arrival.expires_at(clock::time_point::max());
            co_await s.arrival.async_wait(quietly);
        }
        while (clock::now() < s.under_way.front().when) {
            s.arrival.expires_at(s.under_way.front().when);
            co_await s.arrival.async_wait(quietly);
        }
        const auto parcel = std::move(s.under_way.front());
        s.under_way.pop_front();
        if (parcel.bytes.empty()) {
            break;
        }
        const auto [failed, n] =
          co_await asio::async_write(to, asio::buffer(parcel.bytes), quietly);
        counter += n;
        if (failed) {
            break;
        }
        s.flow.acknowledged(n, clock::now() + wire.delay());
        s.room.cancel();
    }
    // Pass the end on. A reader that waits for room in this direction must give up.
    s.broken = true;
    s.room.cancel();
    boost::system::error_code ignored;
    to.shutdown(tcp::socket::shutdown_send, ignored);
}

asio::awaitable<void> serve(connection_ptr c) {
    auto& p = c->shared;
    const auto accepted = clock::now();
    const auto [failed] = co_await c->server.async_connect(p.to, quietly);
    if (failed) {
        ++p.seen.refused;
        co_return;
    }
    boost::system::error_code ignored;
    c->client.set_option(tcp::no_delay(true), ignored);
    c->server.set_option(tcp::no_delay(true), ignored);
    // What a receiver does not read holds its sender up: it must not lie here instead.
    c->client.set_option(asio::socket_base::send_buffer_size(unread), ignored);
    c->server.set_option(asio::socket_base::send_buffer_size(unread), ignored);
    // The kernel's handshake with us took no time: the client's first bytes
    // leave it one round trip after it began to connect.
    const auto opens = accepted + p.up.delay() + p.down.delay();
    const auto ex = c->client.get_executor();
    asio::co_spawn(ex, collect(c, c->client, c->up, p.up, opens), asio::detached);
    asio::co_spawn(ex, deliver(c, c->server, c->up, p.up, p.seen.up), asio::detached);
    asio::co_spawn(ex, collect(c, c->server, c->down, p.down, accepted), asio::detached);
    asio::co_spawn(ex, deliver(c, c->client, c->down, p.down, p.seen.down), asio::detached);
}

asio::awaitable<void> accept_all(tcp::acceptor& acceptor, proxy& p) {
    for (;;) {
        auto [failed, socket] = co_await acceptor.async_accept(quietly);
        if (failed == asio::error::operation_aborted) {
            break;
        }
        if (failed) { // out of descriptors, most likely: let some connections end first
            asio::steady_timer pause(acceptor.get_executor(), std::chrono::milliseconds(10));
            co_await pause.async_wait(quietly);
            continue;
        }
        ++p.seen.connections;
        ++p.seen.open;
        auto c = std::make_shared<connection>(std::move(socket), p);
        asio::co_spawn(acceptor.get_executor(), serve(std::move(c)), asio::detached);
    }
}

asio::awaitable<void> obey_signals(asio::signal_set& signals, proxy& p, asio::io_context& io) {
    for (;;) {
        const auto [failed, signal] = co_await signals.async_wait(quietly);
        print(p.seen);
        if (failed || signal != SIGUSR1) {
            io.stop();
            break;
        }
    }
}

tcp::endpoint endpoint_of(const std::string& text) {
    const auto colon = text.rfind(':');
    if (colon == std::string::npos) {
        throw std::invalid_argument(fmt::format("\"{}\" is not ADDRESS:PORT", text));
    }
    const auto port = std::stoul(text.substr(colon + 1));
    return {asio::ip::make_address(text.substr(0, colon)), static_cast<std::uint16_t>(port)};
}

void run(const settings& s) {
    asio::io_context io(1);
    const auto delay = std::chrono::duration_cast<clock::duration>(
      std::chrono::duration<double, std::milli>(s.delay_ms));
    proxy shared(s, endpoint_of(s.to), s.rate_mbit * 1e6 / 8, delay);
    tcp::acceptor acceptor(io, endpoint_of(s.listen));
    asio::signal_set signals(io, SIGUSR1, SIGTERM, SIGINT);
    fmt::print(
      "listening {}:{}\n", acceptor.local_endpoint().address().to_string(),
      acceptor.local_endpoint().port());
    std::fflush(stdout);
    asio::co_spawn(io, accept_all(acceptor, shared), asio::detached);
    asio::co_spawn(io, obey_signals(signals, shared, io), asio::detached);
    io.run();
}

} // namespace
} // namespace firstlight::link

int main(int argc, char** argv) {
    firstlight::link::settings s;
    CLI::App app("A TCP proxy that emulates a link. Prints \"listening ADDRESS:PORT\", and its "
                 "counters as JSON at SIGUSR1 and at the end.");
    app.add_option("--listen", s.listen, "ADDRESS:PORT to listen on; port 0 picks one");
    app.add_option("--to", s.to, "ADDRESS:PORT of the server")->required();
    app.add_option("--delay-ms", s.delay_ms, "one-way delay: half a round trip")
      ->check(CLI::NonNegativeNumber);
    app
      .add_option("--rate-mbit", s.rate_mbit, "rate of the link, all connections together; 0: none")
      ->check(CLI::NonNegativeNumber);
    app.add_option("--rate-direction", s.direction, "what the rate limits: down, or both (each)")
      ->check(CLI::IsMember({"down", "both"}));
    app.add_option("--burst", s.burst, "bytes that may pass at once after a pause");
    app.add_option("--window", s.window, "bytes one connection may have under way");
    app.add_flag("--slow-start", s.slow_start, "each connection's window grows from ten segments");
    app.add_option(
      "--request-log", s.request_log,
      "file to append \"TIME METHOD TARGET RANGE\" to, for plain HTTP/1.1");
    CLI11_PARSE(app, argc, argv);
    try {
        firstlight::link::run(s);
    } catch (const std::exception& e) {
        fmt::print(stderr, "linkproxy: {} -> {}: {}\n", s.listen, s.to, e.what());
        return 1;
    }
    return 0;
}
