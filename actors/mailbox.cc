#include "actors/mailbox.h"

#include <cassert>

namespace firstlight {

mailbox::mailbox(limits l) noexcept
  : limits_(l) {
}

mailbox::~mailbox() {
    assert(depth_ == limits{} && "actor destroyed with calls in flight");
}

task<result<mailbox::slot>> mailbox::admit(lane l, std::chrono::milliseconds patience) {
    const auto i = index_of(l);
    const auto until = std::chrono::steady_clock::now() + patience;
    while (!closed_ && depth_[i] >= limits_[i]) {
        const auto left = until - std::chrono::steady_clock::now();
        const bool rung = left > left.zero() && co_await room_[i].wait_for(left);
        if (!rung) {
            co_return fault(errc::overloaded, "mailbox full in lane " + std::string(to_string(l)));
        }
    }
    if (closed_) {
        co_return fault(errc::stopping, "mailbox closed");
    }
    ++depth_[i];
    co_return slot(*this, l);
}

void mailbox::release(lane l) noexcept {
    --depth_[index_of(l)];
    room_[index_of(l)].notify_one();
    if (closed_ && depth_ == limits{}) {
        drained_.notify_all();
    }
}

task<void> mailbox::close() {
    closed_ = true;
    for (auto& waiting : room_) {
        waiting.notify_all();
    }
    while (depth_ != limits{}) {
        co_await drained_.wait();
    }
}

} // namespace firstlight
