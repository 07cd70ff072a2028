#include "cache/chunk_store.h"

#include "actors/log.h"
#include "cache/side_by_side.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

namespace firstlight {

// A verification on its way, and everyone who waits for it. Whoever comes with a
// better lane queues it once more there; the attempt that is run first does it.
struct chunk_store::checking {
    digest id;
    stored what;
    lane best = lane::background;
    std::atomic<bool> taken{false}; // by an attempt, in the pool
    bool over = false;
    event done;
};

namespace {

constexpr std::size_t check_step = 256 << 10;

enum class verdict { good, damaged, unreadable, another };

struct inspection {
    verdict v = verdict::another;
    partition_disk::pack_file file;
};

// Streams, so that a thread needs a quarter of a mebibyte whatever the chunk's size.
verdict inspect(const backing_file& file, std::uint64_t at, std::uint64_t size, const digest& id) {
    buffer step(std::min<std::uint64_t>(size, check_step));
    hasher sum;
    while (size > 0) {
        const auto wanted = std::min<std::uint64_t>(size, step.size());
        const auto n = ::pread(file.fd(), step.data(), wanted, static_cast<off_t>(at));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return verdict::damaged; // EIO, or the pack is shorter than it was
        }
        sum.update(step.span().first(static_cast<std::size_t>(n)));
        at += static_cast<std::uint64_t>(n);
        size -= static_cast<std::uint64_t>(n);
    }
    return sum.finish() == id ? verdict::good : verdict::damaged;
}

} // namespace

chunk_store::chunk_store(runtime& rt, shard& home, cache_metrics& m, settings s, unpinner unpin)
  : runtime_(rt)
  , home_(home)
  , metrics_(m)
  , settings_(s)
  , unpin_(std::move(unpin))
  , tasks_(home)
  , unsaved_(s.memory) {
}

chunk_store::~chunk_store() = default;

void chunk_store::add_partition(unsigned number, std::string directory) {
    partitions_[number] =
      std::make_unique<partition>(std::move(directory), number, settings_.pack_bytes);
}

task<result<void>> chunk_store::start() {
    std::vector<task<result<partition_disk::found>>> recoveries;
    std::vector<unsigned> numbers;
    for (unsigned n = 0; n < partition_count; ++n) {
        if (partitions_[n]) {
            auto recover = [disk = &partitions_[n]->disk] { return disk->recover(); };
            recoveries.push_back(runtime_.io().run(lane::demand, std::move(recover)));
            numbers.push_back(n);
        }
    }
    auto outcomes = co_await side_by_side(std::move(recoveries));
    std::vector<partition_disk::found> all;
    for (auto& o : outcomes) {
        if (!o) {
            co_return o.error();
        }
        all.push_back(std::move(*o));
    }
    // Nobody else knows this store yet, so another thread may fill it: sorting and
    // indexing hundreds of thousands of records is no work for a shard.
    auto fill = [this, &all, &numbers]() -> result<void> {
        adopt(all, numbers);
        return {};
    };
    auto filled = co_await runtime_.cpu().run(lane::demand, std::move(fill));
    if (!filled) {
        co_return filled;
    }
    publish();
    tasks_.spawn("chunk store", lane::prefetch, [this](const std::stop_token&) { return serve(); });
    co_return result<void>();
}

void chunk_store::adopt(
  const std::vector<partition_disk::found>& all, const std::vector<unsigned>& numbers) {
    std::vector<const journal_record*> records;
    for (std::size_t i = 0; i < all.size(); ++i) {
        auto& p = *partitions_[numbers[i]];
        metrics_.damaged.add(all[i].damaged);
        p.journal_records = all[i].journal_records;
        p.live = all[i].live.size();
        for (const auto& r : all[i].live) {
            pack_space::place at;
            at.pack = r.pack;
            at.offset = r.offset;
            p.space.adopt(at, r.size);
            records.push_back(&r);
        }
        for (const auto& [pack, end] : all[i].pack_ends) {
            p.space.resume(pack, end);
        }
    }
    // The partitions' journals, merged by age: that is the order of use to start with.
    std::stable_sort(records.begin(), records.end(), [](const auto* a, const auto* b) {
        return a->stored_at < b->stored_at;
    });
    for (const auto* r : records) {
        const auto known = index_.find(r->id);
        if (known != index::none || partitions_[partition_of(r->id)] == nullptr) {
            continue;
        }
        stored s;
        s.offset = r->offset;
        s.size = r->size;
        s.pack = r->pack;
        s.stored_at = r->stored_at;
        index_.insert(r->id, std::move(s));
    }
}

task<void> chunk_store::stop() {
    stopping_ = true;
    work_.notify_all();
    co_await tasks_.stop();
}

