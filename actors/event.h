#pragma once

#include "actors/shard.h"

#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <list>
#include <stop_token>

namespace firstlight {

/// Wakes coroutines that wait for a condition: a condition variable without a
/// lock. Waiters test their condition before and after each wait, since a wake
/// is only a hint.
///
///     while (!ready) { co_await changed.wait(); }
///
/// Single-shard: used only on the shard its waiters run on. Must outlive them.
class event {
public:
    /// Suspends until notify_all() or notify_one().
    task<void> wait();
    /// The same, but at most for `patience`, and no longer than until `stop` is
    /// requested, on the same shard. True if notified.
    task<bool> wait_for(std::chrono::steady_clock::duration patience, std::stop_token stop = {});

    void notify_one() noexcept;
    void notify_all() noexcept;
    std::size_t waiters() const noexcept { return waiting_.size(); }

private:
    // Each waiter sleeps on a timer of its own. It is listed until it is
    // notified, so that a notification and an expiry at the same instant are
    // told apart by the list and not by the timer's error code.
    std::list<asio::steady_timer*> waiting_;
};

} // namespace firstlight
