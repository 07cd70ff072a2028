#include "net/link_gate.h"

#include "actors/call.h"

#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <cmath>

namespace firstlight {

namespace {

using clock = link_share::clock;
using std::chrono::milliseconds;

// The longest that a stream waits before it asks again.
constexpr milliseconds turn{5};
constexpr milliseconds least_wait{1};
// How often it is looked whether demand is over.
constexpr milliseconds look{50};
// Reports are sent for this many bytes, or after this long.
constexpr std::uint64_t report_bytes = 256 << 10;
constexpr milliseconds report_after{10};
// A rate that differs by less is the same.
constexpr double rate_noise = 0.1;
// Of the product of rate and round trip: for the pauses between requests.
constexpr double more_than_enough = 1.5;
constexpr std::size_t least_window = 64 << 10;
constexpr std::size_t paced_window = 1 << 20;
constexpr std::size_t largest_window = 8 << 20;

} // namespace

link_keeper::link_keeper(shard& home, std::uint64_t background_limit)
  : home_(home)
  , background_limit_(background_limit)
  , tasks_(home) {
}

void link_keeper::add(const std::shared_ptr<link_view>& view) {
    views_.push_back(view);
    told_rate_ = -1; // so that it is told, too
    tell();
}

void link_keeper::remove(const std::shared_ptr<link_view>& view) {
    std::erase(views_, view);
}

void link_keeper::demand(bool began) {
    if (began) {
        share_.demand_began(clock::now());
    } else {
        share_.demand_ended(clock::now());
    }
    tell();
}

void link_keeper::received(const per_lane<std::uint64_t>& bytes) {
    const auto now = clock::now();
    for (const auto l : {lane::demand, lane::prefetch, lane::background}) {
        share_.received(l, bytes[index_of(l)], now);
    }
    tell();
}

void link_keeper::answered(clock::duration queued, clock::duration nearest) {
    share_.answered(queued, nearest, clock::now());
}

void link_keeper::tell() {
    const bool paced = share_.paced(clock::now());
    const double rate = paced ? share_.pace() : share_.rate();
    if (paced && !looking_) {
        look_again();
    }
    const bool same_rate = std::abs(rate - told_rate_) <= rate_noise * told_rate_;
    if (paced == told_paced_ && same_rate) {
        return;
    }
    told_paced_ = paced;
    told_rate_ = rate;
    const auto shards = static_cast<unsigned>(views_.size());
    for (const auto& v : views_) {
        asio::post(v->home.on(lane::demand), [v, paced, rate, shards] {
            v->paced = paced;
            v->rate = rate;
            v->shards = shards;
        });
    }
}

// Only time ends the pace, and nobody else tells of it.
void link_keeper::look_again() {
    looking_ = true;
    auto look_later = [self = shared_from_this()](std::stop_token stop) -> task<void> {
        (void)co_await sleep_for(look, stop);
        self->looking_ = false;
        if (!stop.stop_requested()) {
            self->tell();
        }
    };
    tasks_.spawn("look whether demand is over", lane::demand, std::move(look_later));
}

bool link_keeper::try_admit(std::uint64_t bytes) {
    const auto now = clock::now();
    if (background_free_at_ > now || !share_.admit(bytes, now)) {
        return false;
    }
    if (background_limit_ > 0) {
        const std::chrono::duration<double> takes(
          static_cast<double>(bytes) / static_cast<double>(background_limit_));
        background_free_at_ = std::max(background_free_at_, now - turn) +
                              std::chrono::duration_cast<clock::duration>(takes);
    }
    return true;
}

task<result<clock::duration>> link_keeper::admit(std::uint64_t bytes) {
    if (try_admit(bytes)) {
        co_return clock::duration::zero();
    }
    const auto left = std::max(share_.next_admission(), background_free_at_) - clock::now();
    co_return std::clamp<clock::duration>(left, least_wait, turn);
}

link_gate::link_gate(shard& home, std::shared_ptr<link_keeper> keeper)
  : keeper_(std::move(keeper))
  , view_(std::make_shared<link_view>(home)) {
    asio::post(keeper_->home().on(lane::demand), [k = keeper_, v = view_] { k->add(v); });
}

link_gate::~link_gate() {
    asio::post(keeper_->home().on(lane::demand), [k = keeper_, v = view_] { k->remove(v); });
}

void link_gate::enter(lane l) {
    if (++streams_[index_of(l)] == 1 && l == lane::demand) {
        view_->paced = true; // the keeper says the same, a hop later
        tell_demand(true);
    }
}

void link_gate::leave(lane l) {
    if (--streams_[index_of(l)] == 0 && l == lane::demand) {
        tell_demand(false);
    }
}

void link_gate::tell_demand(bool began) {
    flush();
    asio::post(keeper_->home().on(lane::demand), [k = keeper_, began] { k->demand(began); });
}

std::size_t link_gate::window(std::chrono::steady_clock::duration round_trip) const noexcept {
    const auto lower = streams_[index_of(lane::background)];
    const double trip = std::chrono::duration<double>(round_trip).count();
    // Other shards have about as many.
    const double streams = std::max(1U, lower) * view_->shards;
    const double each = more_than_enough * view_->rate * trip / streams;
    const double most = view_->paced ? paced_window : largest_window;
    return static_cast<std::size_t>(std::clamp<double>(each, least_window, most));
}

task<result<void>>
link_gate::pass(request_lane l, std::uint64_t bytes, deadline d, std::stop_token stop) {
    while (must_ask(l.get())) {
        if (stop.stop_requested()) {
            co_return fault(errc::stopping, "while the background waits for its turn");
        }
        if (d.expired()) {
            co_return fault(errc::timed_out, "while the background waits for its turn");
        }
        auto ask = [keeper = keeper_, bytes] { return keeper->admit(bytes); };
        auto admitted = co_await call_on(keeper_->home(), lane::demand, std::move(ask));
        if (!admitted) {
            co_return admitted.error();
        }
        if (*admitted == clock::duration::zero()) {
            break;
        }
        co_await raised_.wait_for(*admitted, stop);
    }
    co_return result<void>();
}

void link_gate::received(lane l, std::uint64_t bytes) {
    unreported_[index_of(l)] += bytes;
    const auto all = unreported_[0] + unreported_[1] + unreported_[2];
    if (all >= report_bytes || clock::now() - reported_ >= report_after) {
        flush();
    }
}

void link_gate::answered(clock::duration queued, clock::duration nearest) {
    round_trip_ = nearest;
    if (view_->paced) {
        asio::post(keeper_->home().on(lane::demand), [k = keeper_, queued, nearest] {
            k->answered(queued, nearest);
        });
    }
}

void link_gate::flush() {
    reported_ = clock::now();
    const auto bytes = std::exchange(unreported_, {});
    asio::post(keeper_->home().on(lane::demand), [k = keeper_, bytes] { k->received(bytes); });
}

} // namespace firstlight
