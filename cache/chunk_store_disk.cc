// The disk's coroutine of chunk_store: writing, eviction, tidying, one step at a time.
#include "cache/chunk_store.h"

#include "actors/log.h"
#include "actors/slice.h"

#include <algorithm>
#include <atomic>
#include <ctime>
#include <map>

namespace firstlight {

namespace {

// A batch is what one trip to the pool writes: short, so that demand's next batch
// does not wait long behind background's.
constexpr std::uint64_t batch_bytes = 1 << 20;
constexpr std::size_t batch_count = 32;
constexpr std::size_t victims_at_once = 64;
constexpr std::chrono::seconds longest_rest{60};
constexpr std::chrono::seconds eviction_rest{1};
constexpr std::chrono::seconds tidy_rest{30};
constexpr std::uint64_t history_allowed = 4096; // journal records beyond twice the live ones

constexpr std::uint64_t high_water(std::uint64_t limit) noexcept {
    return limit - limit / 20;
}
constexpr std::uint64_t low_water(std::uint64_t limit) noexcept {
    return limit - limit / 10;
}

std::uint32_t now_in_seconds() noexcept {
    return static_cast<std::uint32_t>(std::time(nullptr));
}

} // namespace

struct chunk_store::write_order {
    unsaved_chunks::item content;
    pack_space::place at;
    std::uint32_t stored_at = 0;
    partition_disk* disk = nullptr;
    unsigned partition = 0;
    pack_file file;

