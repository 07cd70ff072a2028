#pragma once

#include "actors/mailbox.h"
#include "actors/worker_pool.h"
#include "fs/snapshot_store.h"

#include <memory>

namespace firstlight {

/// The one user of the snapshot store: runs pieces of work on it one after the
/// other, in the io pool. Lives on shard 0.
///
/// A piece of work may touch the store and the local disk, briefly, and never
/// waits for the network.
class store_writer {
public:
    store_writer(worker_pool& io, std::unique_ptr<snapshot_store> store) noexcept
      : io_(io)
      , store_(std::move(store)) {}

    /// Runs `work`, a callable taking snapshot_store& and returning result<T>.
    /// Name the lambda on a line of its own; what it captures crosses threads.
    /// overloaded after half a minute in the queue, stopping once stopped.
    template <class F, class R = std::invoke_result_t<F&, snapshot_store&>>
    task<R> run(F work);

    /// Refuses more work and waits for what was accepted.
    task<void> stop() { return turn_.close(); }

private:
    static constexpr std::chrono::seconds patience{30};

    worker_pool& io_;
    std::unique_ptr<snapshot_store> store_;
    mailbox turn_{{1, 1, 1}}; // all work goes through one lane: a queue of one server
};

template <class F, class R>
task<R> store_writer::run(F work) {
    auto mine = co_await turn_.admit(lane::demand, patience);
    if (!mine) {
        co_return mine.error().in("snapshot store");
    }
    auto on_store = [store = store_.get(), work = std::move(work)]() mutable -> R {
        return work(*store);
    };
    co_return co_await io_.run(lane::demand, std::move(on_store));
}

} // namespace firstlight
