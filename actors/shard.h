#pragma once
// A shard is one pinned thread, its io_context, and one ready queue per lane.

#include "actors/job.h"
#include "actors/lane.h"
#include "actors/task.h"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <deque>
#include <optional>
#include <thread>

namespace firstlight {

/// One core's event loop. All state of the actors living here is touched only
/// by its thread, so none of it is locked.
///
/// Thread safety: `on`, `id`, `current` and `is_current` from any thread; the
/// rest from the thread that built the shard.
class shard {
public:
    /// `cpu`: the processor to pin the thread to, or nothing to let it float.
    explicit shard(unsigned id, std::optional<unsigned> cpu = std::nullopt);
    ~shard();
    shard(const shard&) = delete;
    shard& operator=(const shard&) = delete;

    unsigned id() const noexcept { return id_; }
    bool is_current() const noexcept;
    /// The shard whose thread this is, or nullptr on a foreign thread.
    static shard* current() noexcept;

    /// The executor whose handlers run in lane `l` of this shard.
    asio::any_io_executor on(lane l) noexcept;

    void start();
    /// Waits for every outstanding operation, then joins the thread. Stop the
    /// actors first: one that still waits for something makes this wait too.
    void stop();

private:
    class executor;
    void enqueue(lane l, job work);
    void arm();
    void drain();

    const unsigned id_;
    const std::optional<unsigned> cpu_;
    asio::io_context io_{1};
    asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
    per_lane<std::deque<job>> ready_;
    bool armed_ = false; // a drain() is already posted
    std::thread thread_;
};

} // namespace firstlight
