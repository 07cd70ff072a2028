#pragma once

#include "actors/deadline.h"
#include "actors/result.h"
#include "actors/task.h"
#include "net/dial_terms.h"
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

/// One connection to one server, plain or TLS, and the exchange under way on it.
/// The only place that knows Beast.
///
/// Single-shard, one call at a time. Faults: unavailable (dropped, refused),
/// timed_out (the deadline of this call), corrupt (not HTTP), stopping (abort()),
/// failed_precondition (the server's certificate does not hold, or it refuses ours).
class http_stream {
public:
    /// Tries the addresses in turn: first briefly each, so that a dead one costs
    /// little, then patiently. `home` is the shard's; `stop` is requested on it.
    /// unsupported, too, where a server that is spoken to in TLS answers without.
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

    /// It may carry requests that are to be made with `trust`, to a server of `to`'s origin.
    bool suits(const url& to, const shared_tls_context& trust) const noexcept;

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
