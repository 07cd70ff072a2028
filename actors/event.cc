#include "actors/event.h"

#include <boost/asio/this_coro.hpp>

namespace firstlight {

task<void> event::wait() {
    const bool notified = co_await wait_for(std::chrono::hours(24 * 365));
    (void)notified; // a spurious wake after a year is still only a hint
}

task<bool> event::wait_for(std::chrono::steady_clock::duration patience, std::stop_token stop) {
    asio::steady_timer bell(co_await asio::this_coro::executor, patience);
    waiting_.push_back(&bell);
    std::stop_callback give_up(stop, [&bell] { bell.cancel(); });
    if (!stop.stop_requested()) {
        co_await bell.async_wait(quietly);
    }
    co_return waiting_.remove(&bell) == 0;
}

void event::notify_one() noexcept {
    if (waiting_.empty()) {
        return;
    }
    auto* bell = waiting_.front();
    waiting_.pop_front();
    bell->cancel();
}

void event::notify_all() noexcept {
    while (!waiting_.empty()) {
        notify_one();
    }
}

} // namespace firstlight
