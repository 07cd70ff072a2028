#include "cache/chunk_cache.h"

#include "cache/cache_core.h"

#include <cassert>

namespace firstlight {

chunk_cache::chunk_cache(runtime& shards, metrics& m, chunk_cache_options o)
  : core_(std::make_shared<cache_core>(shards, m, std::move(o))) {
}

chunk_cache::~chunk_cache() = default;

task<result<void>> chunk_cache::start() {
    return core_->start();
}

task<void> chunk_cache::stop() {
    return core_->stop();
}

chunk_handle chunk_cache::find_here(const digest& id) noexcept {
    auto* mine = core_->here();
    const auto* held = mine ? mine->table.find(id) : nullptr;
    if (!held) {
        return nullptr;
    }
    (*held)->mark_used();
    core_->counters.table_hits.add();
    return *held;
}

chunk_handle chunk_cache::find_here(const chunk_key& key) noexcept {
    auto held = find_here(key.id());
    return held && held->size() == key.size() ? held : nullptr;
}

task<result<std::vector<lookup_answer>>> chunk_cache::lookup(
  std::vector<chunk_key> keys, lane l, std::shared_ptr<const raise_listener> told) {
    return core_->lookup(std::move(keys), l, std::move(told));
}

task<result<chunk_handle>>
chunk_cache::wait(chunk_key key, lane l, deadline until, std::stop_token stop) {
    return core_->wait(key, l, until, std::move(stop));
}

result<chunk_handle> chunk_cache::fulfil(fill_ticket ticket, buffer content) {
    assert(ticket && "a ticket ends once");
    const auto& key = ticket.key();
    if (content.size() != key.size()) {
        auto why = fault(
          errc::corrupt, "chunk " + key.id().to_string() + " has " +
                           std::to_string(content.size()) + " bytes, not " +
                           std::to_string(key.size()));
        abandon(std::move(ticket), why);
        return why;
    }
    assert(digest::of(content.span()) == key.id() && "content must be verified");
    auto held = std::make_shared<const chunk>(std::make_shared<const buffer>(std::move(content)));
    core_->land(ticket.release(), chunk_handle(held));
    return chunk_handle(std::move(held));
}

void chunk_cache::abandon(fill_ticket ticket, fault why) {
    assert(ticket && "a ticket ends once");
    core_->land(ticket.release(), std::move(why));
}

shard& chunk_cache::owner_of(const digest& id) noexcept {
    return core_->shards.at(core_->owner_of(id));
}

chunk_cache::usage_snapshot chunk_cache::usage() const noexcept {
    usage_snapshot u;
    u.bytes = core_->counters.sum(&cache_gauges::bytes);
    u.chunks = core_->counters.sum(&cache_gauges::chunks);
    u.memory_bytes = core_->counters.sum(&cache_gauges::memory_bytes);
    u.flights = core_->counters.sum(&cache_gauges::flights);
    u.limit = core_->options.max_bytes;
    return u;
}

} // namespace firstlight
