#pragma once

#include "actors/deadline.h"
#include "actors/result.h"
#include "actors/task.h"
#include "net/http_message.h"
#include "net/url.h"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/ip/address.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

namespace firstlight {

/// Whom to believe in TLS. Immutable once made, so all shards share it.
class tls_context;
using shared_tls_context = std::shared_ptr<const tls_context>;

/// Reads files, so it is made at start-up: `ca_file` (PEM), or the system's
/// authorities if it is empty. Throws std::runtime_error naming the file.
shared_tls_context make_tls_context(const std::string& ca_file, bool skip_verify);

/// What a TLS context is made of where it does not come from files of its own. PEM.
class tls_material {
public:
    std::string authorities; // empty: the system's
    std::string certificate; // to present, with those that vouch for it; empty: none
    std::string private_key;
    bool skip_verify = false;
};

/// Throws std::runtime_error, without the text, if a part of it is of no use.
shared_tls_context make_tls_context(const tls_material& from);

/// One connection to one server, plain or TLS, and the exchange under way on it.
/// The only place that knows Beast.
///
/// Single-shard, one call at a time. Faults: unavailable (dropped, refused),
/// timed_out (the deadline of this call), corrupt (not HTTP), stopping (abort()),
/// failed_precondition (the certificate does not hold).
class http_stream {
public:
    /// Tries the addresses in turn: first briefly each, so that a dead one costs
    /// little, then patiently. `home` is the shard's; `stop` is requested on it.
    static task<result<std::unique_ptr<http_stream>>> connect(
      asio::any_io_executor home, url to, std::vector<asio::ip::address> addresses,
      shared_tls_context trust, deadline d, std::stop_token stop);

    ~http_stream();
    http_stream(const http_stream&) = delete;
    http_stream& operator=(const http_stream&) = delete;

    /// Sends `request` and reads the response's head (at most 64 KiB). What is
    /// left of an earlier body makes it fail.
    task<result<http_head>> exchange(http_request request, deadline d);
    /// Body bytes straight into `into`, as many as there are; 0 at the body's end.
    task<result<std::size_t>> read_some(std::span<std::byte> into, deadline d);

    /// Lets the server have at most `bytes` under way to us; 0: what the kernel thinks
    /// right. Takes effect as what is under way arrives.
    void limit_receive_window(std::size_t bytes) noexcept;
    /// It has been used without such a limit. What was once offered to the server it may
    /// send, whatever is offered later.
    bool wide() const noexcept;

    /// The last exchange failed before a byte of answer came, as happens when the
    /// server closes an idle connection just then.
    bool silent() const noexcept;
    /// The body has been read to its end and the server keeps the connection.
    bool reusable() const noexcept;
    /// For an idle connection: the server has not closed it. One system call.
    bool alive() noexcept;
    /// Ends the call under way, and all later ones, with errc::stopping.
    void abort() noexcept;

private:
    class exchange_state;

public: // for make_unique only
    explicit http_stream(std::unique_ptr<exchange_state> state);

private:
    std::unique_ptr<exchange_state> state_;
};

} // namespace firstlight
