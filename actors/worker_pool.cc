#include "actors/worker_pool.h"

#include <pthread.h>
#include <sys/resource.h>

#include <cassert>

namespace firstlight {

namespace {

/// The processor prefers threads of higher lanes, and the shards, to this one while
/// it works for a lower lane. A nice value in Linux is a thread's own.
class thread_niceness {
public:
    void follow(lane l) {
        if (may_change_ && nice_of(l) != now_) {
            now_ = nice_of(l);
            ::setpriority(PRIO_PROCESS, 0, base_ + now_);
        }
    }

private:
    static int nice_of(lane l) {
        switch (l) {
        case lane::demand:
            return 0;
        case lane::prefetch:
            return 10; // a tenth of the weight
        default:
            return 15;
        }
    }
    // Without CAP_SYS_NICE there is no way back, so then we never go. Tried upwards,
    // from where there always is one.
    static bool can_come_back(int base) {
        return ::setpriority(PRIO_PROCESS, 0, base - 1) == 0 &&
               ::setpriority(PRIO_PROCESS, 0, base) == 0;
    }

    const int base_ = ::getpriority(PRIO_PROCESS, 0);
    const bool may_change_ = can_come_back(base_);
    int now_ = 0;
};

} // namespace

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
    thread_niceness niceness;
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
        niceness.follow(*l);
        work();
        hold.lock();
        busy_below_demand_ -= below;
        if (below > 0) {
            ready_.notify_one(); // another lower-lane job may run now
        }
    }
}

} // namespace firstlight
