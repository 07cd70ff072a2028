#include "net/request_lane.h"

namespace firstlight {

void request_lane::promote(lane l) {
    if (index_of(l) >= index_of(state_->now)) {
        return;
    }
    state_->now = l;
    look_again();
}

void request_lane::look_again() {
    // By copy: a watcher may end its watch.
    const auto watchers = state_->watchers;
    for (const auto& [owner, changed] : watchers) {
        changed();
    }
}

void request_lane::watch(const void* owner, std::function<void()> changed) {
    state_->watchers.emplace_back(owner, std::move(changed));
}

void request_lane::unwatch(const void* owner) noexcept {
    std::erase_if(state_->watchers, [owner](const auto& each) { return each.first == owner; });
}

} // namespace firstlight
