#pragma once

#include "actors/task.h"

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>

#include <chrono>

namespace firstlight {

/// Lets everything else that is ready on this shard run, in lane order.
inline task<void> yield() {
    co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
}

/// Tells a loop when its turn on the CPU is over: after half a millisecond, so
/// that no slice reaches a whole one.
///
///     slice_clock turn;
///     for (...) { work(); if (turn.over()) { co_await yield(); turn.restart(); } }
class slice_clock {
public:
    static constexpr std::chrono::microseconds quantum{500};

    bool over() const noexcept { return std::chrono::steady_clock::now() - since_ >= quantum; }
    void restart() noexcept { since_ = std::chrono::steady_clock::now(); }

private:
    std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
};

} // namespace firstlight