    journal_record record() const {
        journal_record r;
        r.id = content.id;
        r.offset = at.offset;
        r.size = static_cast<std::uint32_t>(content.content->size());
        r.pack = at.pack;
        r.stored_at = stored_at;
        return r;
    }
};

task<void> chunk_store::serve() {
    while (true) {
        const auto now = clock::now();
        if (!rubbish_.empty()) {
            auto all = std::exchange(rubbish_, {});
            co_await bury(std::move(all));
        } else if (allocated() > high_water(settings_.limit) && now >= evict_at_) {
            co_await evict(low_water(settings_.limit));
        } else if (co_await tidy()) {
            continue;
        } else if (!unsaved_.empty() && now >= store_at_) {
            co_await write_some();
        } else if (stopping_) {
            co_return;
        } else {
            co_await work_.wait_for(nap());
        }
        publish();
    }
}

chunk_store::clock::duration chunk_store::nap() const noexcept {
    const auto now = clock::now();
    auto until = now + longest_rest;
    for (const auto t : {store_at_, evict_at_}) {
        until = t > now ? std::min(until, t) : until;
    }
    return until - now;
}

// --- writing -----------------------------------------------------------------

namespace {

// Writes in order; stops at the first failure.
template <class Order>
result<std::vector<partition_disk::pack_file>>
write_orders(std::vector<Order>& orders, std::optional<fault>& failure) {
    std::map<std::pair<unsigned, std::uint32_t>, partition_disk::pack_file> opened;
    std::vector<partition_disk::pack_file> files;
    for (auto& o : orders) {
        auto& file = opened[{o.partition, o.at.pack}];
        file = o.file ? o.file : file;
        if (!file) {
            auto made = o.disk->open_pack(o.at.pack, true);
            if (!made) {
                failure = made.error();
                break;
            }
            file = *made;
        }
        auto written = o.disk->store(*file, o.record(), o.content.content->memory());
        if (!written) {
            failure = written.error();
            break;
        }
        files.push_back(file);
    }
    return files;
}

} // namespace

task<void> chunk_store::write_some() {
    auto batch = unsaved_.take(batch_bytes, batch_count);
    std::uint64_t need = 0;
    for (const auto& i : batch) {
        need += round_up(i.content->size());
    }
    const auto limit = settings_.limit;
    if (allocated() + need > limit && need <= limit && clock::now() >= evict_at_) {
        co_await evict(limit - need);
    }
    auto orders = place(batch);
    if (orders.empty()) {
        co_return;
    }
    const auto l = orders.front().content.urgency;
    std::optional<fault> failure;
    auto write = [&orders, &failure] { return write_orders(orders, failure); };
    auto written = co_await runtime_.io().run(l, std::move(write));
    std::size_t count = 0;
    if (written) {
        for (; count < written->size(); ++count) {
            orders[count].file = (*written)[count];
        }
    } else {
        failure = written.error();
    }
    settle(orders, count);
    if (failure) {
        rest_after(*failure);
    } else if (disk_refuses_) {
        disk_refuses_ = false;
        store_rest_ = {};
        log::info("the chunk cache's disk takes writes again");
    }
}

// Gives each its place; lets go of what is stored already or finds no room.
std::vector<chunk_store::write_order> chunk_store::place(std::vector<unsaved_chunks::item>& batch) {
    std::vector<write_order> orders;
    for (auto& i : batch) {
        const bool known = index_.find(i.id) != index::none;
        const bool fits = allocated() + round_up(i.content->size()) <= settings_.limit;
        if (known || !fits) {
            metrics_.not_stored.add(known ? 0 : 1);
            unsaved_.done(i);
            continue;
        }
        auto& p = home_of(i.id);
        write_order o;
        o.at = p.space.put(i.content->size());
        o.stored_at = now_in_seconds();
        o.disk = &p.disk;
        o.partition = partition_of(i.id);
        const auto open = p.files.find(o.at.pack);
        o.file = open == p.files.end() ? nullptr : open->second;
        o.content = std::move(i);
        orders.push_back(std::move(o));
    }
    return orders;
}

// The first `written` are on disk now; the others wait for another attempt.
void chunk_store::settle(std::vector<write_order>& orders, std::size_t written) {
    for (std::size_t i = 0; i < orders.size(); ++i) {
        auto& o = orders[i];
        auto& p = *partitions_[o.partition];
        const auto r = o.record();
        if (i >= written) {
            rubbish failed;
            failed.partition = o.partition;
            failed.record = r;
            failed.recorded = false;
            failed.hole = p.space.release(o.at, r.size);
            rubbish_.push_back(failed);
            metrics_.not_stored.add(unsaved_.put_back(std::move(o.content)));
            continue;
        }
        stored s;
        s.offset = r.offset;
        s.size = r.size;
        s.pack = r.pack;
        s.stored_at = r.stored_at;
        chunk_location where(install(p, r.pack, o.file), r.offset);
        s.handle = std::make_shared<const chunk>(std::move(where), r.size);
        index_.insert(r.id, std::move(s));
        ++p.live;
        ++p.journal_records;
        unsaved_.done(o.content);
        metrics_.stored.add();
        metrics_.stored_bytes.add(r.size);
    }
}

void chunk_store::rest_after(const fault& why) {
    metrics_.write_failures.add();
    store_rest_ = disk_refuses_ ? std::min<clock::duration>(store_rest_ * 2, longest_rest)
                                : clock::duration(settings_.retry);
    store_at_ = clock::now() + store_rest_;
    if (!disk_refuses_) {
        log::warn(
          "cannot store chunks; reads go on uncached and storing is tried again later",
          {{"error", why.context()}, {"kind", to_string(why.code())}});
    }
    disk_refuses_ = true;
}

// --- eviction ----------------------------------------------------------------

task<void> chunk_store::evict(std::uint64_t target) {
    // Twice over all: the first look may only take away a second chance.
    auto looks = 2 * static_cast<std::uint64_t>(index_.size());
    while (allocated() > target) {
        auto ids = co_await victims(allocated() - target, looks);
        if (ids.empty()) { // the rest is held, or cannot be freed
            evict_at_ = clock::now() + eviction_rest;
            co_return;
        }
        metrics_.evictions.add(co_await discard(std::move(ids)));
    }
}

// The oldest that were not used since they were last looked at; about `bytes` of them.
task<std::vector<digest>> chunk_store::victims(std::uint64_t bytes, std::uint64_t& looks) {
    std::vector<digest> ids;
    std::uint64_t found = 0;
    slice_clock turn;
    while (looks > 0 && ids.size() < victims_at_once && found < bytes) {
        --looks;
        const auto s = index_.oldest();
        if (s == index::none) {
            break;
        }
        const auto& entry = index_.value(s);
        const bool spared =
          checks_.contains(index_.key(s)) || (entry.handle && entry.handle->take_used());
        index_.touch(s); // looked at: behind all others, if it survives
        if (!spared) {
            ids.push_back(index_.key(s));
            found += entry.size;
        }
        if (turn.over()) {
            co_await yield();
            turn.restart();
        }
    }
    co_return ids;
}

// Evicts those of `ids` that nobody but tables and this store holds.
task<std::size_t> chunk_store::discard(std::vector<digest> ids) {
    const bool pinned = std::any_of(ids.begin(), ids.end(), [this](const digest& id) {
        const auto s = index_.find(id);
        return s != index::none && index_.value(s).handle.use_count() > 1;
    });
    if (pinned) {
        co_await unpin_(ids);
    }
    // The last reader's reads came before it let go; now so do the punches after this.
    std::vector<rubbish> all;
    for (const auto& id : ids) {
        if (condemn(id)) {
            all.push_back(throw_away(index_.find(id)));
            metrics_.evicted_bytes.add(all.back().record.size);
        }
    }
    const auto count = all.size();
    if (count > 0) {
        co_await bury(std::move(all));
    }
    co_return count;
}

// Only the store hands out what it alone holds, so a count of one stays one.
bool chunk_store::condemn(const digest& id) {
    const auto s = index_.find(id);
    if (s == index::none || checks_.contains(id) || index_.value(s).handle.use_count() > 1) {
        return false;
    }
    std::atomic_thread_fence(std::memory_order_acquire);
    return true;
}

// Out of the index: nobody finds it any more. Its bytes are still to be freed.
chunk_store::rubbish chunk_store::throw_away(index::slot s) {
    const auto& entry = index_.value(s);
    rubbish r;
    r.record.id = index_.key(s);
    r.record.offset = entry.offset;
    r.record.size = entry.size;
    r.record.pack = entry.pack;
    r.partition = partition_of(r.record.id);
    pack_space::place at;
    at.pack = entry.pack;
    at.offset = entry.offset;
    auto& p = *partitions_[r.partition];
    r.hole = p.space.release(at, entry.size);
    --p.live;
    index_.erase(s);
    return r;
}

// All that one trip to the pool frees in one partition.
struct chunk_store::burial {
    partition* where = nullptr;
    std::vector<journal_record> records;
    std::vector<std::pair<pack_space::hole, pack_file>> holes;
    std::vector<std::uint32_t> dead;
    // The outcome.
    bool recorded = false;
    std::vector<pack_space::hole> punched;

