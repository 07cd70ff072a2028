#pragma once

#include "actors/lane.h"
#include "actors/result.h"
#include "cache/chunk_key.h"

#include <atomic>
#include <functional>
#include <memory>

namespace firstlight {

class cache_core;

/// Told when somebody more urgent has joined a flight, so that its filler need not look
/// again and again. Called on the owner's shard; must neither wait nor throw.
using raise_listener = std::function<void(const chunk_key&)>;

/// What a flight's owner and its filler share.
///
/// `urgency` is the one thing that both shards touch: like a stop_token it only
/// ever moves one way (towards demand), is written by the owner alone, and is a
/// hint to the filler; so a relaxed atomic is all it needs.
struct flight_link {
    flight_link(
      std::weak_ptr<cache_core> cache, const chunk_key& k, lane l,
      std::shared_ptr<const raise_listener> told) noexcept
      : core(std::move(cache))
      , key(k)
      , listener(std::move(told))
      , urgency(l) {}
    const std::weak_ptr<cache_core> core;
    const chunk_key key;
    const std::shared_ptr<const raise_listener> listener; // may be null
    std::atomic<lane> urgency;
};

/// The duty to bring one missing chunk: held by exactly one of all who asked for
/// it. Ends in chunk_cache::fulfil or abandon; one that is dropped abandons by
/// itself, so that nobody waits for ever. Move-only; any thread.
class [[nodiscard]] fill_ticket {
public:
    fill_ticket() noexcept = default; // empty
    explicit fill_ticket(std::shared_ptr<flight_link> link) noexcept
      : link_(std::move(link)) {}
    fill_ticket(fill_ticket&&) noexcept = default;
    fill_ticket& operator=(fill_ticket&& o) noexcept;
    ~fill_ticket();

    explicit operator bool() const noexcept { return link_ != nullptr; }
    const chunk_key& key() const noexcept { return link_->key; }
    /// The best lane among those who wait. Read it anew at each slice: it rises
    /// when a more urgent reader joins.
    lane urgency() const noexcept { return link_->urgency.load(std::memory_order_relaxed); }

    /// For chunk_cache: takes the duty away.
    std::shared_ptr<flight_link> release() noexcept { return std::move(link_); }

private:
    std::shared_ptr<flight_link> link_;
};

} // namespace firstlight
