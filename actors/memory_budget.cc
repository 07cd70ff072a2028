#include "actors/memory_budget.h"

#include <algorithm>

namespace firstlight {

struct memory_budget::waiter {
    waiter(std::uint64_t b, std::function<lane()> u) noexcept
      : bytes(b)
      , urgency(std::move(u)) {}
    const std::uint64_t bytes;
    const std::function<lane()> urgency;
    event bell;
    bool admitted = false;
};

memory_budget::memory_budget(std::uint64_t bytes) noexcept
  : limits_{bytes, bytes / 4 * 3, bytes / 2} {
}

bool memory_budget::admits(std::uint64_t bytes, lane l) const noexcept {
    return used_ == 0 || used_ + bytes <= limits_[index_of(l)];
}

task<memory_budget::hold> memory_budget::take(std::uint64_t bytes, std::function<lane()> urgency) {
    waiter me(bytes, std::move(urgency));
    queue_.push_back(&me);
    look_again();
    while (!me.admitted) {
        co_await me.bell.wait();
    }
    co_return hold(*this, bytes);
}

// Who is first in the highest lane that waits; nobody overtakes him, or a large one
// would starve.
void memory_budget::look_again() {
    while (!queue_.empty()) {
        auto first = queue_.begin();
        auto most = (*first)->urgency();
        for (auto i = std::next(first); i != queue_.end(); ++i) {
            if (const auto l = (*i)->urgency(); l < most) {
                first = i;
                most = l;
            }
        }
        auto& next = **first;
        if (!admits(next.bytes, most)) {
            return;
        }
        used_ += next.bytes;
        next.admitted = true;
        queue_.erase(first);
        next.bell.notify_all();
    }
}

void memory_budget::give_back(std::uint64_t bytes) {
    used_ -= bytes;
    look_again();
}

} // namespace firstlight