    void carry_out() {
        recorded = !records.empty() && where->disk.erase(records).has_value();
        for (const auto& [hole, known] : holes) {
            auto file = known;
            if (!file) {
                auto opened = where->disk.open_pack(hole.pack, false);
                file = opened ? *opened : nullptr;
            }
            if (file && partition_disk::punch(*file, hole)) {
                punched.push_back(hole);
            }
        }
        for (const auto pack : dead) {
            if (auto removed = where->disk.remove_pack(pack); !removed) {
                log::warn("cannot remove a pack", {{"error", removed.error().context()}});
            }
        }
    }
};

task<void> chunk_store::bury(std::vector<rubbish> all) {
    std::map<unsigned, burial> graves;
    for (auto& r : all) {
        auto& g = graves[r.partition];
        g.where = partitions_[r.partition].get();
        if (r.recorded) {
            g.records.push_back(r.record);
        }
        if (r.hole) {
            const auto open = g.where->files.find(r.hole->pack);
            g.holes.emplace_back(*r.hole, open == g.where->files.end() ? nullptr : open->second);
        }
    }
    for (auto& [number, g] : graves) {
        g.dead = g.where->space.take_dead();
        for (const auto pack : g.dead) {
            g.where->files.erase(pack);
            std::erase_if(g.holes, [pack](const auto& h) { return h.first.pack == pack; });
        }
    }
    auto dig = [&graves]() -> result<void> {
        for (auto& [number, g] : graves) {
            g.carry_out();
        }
        return {};
    };
    const auto done = co_await runtime_.io().run(lane::prefetch, std::move(dig));
    (void)done; // a pool that has stopped leaves it to the next start
    for (auto& [number, g] : graves) {
        g.where->journal_records += g.recorded ? g.records.size() : 0;
        for (const auto& h : g.punched) {
            g.where->space.punched(h);
        }
    }
}

// --- tidying -----------------------------------------------------------------

// One thing that has got out of hand, if there is one.
task<bool> chunk_store::tidy() {
    for (unsigned n = 0; n < partition_count; ++n) {
        auto* p = partitions_[n].get();
        if (!p || clock::now() < p->tidy_at) {
            continue;
        }
        const auto sparse = p->space.sparsest();
        if (sparse && p->space.packs() > settings_.packs_per_partition) {
            co_await retire(*p, n, *sparse);
            co_return true;
        }
        if (p->journal_records > 2 * p->live + history_allowed) {
            co_await compact(*p, n);
            co_return true;
        }
    }
    co_return false;
}

// Evicts the little that keeps a pack, and with it a file and a descriptor, alive.
task<void> chunk_store::retire(partition& p, unsigned number, std::uint32_t pack) {
    const auto before = p.space.packs();
    std::vector<digest> ids;
    slice_clock turn;
    for (index::slot s = 0; s < index_.slots(); ++s) {
        if (
          index_.live(s) && index_.value(s).pack == pack && partition_of(index_.key(s)) == number) {
            ids.push_back(index_.key(s));
        }
        if (turn.over()) {
            co_await yield();
            turn.restart();
        }
    }
    metrics_.evictions.add(co_await discard(std::move(ids)));
    if (p.space.packs() >= before) {
        p.tidy_at = clock::now() + tidy_rest; // somebody holds a part of it
    }
}

task<void> chunk_store::compact(partition& p, unsigned number) {
    std::vector<journal_record> live;
    slice_clock turn;
    for (index::slot s = 0; s < index_.slots(); ++s) {
        if (index_.live(s) && partition_of(index_.key(s)) == number) {
            const auto& entry = index_.value(s);
            journal_record r;
            r.id = index_.key(s);
            r.offset = entry.offset;
            r.size = entry.size;
            r.pack = entry.pack;
            r.stored_at = entry.stored_at;
            live.push_back(r);
        }
        if (turn.over()) {
            co_await yield();
            turn.restart();
        }
    }
    auto rewrite = [disk = &p.disk, &live] { return disk->compact(live); };
    const auto done = co_await runtime_.io().run(lane::background, std::move(rewrite));
    if (done) {
        p.journal_records = live.size();
    } else {
        p.tidy_at = clock::now() + tidy_rest;
    }
}

} // namespace firstlight
