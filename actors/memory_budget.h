#pragma once

#include "actors/event.h"
#include "actors/lane.h"
#include "actors/shard.h"

#include <cstdint>
#include <functional>
#include <list>
#include <utility>

namespace firstlight {

/// The bytes that buffers in flight on one shard may take, of all lanes together. A part
/// is kept for demand, and one for demand and prefetch, so that at the limit the lower
/// lanes stop first.
///
/// Who asks for more than his lane may ever have gets it when nothing else is taken:
/// otherwise he would wait for ever. Within a lane it is first come, first served.
///
/// Single-shard; outlives its holds and waiters.
class memory_budget {
public:
    /// `bytes`: of the shard.
    explicit memory_budget(std::uint64_t bytes) noexcept;
    memory_budget(const memory_budget&) = delete;
    memory_budget& operator=(const memory_budget&) = delete;

    class hold;

    /// Waits until `bytes` may be used. `urgency` is asked at each look: who is raised
    /// need not wait in his old lane.
    task<hold> take(std::uint64_t bytes, std::function<lane()> urgency);
    /// Somebody who waits may have been raised.
    void look_again();

    std::uint64_t used() const noexcept { return used_; }
    std::size_t waiting() const noexcept { return queue_.size(); }

private:
    struct waiter;
    bool admits(std::uint64_t bytes, lane l) const noexcept;
    void give_back(std::uint64_t bytes);

    const per_lane<std::uint64_t> limits_;
    std::uint64_t used_ = 0;
    std::list<waiter*> queue_; // in order of arrival
};

/// Bytes of a budget in use. Move-only; gives them back when it goes.
class [[nodiscard]] memory_budget::hold {
public:
    hold() noexcept = default; // of nothing
    hold(memory_budget& of, std::uint64_t bytes) noexcept
      : of_(&of)
      , bytes_(bytes) {}
    hold(hold&& o) noexcept
      : of_(std::exchange(o.of_, nullptr))
      , bytes_(std::exchange(o.bytes_, 0)) {}
    hold& operator=(hold&& o) noexcept {
        std::swap(of_, o.of_);
        std::swap(bytes_, o.bytes_);
        return *this;
    }
    ~hold() {
        if (of_) {
            of_->give_back(bytes_);
        }
    }

    std::uint64_t bytes() const noexcept { return bytes_; }

private:
    memory_budget* of_ = nullptr;
    std::uint64_t bytes_ = 0;
};

} // namespace firstlight
