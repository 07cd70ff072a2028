#pragma once
// One request over a pooled connection.

#include "net/connection_pool.h"
#include "net/http_message.h"

#include <chrono>
#include <string>

namespace firstlight {

/// A response whose head has come, with the connection its body will come on.
class answered {
public:
    answered(connection_pool::lease l, http_head h) noexcept
      : held(std::move(l))
      , head(std::move(h)) {}

    connection_pool::lease held;
    http_head head;
};

/// How long one request may take: in silence, and altogether.
class patience {
public:
    patience(std::chrono::milliseconds silence, deadline all) noexcept
      : silence_(silence)
      , all_(all) {}

    /// For the next operation.
    deadline next() const noexcept { return all_.within(silence_); }
    const deadline& all() const noexcept { return all_; }
    std::chrono::milliseconds silence() const noexcept { return silence_; }

private:
    std::chrono::milliseconds silence_;
    deadline all_;
};

/// Sends `request` to the server of `to` and reads the response's head. Adds the
/// Host and Accept-Encoding fields. A pooled connection that the
/// server turns out to have closed is replaced at once, which is no failure. Tells the
/// pool whether the server is alive.
///
/// The faults of http_stream and connection_pool; timed_out only once all of
/// `p` is over, a mere silence is unavailable.
task<result<answered>> send(
  connection_pool& pool, net_metrics& metrics, url to, dial_terms how, http_request request,
  request_lane l, patience p, flow_claim c = {});

/// Reads up to `most` bytes of body. corrupt if there are more.
task<result<std::string>> read_text(answered& from, std::size_t most, patience p);

/// Reads what is left of a small body, so that the connection can be used again;
/// drops the connection otherwise.
task<void> discard(answered rest, patience p);

/// A timed_out fault of one operation, as the whole request sees it.
fault judged(const fault& f, const patience& p);

} // namespace firstlight
