#pragma once

#include "actors/deadline.h"
#include "actors/mailbox.h"
#include "cache/chunk_cache.h"
#include "cache/chunk_store.h"

#include <unordered_map>
#include <vector>

namespace firstlight {

/// One shard of the chunk cache: the only one who knows which of its chunks are
/// being brought.
///
/// Re-entrant, not serialised. The invariant across every co_await is that a key is
/// in `flights_` exactly while one ticket for it is out. Single-shard.
class chunk_owner {
public:
    chunk_owner(shard& home, chunk_store& store, cache_metrics& m);

    /// chunk_cache::lookup for keys that are all of this owner's.
    task<result<std::vector<lookup_answer>>> lookup(
      std::vector<chunk_key> keys, lane l, std::weak_ptr<cache_core> core,
      std::shared_ptr<const raise_listener> told);
    /// chunk_cache::wait; `stop` is requested on this shard.
    task<result<chunk_handle>> wait(chunk_key key, lane l, deadline until, std::stop_token stop);
    /// The end of a flight. Ignored when it has been ended already (by stop()).
    void land(const std::shared_ptr<flight_link>& link, result<chunk_handle> outcome);
    /// Fails the flights, refuses new calls and waits for the accepted ones.
    task<void> stop();

private:
    struct flight {
        std::shared_ptr<flight_link> link;
        std::optional<result<chunk_handle>> outcome;
        event landed;
        void raise(lane l);
    };
    task<void> check_all(const std::vector<chunk_key>& keys, lane l);
    lookup_answer answer(
      const chunk_key& key, lane l, const std::weak_ptr<cache_core>& core,
      const std::shared_ptr<const raise_listener>& told);
    void publish() noexcept;

    shard& home_;
    chunk_store& store_;
    cache_metrics& metrics_;
    mailbox calls_;
    mailbox waits_; // apart: hundreds may wait for the network while lookups go on
    bool stopping_ = false;
    std::unordered_map<chunk_key, std::shared_ptr<flight>> flights_;
};

} // namespace firstlight
