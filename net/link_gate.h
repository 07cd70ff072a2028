#pragma once

#include "actors/background.h"
#include "actors/deadline.h"
#include "actors/event.h"
#include "actors/result.h"
#include "actors/shard.h"
#include "net/link_share.h"
#include "net/request_lane.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <utility>
#include <vector>

namespace firstlight {

/// What a gate's shard knows of the link. Touched on that shard only.
struct link_view {
    explicit link_view(shard& h) noexcept
      : home(h) {}
    shard& home;
    bool paced = false;
    double rate = 0;     // bytes a second that the background may have; 0: not known yet
    unsigned shards = 1; // that share it
};

/// The one link_share of the process, on `home`. Gates tell it what they read and
/// whether a process waits; it tells them whether the background may run free.
///
/// Shared by all gates, and by messages on their way. Single-shard but for the
/// constructor, home() and background_is_limited().
class link_keeper : public std::enable_shared_from_this<link_keeper> {
public:
    /// `background_limit`: bytes a second for the background lane; 0: none.
    link_keeper(shard& home, std::uint64_t background_limit);
    /// After all streams have ended.
    task<void> stop() { return tasks_.stop(); }

    shard& home() noexcept { return home_; }
    bool background_is_limited() const noexcept { return background_limit_ > 0; }

    void add(const std::shared_ptr<link_view>& view);
    void remove(const std::shared_ptr<link_view>& view);
    void demand(bool began);
    void received(const per_lane<std::uint64_t>& bytes);
    void answered(link_share::clock::duration queued, link_share::clock::duration nearest);
    /// Whether the background may read `bytes` now: if not, how long to wait before the
    /// next try, which is never long; 0: it may.
    task<result<link_share::clock::duration>> admit(std::uint64_t bytes);

private:
    void tell();
    void look_again();
    bool try_admit(std::uint64_t bytes);

    shard& home_;
    const std::uint64_t background_limit_;
    link_share share_;
    link_share::clock::time_point background_free_at_{};
    bool told_paced_ = false;
    double told_rate_ = 0;
    bool looking_ = false;
    std::vector<std::shared_ptr<link_view>> views_;
    background_tasks tasks_;
};

/// What a shard's streams pass before they read from a socket.
///
/// Single-shard.
class link_gate {
public:
    link_gate(shard& home, std::shared_ptr<link_keeper> keeper);
    ~link_gate();
    link_gate(const link_gate&) = delete;
    link_gate& operator=(const link_gate&) = delete;

    /// A stream that is open, and its lane.
    class stream_mark;

    /// Returns when a stream of lane `l` may read `bytes`, or has been raised (see
    /// look_again()). stopping; timed_out at `d`.
    task<result<void>> pass(request_lane l, std::uint64_t bytes, deadline d, std::stop_token stop);
    /// A stream has been raised: if it waits in pass(), it waits no more.
    void look_again() noexcept { raised_.notify_all(); }
    /// `bytes` have been read.
    void received(lane l, std::uint64_t bytes);
    /// A request has been answered, `queued` later than the `nearest` that its server took.
    void answered(link_share::clock::duration queued, link_share::clock::duration nearest);

    /// Whether a stream of lane `l` must pass() before it reads. What is prefetched is
    /// mostly what a waiting process reads next, so only the background has to.
    bool must_ask(lane l) const noexcept {
        return l == lane::background && (view_->paced || keeper_->background_is_limited());
    }
    /// What may be under way to a stream of the background, bytes, whose server is
    /// `round_trip` away: all of them together keep the link busy, and queue up little
    /// in front of the first answer that a process will wait for.
    std::size_t window(std::chrono::steady_clock::duration round_trip) const noexcept;
    /// What the background asks for at once while it is paced, bytes.
    std::size_t request() const noexcept { return window(round_trip_); }

private:
    void enter(lane l);
    void leave(lane l);
    void tell_demand(bool began);
    void flush();

    const std::shared_ptr<link_keeper> keeper_;
    const std::shared_ptr<link_view> view_;
    event raised_;
    per_lane<unsigned> streams_{};
    per_lane<std::uint64_t> unreported_{};
    link_share::clock::time_point reported_{};
    link_share::clock::duration round_trip_{}; // of the server that answered last
};

class link_gate::stream_mark {
public:
    stream_mark(link_gate& at, lane l)
      : at_(at)
      , now_(l) {
        at_.enter(now_);
    }
    ~stream_mark() { at_.leave(now_); }
    stream_mark(const stream_mark&) = delete;
    stream_mark& operator=(const stream_mark&) = delete;

    /// The stream has become more or less urgent.
    void follow(lane l) {
        if (l != now_) {
            at_.enter(l);
            at_.leave(now_);
            now_ = l;
        }
    }

private:
    link_gate& at_;
    lane now_;
};

} // namespace firstlight
