#include "actors/deadline.h"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

namespace firstlight {

task<result<void>> sleep_for(deadline::clock::duration d, std::stop_token stop) {
    asio::steady_timer timer(co_await asio::this_coro::executor, d);
    // The resource is cancelled, never the coroutine: cancellation slots of
    // Boost 1.81 crash when they cross shards.
    std::stop_callback give_up(stop, [&timer] { timer.cancel(); });
    if (!stop.stop_requested()) {
        co_await timer.async_wait(quietly);
    }
    if (stop.stop_requested()) {
        co_return fault(errc::stopping, "stopped while waiting");
    }
    co_return result<void>();
}

} // namespace firstlight
