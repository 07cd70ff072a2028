#include "net/http_call.h"

#include <array>

namespace firstlight {

namespace {

// More than any error document; reading it costs less than a new connection.
constexpr std::size_t small_body = 32 << 10;

bool closed_while_idle(connection_pool::lease& held, const fault& f) noexcept {
    return held.reused() && held.stream().silent() && f.code() == errc::unavailable;
}

} // namespace

fault judged(const fault& f, const patience& p) {
    if (f.code() == errc::timed_out && !p.all().expired()) {
        return {errc::unavailable, f.context()};
    }
    return f;
}

task<result<answered>> send(
  connection_pool& pool, net_metrics& metrics, url to, dial_terms how, http_request request,
  request_lane l, patience p, flow_claim c) {
    if (!request.has("Host")) { // unless the operator wants another
        request.add("Host", to.authority());
    }
    request.add("Accept-Encoding", "identity");
    auto wanted = connection_pool::freshness::any;
    while (true) {
        auto held = co_await pool.take(to, how, l, p.all(), wanted, c);
        if (!held) {
            metrics.request(l.get(), 0);
            co_return judged(held.error(), p);
        }
        const auto sent = std::chrono::steady_clock::now();
        auto head = co_await held->stream().exchange(request, p.next());
        const auto took = std::chrono::steady_clock::now() - sent;
        if (head) {
            held->answered_after(took);
            metrics.round_trip().record(took);
            metrics.request(l.get(), head->status());
            co_return answered(std::move(*held), std::move(*head));
        }
        if (!closed_while_idle(*held, head.error())) {
            held->failed(head.error(), took, p.silence());
            metrics.request(l.get(), 0);
            co_return judged(head.error(), p);
        }
        wanted = connection_pool::freshness::fresh;
    }
}

task<result<std::string>> read_text(answered& from, std::size_t most, patience p) {
    std::string text(most + 1, '\0');
    std::size_t have = 0;
    while (have <= most) {
        const std::span<char> room(text.data() + have, text.size() - have);
        const auto n =
          co_await from.held.stream().read_some(std::as_writable_bytes(room), p.next());
        if (!n) {
            co_return judged(n.error(), p);
        }
        if (*n == 0) {
            text.resize(have);
            co_return text;
        }
        have += *n;
    }
    co_return fault(errc::corrupt, "body of more than " + std::to_string(most) + " bytes");
}

task<void> discard(answered rest, patience p) {
    if (rest.head.length().value_or(small_body) > small_body) {
        co_return;
    }
    auto text = co_await read_text(rest, small_body, p);
    (void)text; // whatever happened, the connection knows if it is reusable
}

} // namespace firstlight
