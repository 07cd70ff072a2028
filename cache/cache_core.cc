#include "cache/cache_core.h"

#include "actors/call.h"
#include "actors/log.h"
#include "cache/side_by_side.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace firstlight {

namespace {

constexpr std::uint64_t default_limit = 20ULL << 30;
constexpr std::uint64_t default_pack = 256ULL << 20;

chunk_cache_options completed(chunk_cache_options o) {
    if (o.max_bytes == 0) {
        o.max_bytes = default_limit;
    }
    if (o.pack_bytes == 0) {
        o.pack_bytes = std::max(default_pack, o.max_bytes / partition_count / 4);
    }
    return o;
}

unsigned partitions_of(unsigned shard, unsigned shards) noexcept {
    return shard < partition_count ? (partition_count - shard + shards - 1) / shards : 0;
}

} // namespace

cache_core::part::part(cache_core& core, shard& home)
  : table(core.options.handles_per_shard)
  , store(
      core.shards, home, core.counters, core.settings_of(home.id()),
      [&core](std::vector<digest> ids) { return core.unpin(std::move(ids)); })
  , owner(home, store, core.counters) {
}

cache_core::cache_core(runtime& rt, metrics& m, chunk_cache_options o)
  : shards(rt)
  , options(completed(std::move(o)))
  , counters(m, rt.size(), options.max_bytes) {
    const auto directory = (options.directory / "chunks").string();
    for (unsigned id = 0; id < shards.size(); ++id) {
        parts_.push_back(std::make_unique<part>(*this, shards.at(id)));
    }
    for (unsigned n = 0; n < partition_count; ++n) {
        char name[8];
        std::snprintf(name, sizeof name, "/%02x", n);
        parts_[n % shards.size()]->store.add_partition(n, directory + name);
    }
}

chunk_store::settings cache_core::settings_of(unsigned shard) const noexcept {
    chunk_store::settings s;
    const auto share = options.max_bytes / partition_count;
    s.limit = share * partitions_of(shard, shards.size());
    s.memory = options.memory_bytes / shards.size();
    s.pack_bytes = options.pack_bytes;
    const auto needed = (share + options.pack_bytes - 1) / options.pack_bytes;
    s.packs_per_partition = 2 * needed + 2; // holes and the current one
    s.retry = options.store_retry;
    return s;
}

cache_core::part* cache_core::here() noexcept {
    const auto* s = shard::current();
    return s && s->id() < parts_.size() ? parts_[s->id()].get() : nullptr;
}

// --- start and stop ----------------------------------------------------------

result<void> cache_core::take_directory() {
    const auto directory = options.directory / "chunks";
    std::error_code failed;
    std::filesystem::create_directories(options.directory, failed);
    if (failed) {
        return errno_fault(failed.value(), "create " + options.directory.string());
    }
    if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
        return errno_fault(errno, "create " + directory.string());
    }
    const auto path = (directory / "lock").string();
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return errno_fault(errno, "open " + path);
    }
    auto lock = std::make_unique<backing_file>(fd, path);
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) {
            return errno_fault(errno, "lock " + path);
        }
        return fault(
          errc::failed_precondition, directory.string() +
                                       " is in use by another process (it holds " + path +
                                       "): stop that one, or configure another cache directory");
    }
    lock_ = std::move(lock);
    return {};
}

task<result<void>> cache_core::start() {
    const auto began = std::chrono::steady_clock::now();
    auto take = [this] { return take_directory(); };
    auto taken = co_await shards.io().run(lane::demand, std::move(take));
    if (!taken) {
        co_return taken.error().in("chunk cache");
    }
    std::vector<task<result<void>>> starts;
    for (unsigned id = 0; id < shards.size(); ++id) {
        auto begin = [p = parts_[id].get()] { return p->store.start(); };
        starts.push_back(call_on(shards.at(id), lane::demand, std::move(begin)));
    }
    const auto outcomes = co_await side_by_side(std::move(starts));
    for (const auto& o : outcomes) {
        if (!o) {
            co_return o.error().in("chunk cache");
        }
    }
    const auto took = std::chrono::steady_clock::now() - began;
    log::info(
      "chunk cache open",
      {{"directory", options.directory.string()},
       {"chunks", counters.sum(&cache_gauges::chunks)},
       {"bytes", counters.sum(&cache_gauges::bytes)},
       {"limit", options.max_bytes},
       {"milliseconds", std::chrono::duration_cast<std::chrono::milliseconds>(took).count()}});
    co_return result<void>();
}

namespace {

task<result<void>> stop_part(cache_core::part& p) {
    co_await p.owner.stop();
    co_await p.store.stop();
    co_return result<void>();
}

task<result<void>> drop_handles(cache_core::part& p, std::vector<digest> ids) {
    p.table.drop(ids);
    co_return result<void>();
}

} // namespace

