#include "net/flow_turns.h"

#include <algorithm>

namespace firstlight {

namespace {

// Of a request, whatever its size: it takes a round trip.
constexpr std::uint64_t fixed_cost = 64 << 10;
// Past flows that are remembered while others wait.
constexpr std::size_t most_flows = 1024;

} // namespace

flow_turns::flow& flow_turns::enter(const std::string& name) {
    auto& f = flows_.try_emplace(name, name).first->second;
    active_ += f.present_++ == 0 ? 1 : 0;
    ++waiting_;
    return f;
}

void flow_turns::give_up(flow& f) {
    --waiting_;
    forget(f);
}

void flow_turns::serve(flow& f, lane l, std::uint64_t bytes) {
    --waiting_;
    ++f.served_;
    auto& paid = f.paid_until_[index_of(l)];
    auto& now = now_[index_of(l)];
    now = std::max(now, paid);
    paid = now + fixed_cost + bytes;
}

void flow_turns::end(flow& f) {
    --f.served_;
    forget(f);
}

// When nobody waits, what was is of no account.
void flow_turns::forget(flow& f) {
    active_ -= --f.present_ == 0 ? 1 : 0;
    if (waiting_ > 0 && flows_.size() < most_flows) {
        return;
    }
    std::erase_if(flows_, [](const auto& each) { return each.second.present_ == 0; });
    if (waiting_ == 0) {
        now_ = {};
        for (auto& [name, each] : flows_) {
            each.paid_until_ = {};
        }
    }
}

std::pair<bool, std::uint64_t>
flow_turns::rank(const flow& f, lane l, unsigned places) const noexcept {
    const auto flows = std::max<std::size_t>(active_, 1);
    const auto share = (places + flows - 1) / flows;
    return {f.served_ >= share, std::max(f.paid_until_[index_of(l)], now_[index_of(l)])};
}

} // namespace firstlight
