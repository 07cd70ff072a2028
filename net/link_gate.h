#pragma once

#include "actors/background.h"
#include "actors/deadline.h"
#include "actors/result.h"
#include "actors/shard.h"
#include "net/link_share.h"
#include "net/request_lane.h"

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
};

/// The one link_share of the process, on `home`. Gates tell it what they read and
/// whether a process waits; it tells them whether the lower lanes may run free.
///
/// Shared by all gates, and by messages on their way. Single-shard but for the
/// constructor, home() and background_is_limited().
class link_keeper : public std::enable_shared_from_this<link_keeper> {
public:
    /// `background_limit`: bytes a second for the background lane; 0: none.
    link_keeper(shard& home, std::uint64_t background_limit) noexcept;
    /// After all streams have ended.
    task<void> stop() { return tasks_.stop(); }

    shard& home() noexcept { return home_; }
    bool background_is_limited() const noexcept { return background_limit_ > 0; }

    void add(std::shared_ptr<link_view> view);
    void remove(const std::shared_ptr<link_view>& view);
    void demand(bool began);
    void received(const per_lane<std::uint64_t>& bytes);
    /// Waits until lane `l` may read `bytes`, but not for long: false means to ask again.
    task<result<bool>> admit(lane l, std::uint64_t bytes);

private:
    void tell();
    void look_again();
    link_share::clock::time_point next_turn(lane l) const noexcept;
    bool try_admit(lane l, std::uint64_t bytes);

    shard& home_;
    const std::uint64_t background_limit_;
    link_share share_;
    link_share::clock::time_point background_free_at_{};
    unsigned prefetch_waiting_ = 0;
    unsigned prefetch_in_a_row_ = 0;
    bool told_paced_ = false;
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

    /// Marks a response that a process waits for, for as long as it lives.
    class demand_mark;

    /// Returns when a stream of lane `l` may read `bytes`. While it waits it looks at
    /// `l` again and again: demand never waits. stopping; timed_out at `d`.
    task<result<void>> pass(request_lane l, std::uint64_t bytes, deadline d, std::stop_token stop);
    /// `bytes` have been read.
    void received(lane l, std::uint64_t bytes);

    /// Whether a stream of lane `l` must pass() before it reads.
    bool must_ask(lane l) const noexcept {
        const bool limited = l == lane::background && keeper_->background_is_limited();
        return l != lane::demand && (view_->paced || limited);
    }
    /// Whether the lower lanes must wait for their turns.
    bool paced() const noexcept { return view_->paced; }

private:
    void demand(bool began);
    void flush();

    const std::shared_ptr<link_keeper> keeper_;
    const std::shared_ptr<link_view> view_;
    unsigned demand_here_ = 0;
    per_lane<std::uint64_t> unreported_{};
    link_share::clock::time_point reported_{};
};

class link_gate::demand_mark {
public:
    demand_mark() noexcept = default;
    explicit demand_mark(link_gate& at);
    demand_mark(demand_mark&& other) noexcept
      : at_(std::exchange(other.at_, nullptr)) {}
    demand_mark& operator=(demand_mark&& other) noexcept {
        std::swap(at_, other.at_);
        return *this;
    }
    ~demand_mark();
    explicit operator bool() const noexcept { return at_ != nullptr; }

private:
    link_gate* at_ = nullptr;
};

} // namespace firstlight