chunk_handle chunk_store::find(const chunk_key& key) {
    if (auto held = unsaved_.find(key.id()); held && held->size() == key.size()) {
        return held;
    }
    const auto s = index_.find(key.id());
    if (s == index::none || index_.value(s).size != key.size()) {
        return nullptr;
    }
    if (index_.value(s).handle) {
        index_.touch(s);
    }
    return index_.value(s).handle;
}

bool chunk_store::wants_check(const chunk_key& key) const noexcept {
    const auto s = index_.find(key.id());
    return s != index::none && !index_.value(s).handle && index_.value(s).size == key.size();
}

task<void> chunk_store::check(chunk_key key, lane l) {
    const auto s = index_.find(key.id());
    if (s == index::none || index_.value(s).handle) {
        co_return;
    }
    auto& known = checks_[key.id()];
    const bool first = known == nullptr;
    if (first) {
        known = std::make_shared<checking>();
        known->id = key.id();
        known->what = index_.value(s);
    }
    const auto mine = known;
    if (first || l < mine->best) {
        mine->best = l;
        tasks_.spawn("verify a chunk", l, [this, mine, l](const std::stop_token&) {
            return try_check(mine, l);
        });
    }
    while (!mine->over) {
        co_await mine->done.wait();
    }
}

task<void> chunk_store::try_check(std::shared_ptr<checking> c, lane l) {
    auto& p = home_of(c->id);
    const auto open = p.files.find(c->what.pack);
    auto file = open == p.files.end() ? nullptr : open->second;
    auto inspect_it = [c, file, disk = &p.disk]() -> result<inspection> {
        inspection seen;
        if (c->taken.exchange(true)) {
            return seen;
        }
        seen.file = file;
        if (!seen.file) {
            auto opened = disk->open_pack(c->what.pack, false);
            if (!opened) {
                seen.v =
                  opened.error().code() == errc::not_found ? verdict::damaged : verdict::unreadable;
                return seen;
            }
            seen.file = *opened;
        }
        seen.v = inspect(*seen.file, c->what.offset, c->what.size, c->id);
        return seen;
    };
    const auto seen = co_await runtime_.io().run(l, std::move(inspect_it));
    if (seen && seen->v == verdict::another) {
        co_return; // that attempt concludes
    }
    const auto s = index_.find(c->id);
    if (seen && seen->v == verdict::good) {
        conclude(c, seen->file);
    } else if (seen && seen->v == verdict::damaged && s != index::none) {
        drop_damaged(s);
    }
    checks_.erase(c->id);
    c->over = true;
    c->done.notify_all();
}

void chunk_store::conclude(const std::shared_ptr<checking>& c, const pack_file& file) {
    const auto s = index_.find(c->id); // what is being checked is never evicted
    if (s == index::none) {
        return;
    }
    auto& entry = index_.value(s);
    chunk_location where(install(home_of(c->id), entry.pack, file), entry.offset);
    entry.handle = std::make_shared<const chunk>(std::move(where), entry.size);
    metrics_.verified.add();
}

chunk_store::pack_file
chunk_store::install(partition& p, std::uint32_t pack, const pack_file& file) {
    return p.files.try_emplace(pack, file).first->second;
}

void chunk_store::drop_damaged(index::slot s) {
    const auto& entry = index_.value(s);
    const auto id = index_.key(s);
    metrics_.damaged.add();
    log::error(
      "a chunk on disk is damaged; it will be fetched again", {{"digest", id.to_string()},
                                                               {"partition", partition_of(id)},
                                                               {"pack", entry.pack},
                                                               {"offset", entry.offset},
                                                               {"size", entry.size}});
    rubbish_.push_back(throw_away(s));
    publish();
    work_.notify_all();
}

void chunk_store::keep(const digest& id, chunk_handle content, lane l) {
    if (content->size() == 0 || content->size() > UINT32_MAX) {
        return;
    }
    if (const auto s = index_.find(id); s != index::none) {
        const auto& entry = index_.value(s);
        if (entry.size == content->size() || entry.handle || checks_.contains(id)) {
            return; // stored already, or soon known to be
        }
        drop_damaged(s); // verified content of another size: what is on disk is not it
    }
    unsaved_chunks::item i;
    i.id = id;
    i.content = std::move(content);
    i.urgency = l;
    metrics_.not_stored.add(unsaved_.add(std::move(i)));
    publish();
    work_.notify_all();
}

std::uint64_t chunk_store::allocated() const noexcept {
    std::uint64_t sum = 0;
    for (const auto& p : partitions_) {
        sum += p ? p->space.allocated() : 0;
    }
    return sum;
}

void chunk_store::publish() noexcept {
    auto& g = metrics_.of(home_.id());
    g.bytes.store(allocated(), std::memory_order_relaxed);
    g.chunks.store(index_.size(), std::memory_order_relaxed);
    g.memory_bytes.store(unsaved_.bytes(), std::memory_order_relaxed);
}

} // namespace firstlight
