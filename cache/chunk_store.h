#pragma once

#include "actors/background.h"
#include "actors/event.h"
#include "actors/runtime.h"
#include "cache/cache_metrics.h"
#include "cache/chunk_key.h"
#include "cache/lru_map.h"
#include "cache/partition_disk.h"
#include "cache/unsaved_chunks.h"

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

namespace firstlight {

/// What one shard has of its chunks, on disk and on the way there.
///
/// Whatever changes the disk (writing, eviction, tidying) is done by one coroutine,
/// step by step in the io pool, so neither two writers nor a writer and an eviction
/// ever meet. Single-shard.
class chunk_store {
public:
    struct settings {
        std::uint64_t limit = 0;  // bytes on disk
        std::uint64_t memory = 0; // bytes not on disk
        std::uint64_t pack_bytes = 0;
        std::size_t packs_per_partition = 0;
        std::chrono::milliseconds retry{1000};
    };
    /// Makes every shard's handle table let go of these.
    using unpinner = std::function<task<void>(std::vector<digest>)>;

    chunk_store(runtime& rt, shard& home, cache_metrics& m, settings s, unpinner unpin);
    ~chunk_store();
    chunk_store(const chunk_store&) = delete;
    chunk_store& operator=(const chunk_store&) = delete;

    /// Before start().
    void add_partition(unsigned number, std::string directory);
    /// Recovers the partitions, side by side, and starts to write and evict.
    task<result<void>> start();
    /// Writes what is unsaved, unless the disk refuses, and ends.
    task<void> stop();

    /// A chunk that can be read at once, in memory or verified on disk; counts as a
    /// use. Null: not here, or to be verified.
    chunk_handle find(const chunk_key& key);
    bool wants_check(const chunk_key& key) const noexcept;
    /// Verifies a chunk left by an earlier process, in runtime.io(). Afterwards it is
    /// found, or is gone, or (no file descriptor to be had) still wants its check.
    task<void> check(chunk_key key, lane l);
    /// Takes content that has just been verified; stores it when its turn comes.
    void keep(const digest& id, chunk_handle content, lane l);

private:
    using clock = std::chrono::steady_clock;
    using pack_file = partition_disk::pack_file;

    // A chunk on disk. Verified if and only if it has a handle.
    struct stored {
        std::uint64_t offset = 0;
        std::uint32_t size = 0;
        std::uint32_t pack = 0;
        std::uint32_t stored_at = 0;
        chunk_handle handle;
    };
    using index = lru_map<stored>;

    struct partition {
        partition(std::string directory, unsigned number, std::uint64_t pack_bytes)
          : disk(std::move(directory), number)
          , space(pack_bytes) {}
        partition_disk disk;
        pack_space space;
        std::unordered_map<std::uint32_t, pack_file> files; // opened so far
        std::uint64_t live = 0;
        std::uint64_t journal_records = 0;
        clock::time_point tidy_at{}; // not before
    };

    // Bytes to be freed: of a chunk that was on disk, or of a failed write.
    struct rubbish {
        unsigned partition = 0;
        journal_record record;
        bool recorded = true;
        std::optional<pack_space::hole> hole;
    };
    struct checking;
    struct write_order;
    struct burial;

    // chunk_store.cc
    task<void> try_check(std::shared_ptr<checking> c, lane l);
    void conclude(const std::shared_ptr<checking>& c, const pack_file& file);
    void drop_damaged(index::slot s);
    void adopt(const std::vector<partition_disk::found>& all, const std::vector<unsigned>& numbers);
    partition& home_of(const digest& id) noexcept { return *partitions_[partition_of(id)]; }
    pack_file install(partition& p, std::uint32_t pack, const pack_file& file);
    std::uint64_t allocated() const noexcept;
    void publish() noexcept;

    // chunk_store_disk.cc: the disk's coroutine
    task<void> serve();
    task<bool> tidy();
    clock::duration nap() const noexcept;
    task<void> write_some();
    std::vector<write_order> place(std::vector<unsaved_chunks::item>& batch);
    void settle(std::vector<write_order>& orders, std::size_t written);
    void rest_after(const fault& why);
    task<void> evict(std::uint64_t target);
    task<std::vector<digest>> victims(std::uint64_t bytes, std::uint64_t& looks);
    task<std::size_t> discard(std::vector<digest> ids);
    bool condemn(const digest& id);
    rubbish throw_away(index::slot s);
    task<void> bury(std::vector<rubbish> all);
    task<void> retire(partition& p, unsigned number, std::uint32_t pack);
    task<void> compact(partition& p, unsigned number);

    runtime& runtime_;
    shard& home_;
    cache_metrics& metrics_;
    const settings settings_;
    const unpinner unpin_;
    background_tasks tasks_;
    std::array<std::unique_ptr<partition>, partition_count> partitions_;
    index index_;
    unsaved_chunks unsaved_;
    std::unordered_map<digest, std::shared_ptr<checking>> checks_;
    std::vector<rubbish> rubbish_;
    event work_;
    bool stopping_ = false;
    bool disk_refuses_ = false;
    clock::duration store_rest_{};
    clock::time_point store_at_{}; // no write before
    clock::time_point evict_at_{}; // no eviction before
};

} // namespace firstlight
