#pragma once

#include "actors/job.h"
#include "actors/lane.h"
#include "actors/result.h"
#include "actors/task.h"

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace firstlight {

/// Threads for what must not run on a shard: system calls that block (mount(2),
/// fsync, SQLite, reads that miss the page cache) and decoding that takes longer
/// than a slice. Lanes are served in strict order, and one thread is never lent
/// to a lower lane, so that demand finds a free one; where the process may raise
/// its priority again (CAP_SYS_NICE), threads are nice while they work for one.
///
/// Thread safety: `run` from any coroutine; `stop` once, from a foreign thread.
class worker_pool {
public:
    /// `name` (15 characters at most) is the threads' name; `threads` ≥ 2.
    worker_pool(std::string name, unsigned threads);
    ~worker_pool();
    worker_pool(const worker_pool&) = delete;
    worker_pool& operator=(const worker_pool&) = delete;

    /// Runs `work` (a callable returning result<T>) on a pool thread and resumes
    /// the caller on its own executor. An exception arrives as errc::unknown.
    /// Name the lambda on a line of its own, and capture by value or what
    /// outlives the await.
    template <class F, class R = std::invoke_result_t<F&>>
    task<R> run(lane l, F work);

    /// Finishes what is queued and joins the threads. Later run() calls get
    /// errc::stopping.
    void stop();

    /// Jobs waiting in lane `l`; a gauge for metrics.
    std::size_t queued(lane l) const;

private:
    template <class R, class F>
    static R guarded(F& work);
    // False once stopped; the job is then left with the caller.
    bool submit(lane l, job& work);
    void serve();
    bool runnable(lane l) const;
    std::optional<lane> next() const;

    mutable std::mutex mutex_; // held for a push or a pop, never across work
    std::condition_variable ready_;
    per_lane<std::deque<job>> queues_;
    const unsigned size_;
    unsigned busy_below_demand_ = 0; // threads running prefetch or background jobs
    bool stopping_ = false;
    std::vector<std::thread> threads_;
};

template <class R, class F>
R worker_pool::guarded(F& work) {
    try {
        return work();
    } catch (const std::exception& e) {
        return fault(errc::unknown, e.what());
    } catch (...) {
        return fault(errc::unknown, "not a std::exception");
    }
}

template <class F, class R>
task<R> worker_pool::run(lane l, F work) {
    auto start = [this, l, work = std::move(work)](auto done) mutable {
        auto home = asio::get_associated_executor(done);
        // Shared by the job and the refusal below; only one of them uses it.
        auto reply = std::make_shared<decltype(done)>(std::move(done));
        auto answer = [reply, home](std::optional<R> r) {
            asio::post(
              home, [reply, r = std::move(r)]() mutable { std::move (*reply)(std::move(r)); });
        };
        job body([answer, work = std::move(work)]() mutable { answer(guarded<R>(work)); });
        if (!submit(l, body)) {
            answer(fault(errc::stopping, "worker pool stopped"));
        }
    };
    auto pending = asio::async_initiate<const asio::use_awaitable_t<>, void(std::optional<R>)>(
      std::move(start), asio::use_awaitable);
    auto outcome = co_await std::move(pending);
    co_return std::move(*outcome);
}

} // namespace firstlight
