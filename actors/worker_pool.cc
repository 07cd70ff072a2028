#include "actors/worker_pool.h"

#include <pthread.h>

#include <cassert>

namespace firstlight {

worker_pool::worker_pool(std::string name, unsigned threads)
  : size_(threads) {
    assert(threads >= 2 && "one thread is kept for demand");
    threads_.reserve(threads);
    for (unsigned i = 0; i < threads; ++i) {
        threads_.emplace_back([this, name] {
            pthread_setname_np(pthread_self(), name.c_str());
            serve();
        });
    }
}

worker_pool::~worker_pool() {
    stop();
}

void worker_pool::stop() {
    {
        const std::lock_guard hold(mutex_);
        stopping_ = true;
    }
    ready_.notify_all();
    for (auto& thread : threads_) {
        if (thread.joinable()) {
            thread.join();
        }
    }
}

std::size_t worker_pool::queued(lane l) const {
    const std::lock_guard hold(mutex_);
    return queues_[index_of(l)].size();
}

bool worker_pool::submit(lane l, job& work) {
    {
        const std::lock_guard hold(mutex_);
        if (stopping_) {
            return false;
        }
        queues_[index_of(l)].push_back(std::move(work));
    }
    ready_.notify_one();
    return true;
}

bool worker_pool::runnable(lane l) const {
    const bool may_take = l == lane::demand || busy_below_demand_ + 1 < size_;
    return may_take && !queues_[index_of(l)].empty();
}

std::optional<lane> worker_pool::next() const {
    for (const auto l : {lane::demand, lane::prefetch, lane::background}) {
        if (runnable(l)) {
            return l;
        }
    }
    return std::nullopt;
}

void worker_pool::serve() {
    std::unique_lock hold(mutex_);
    while (true) {
        const auto l = next();
        if (!l) {
            if (stopping_) {
                return;
            }
            ready_.wait(hold);
            continue;
        }
        auto work = std::move(queues_[index_of(*l)].front());
        queues_[index_of(*l)].pop_front();
        const unsigned below = *l == lane::demand ? 0 : 1;
        busy_below_demand_ += below;
        hold.unlock();
        work();
        hold.lock();
        busy_below_demand_ -= below;
        if (below > 0) {
            ready_.notify_one(); // another lower-lane job may run now
        }
    }
}

} // namespace firstlight
