#pragma once

#include "actors/event.h"
#include "actors/shard.h"

#include <functional>
#include <stop_token>
#include <string>

namespace firstlight {

/// Owns the tasks that an actor starts and does not await. Each is logged when
/// it fails, and all end with their owner: stop() asks them to, and waits.
///
/// Single-shard. Destroying one with tasks running asserts.
class background_tasks {
public:
    using body = std::function<task<void>(std::stop_token)>;

    explicit background_tasks(shard& home) noexcept
      : home_(home) {}
    ~background_tasks();
    background_tasks(const background_tasks&) = delete;
    background_tasks& operator=(const background_tasks&) = delete;

    /// Runs `work` on this shard in lane `l`. `name` is for its failure's log
    /// line. After stop() it does nothing.
    void spawn(std::string name, lane l, body work);

    /// Requests the stop token of every task and waits until all have returned.
    task<void> stop();
    /// The same, for a caller on another shard.
    task<void> stop_from_elsewhere();

    std::size_t running() const noexcept { return running_; }
    std::stop_token token() const noexcept { return source_.get_token(); }

private:
    task<void> run(std::string name, body work);

    shard& home_;
    std::stop_source source_;
    std::size_t running_ = 0;
    event drained_;
};

} // namespace firstlight
