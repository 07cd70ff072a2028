#include "actors/shard.h"

#include <boost/asio/execution.hpp>
#include <boost/asio/post.hpp>

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <string>

namespace firstlight {

namespace {

thread_local shard* current_shard = nullptr;

// Handlers run per lane in one drain. 16:4:1 keeps a background handler's wait
// under twenty handlers while giving demand four fifths of a busy shard.
constexpr per_lane<int> quantum{16, 4, 1};

// Best effort: in a cpuset that lacks this processor the thread floats.
void pin_to(unsigned cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

// The arguments of sched_setattr(2), for which the C library has no names.
struct scheduling {
    std::uint32_t size = sizeof(scheduling);
    std::uint32_t policy = SCHED_OTHER;
    std::uint64_t flags = 0;
    std::int32_t nice = 0;
    std::uint32_t priority = 0;
    std::uint64_t slice_ns = 0;
    std::uint64_t deadline_ns = 0;
    std::uint64_t period_ns = 0;
};

// A thread that wakes need not wait until a decoder's slice on its processor is over, if
// its own is shorter. Best effort: Linux has that since 6.12, and ignores it before.
void ask_for_short_slices() {
    scheduling how;
    how.nice = ::getpriority(PRIO_PROCESS, 0);
    how.slice_ns = 200'000;
    ::syscall(SYS_sched_setattr, 0, &how, 0);
}

} // namespace

class shard::executor {
public:
    executor(shard& s, lane l) noexcept
      : shard_(&s)
      , lane_(l) {}
    asio::execution_context& query(asio::execution::context_t) const noexcept {
        return shard_->io_;
    }
    static constexpr asio::execution::blocking_t query(asio::execution::blocking_t) noexcept {
        return asio::execution::blocking.never;
    }
    executor require(asio::execution::blocking_t::never_t) const noexcept { return *this; }
    template <class F>
    void execute(F f) const {
        shard_->enqueue(lane_, job(std::move(f)));
    }
    friend bool operator==(const executor& a, const executor& b) noexcept = default;

private:
    shard* shard_;
    lane lane_;
};

shard::shard(unsigned id, std::optional<unsigned> cpu)
  : id_(id)
  , cpu_(cpu) {
}

shard::~shard() = default;

bool shard::is_current() const noexcept {
    return current_shard == this;
}

shard* shard::current() noexcept {
    return current_shard;
}

asio::any_io_executor shard::on(lane l) noexcept {
    return executor(*this, l);
}

void shard::start() {
    thread_ = std::thread([this] {
        current_shard = this;
        pthread_setname_np(pthread_self(), ("shard-" + std::to_string(id_)).c_str());
        if (cpu_) {
            pin_to(*cpu_);
        }
        ask_for_short_slices();
        io_.run();
    });
}

void shard::stop() {
    work_.reset();
    thread_.join();
}

void shard::enqueue(lane l, job work) {
    if (!is_current()) { // the only place where a foreign thread touches a shard
        auto arrive = [this, l, work = std::move(work)]() mutable { enqueue(l, std::move(work)); };
        asio::post(io_, std::move(arrive));
        return;
    }
    ready_[index_of(l)].push_back(std::move(work));
    arm();
}

void shard::arm() {
    if (!armed_) {
        armed_ = true;
        // Behind whatever the io_context holds already, so that the reactor is
        // polled between two drains.
        asio::post(io_, [this] { drain(); });
    }
}

void shard::drain() {
    armed_ = false;
    bool left = false;
    for (std::size_t l = 0; l < lane_count; ++l) {
        for (int n = 0; n < quantum[l] && !ready_[l].empty(); ++n) {
            auto work = std::move(ready_[l].front());
            ready_[l].pop_front();
            work();
        }
        left = left || !ready_[l].empty();
    }
    if (left) {
        arm();
    }
}

} // namespace firstlight