task<void> cache_core::stop() {
    std::vector<task<result<void>>> stops;
    for (unsigned id = 0; id < shards.size(); ++id) {
        auto end = [p = parts_[id].get()] { return stop_part(*p); };
        stops.push_back(call_on(shards.at(id), lane::demand, std::move(end)));
    }
    co_await side_by_side(std::move(stops));
    lock_.reset();
}

// --- lookups and flights -----------------------------------------------------

task<result<std::vector<lookup_answer>>>
cache_core::ask(unsigned owner, std::vector<chunk_key> keys, lane l, told_ptr told) {
    auto& o = parts_[owner]->owner;
    auto core = weak_from_this();
    if (shards.at(owner).is_current()) {
        co_return co_await o.lookup(std::move(keys), l, std::move(core), std::move(told));
    }
    auto there = [&o, keys = std::move(keys), l, core = std::move(core), told = std::move(told)] {
        return o.lookup(keys, l, core, told);
    };
    co_return co_await call_on(shards.at(owner), l, std::move(there));
}

task<result<std::vector<lookup_answer>>>
cache_core::gather(std::vector<chunk_key> keys, lane l, told_ptr told) {
    // The keys of each owner involved, and where their answers belong.
    std::vector<unsigned> owners;
    std::vector<std::vector<chunk_key>> parts(shards.size());
    std::vector<std::vector<std::size_t>> places(shards.size());
    for (std::size_t i = 0; i < keys.size(); ++i) {
        const auto o = owner_of(keys[i].id());
        if (parts[o].empty()) {
            owners.push_back(o);
        }
        parts[o].push_back(keys[i]);
        places[o].push_back(i);
    }
    std::vector<task<result<std::vector<lookup_answer>>>> questions;
    for (const auto o : owners) {
        questions.push_back(ask(o, std::move(parts[o]), l, told));
    }
    auto outcomes = co_await side_by_side(std::move(questions));
    std::vector<lookup_answer> answers(keys.size());
    for (std::size_t n = 0; n < owners.size(); ++n) {
        if (!outcomes[n]) {
            co_return outcomes[n].error();
        }
        for (std::size_t i = 0; i < outcomes[n]->size(); ++i) {
            answers[places[owners[n]][i]] = std::move((*outcomes[n])[i]);
        }
    }
    co_return answers;
}

task<result<std::vector<lookup_answer>>>
cache_core::lookup(std::vector<chunk_key> keys, lane l, told_ptr told) {
    if (keys.empty()) {
        co_return std::vector<lookup_answer>();
    }
    const auto owner = owner_of(keys.front().id());
    const bool one = std::all_of(
      keys.begin(), keys.end(), [&](const chunk_key& k) { return owner_of(k.id()) == owner; });
    auto asked = one ? ask(owner, keys, l, told) : gather(keys, l, told); // the next line starts it
    auto answers = co_await std::move(asked);
    auto* mine = here();
    if (answers && mine) {
        for (std::size_t i = 0; i < keys.size(); ++i) {
            const auto& held = (*answers)[i].handle();
            if (held && held->location()) {
                mine->table.put(keys[i].id(), held);
            }
        }
    }
    co_return answers;
}

task<result<chunk_handle>>
cache_core::wait(chunk_key key, lane l, deadline until, std::stop_token stop) {
    const auto owner = owner_of(key.id());
    auto& o = parts_[owner]->owner;
    auto& home = shards.at(owner);
    if (home.is_current()) {
        co_return co_await o.wait(key, l, until, std::move(stop));
    }
    // What waits there is stopped there: the request follows the call as a message.
    const std::stop_source stop_there;
    std::stop_callback pass_on(stop, [&home, l, stop_there] {
        asio::post(home.on(l), [s = stop_there]() mutable { s.request_stop(); });
    });
    auto there = [&o, key, l, until, token = stop_there.get_token()] {
        return o.wait(key, l, until, token);
    };
    co_return co_await call_on(home, l, std::move(there));
}

void cache_core::land(std::shared_ptr<flight_link> link, result<chunk_handle> outcome) {
    const auto owner = owner_of(link->key.id());
    const auto l = link->urgency.load(std::memory_order_relaxed);
    auto arrive = [core = shared_from_this(), owner, link = std::move(link),
                   outcome = std::move(outcome)]() mutable {
        core->parts_[owner]->owner.land(link, std::move(outcome));
    };
    asio::post(shards.at(owner).on(l), std::move(arrive));
}

task<void> cache_core::unpin(std::vector<digest> ids) {
    std::vector<task<result<void>>> drops;
    for (unsigned id = 0; id < shards.size(); ++id) {
        auto drop = [p = parts_[id].get(), ids] { return drop_handles(*p, ids); };
        drops.push_back(call_on(shards.at(id), lane::prefetch, std::move(drop)));
    }
    co_await side_by_side(std::move(drops));
}

} // namespace firstlight
