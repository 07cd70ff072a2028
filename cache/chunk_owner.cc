#include "cache/chunk_owner.h"

#include "cache/side_by_side.h"

#include <algorithm>

namespace firstlight {

namespace {

constexpr mailbox::limits lookups_at_once{1024, 256, 64};
// As many as FUSE requests may be in flight, and the lower lanes' batches.
constexpr mailbox::limits waits_at_once{16384, 4096, 4096};
constexpr std::chrono::seconds patience{5};
// Timers do not take deadline::never(): their clock would overflow.
constexpr std::chrono::hours longest_nap{1};

} // namespace

chunk_owner::chunk_owner(shard& home, chunk_store& store, cache_metrics& m)
  : home_(home)
  , store_(store)
  , metrics_(m)
  , calls_(lookups_at_once)
  , waits_(waits_at_once) {
}

void chunk_owner::flight::raise(lane l) {
    if (l >= link->urgency.load(std::memory_order_relaxed)) {
        return;
    }
    link->urgency.store(l, std::memory_order_relaxed); // the owner alone writes it
    if (link->listener) {
        (*link->listener)(link->key);
    }
}

task<result<std::vector<lookup_answer>>> chunk_owner::lookup(
  std::vector<chunk_key> keys, lane l, std::weak_ptr<cache_core> core,
  std::shared_ptr<const raise_listener> told) {
    auto slot = co_await calls_.admit(l, patience);
    if (!slot) {
        co_return slot.error().in("chunk cache lookup");
    }
    // Whatever waits comes first; from then on all is answered in one go, so that no
    // ticket lies about while others wait for it.
    co_await check_all(keys, l);
    if (stopping_) {
        co_return fault(errc::stopping, "chunk cache lookup");
    }
    std::vector<lookup_answer> answers;
    answers.reserve(keys.size());
    for (const auto& key : keys) {
        answers.push_back(answer(key, l, core, told));
    }
    publish();
    co_return answers;
}

task<void> chunk_owner::check_all(const std::vector<chunk_key>& keys, lane l) {
    std::vector<task<bool>> checks;
    for (const auto& key : keys) {
        if (store_.wants_check(key)) {
            checks.push_back([](chunk_store& s, chunk_key k, lane in) -> task<bool> {
                co_await s.check(k, in);
                co_return true;
            }(store_, key, l));
        }
    }
    if (!checks.empty()) {
        co_await side_by_side(std::move(checks));
    }
}

lookup_answer chunk_owner::answer(
  const chunk_key& key, lane l, const std::weak_ptr<cache_core>& core,
  const std::shared_ptr<const raise_listener>& told) {
    if (auto held = store_.find(key)) {
        (held->location() ? metrics_.disk_hits : metrics_.memory_hits).add();
        return lookup_answer(std::move(held));
    }
    if (const auto busy = flights_.find(key); busy != flights_.end()) {
        busy->second->raise(l);
        metrics_.joins.add();
        return lookup_answer();
    }
    auto fresh = std::make_shared<flight>();
    fresh->link = std::make_shared<flight_link>(core, key, l, told);
    flights_.emplace(key, fresh);
    metrics_.misses.add();
    return lookup_answer(fill_ticket(fresh->link));
}

task<result<chunk_handle>>
chunk_owner::wait(chunk_key key, lane l, deadline until, std::stop_token stop) {
    auto slot = co_await waits_.admit(l, std::chrono::milliseconds(0));
    if (!slot) {
        co_return slot.error().in("wait for chunk " + key.id().to_string());
    }
    const auto busy = flights_.find(key);
    if (busy == flights_.end()) {
        if (auto held = store_.find(key)) { // it has landed on our way here
            co_return held;
        }
        co_return fault(
          errc::unavailable,
          "chunk " + key.id().to_string() + ": its flight has ended, look it up again");
    }
    const auto joined = busy->second; // keep it alive past its erasure
    joined->raise(l);
    while (!joined->outcome) {
        if (stop.stop_requested()) {
            co_return fault(
              errc::interrupted, "nobody waits for chunk " + key.id().to_string() + " any more");
        }
        const auto left = until.left();
        if (left == left.zero()) {
            co_return fault(
              errc::timed_out, "chunk " + key.id().to_string() + " did not come in time");
        }
        const auto nap = std::min<deadline::clock::duration>(left, longest_nap);
        co_await joined->landed.wait_for(nap, stop);
    }
    co_return *joined->outcome;
}

void chunk_owner::land(const std::shared_ptr<flight_link>& link, result<chunk_handle> outcome) {
    const auto busy = flights_.find(link->key);
    if (busy == flights_.end() || busy->second->link != link) {
        return;
    }
    const auto landed = busy->second;
    flights_.erase(busy);
    landed->outcome = std::move(outcome);
    landed->landed.notify_all(); // the readers first; then the disk
    if (landed->outcome->has_value()) {
        store_.keep(
          link->key.id(), landed->outcome->value(), link->urgency.load(std::memory_order_relaxed));
    }
    publish();
}

task<void> chunk_owner::stop() {
    stopping_ = true;
    auto all = std::exchange(flights_, {});
    for (auto& [key, f] : all) {
        f->outcome = fault(errc::stopping, "the chunk cache is stopping");
        f->landed.notify_all();
    }
    publish();
    co_await waits_.close();
    co_await calls_.close();
}

void chunk_owner::publish() noexcept {
    metrics_.of(home_.id()).flights.store(flights_.size(), std::memory_order_relaxed);
}

} // namespace firstlight
