#pragma once

#include "actors/result.h"
#include "cache/chunk.h"
#include "cache/journal.h"
#include "cache/pack_space.h"

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace firstlight {

inline constexpr unsigned partition_count = 64;

/// The partition of a chunk: fixed for good, whatever the number of shards.
inline unsigned partition_of(const digest& id) noexcept {
    return static_cast<unsigned>(id.bytes()[0]) % partition_count;
}

/// The files of one partition: its journal, and the calls on its packs. All of it
/// blocks, so it runs in runtime.io(); one call at a time, except open_pack().
///
/// Files are 0600, directories 0700. Nothing is fsynced. The data of a record are
/// written before the record, the record of an erasure before its hole is punched:
/// whenever the process dies, a record names either content or a damaged chunk that
/// its first verification finds.
class partition_disk {
public:
    using pack_file = std::shared_ptr<const backing_file>;

    partition_disk(std::string directory, unsigned number);
    ~partition_disk();
    partition_disk(const partition_disk&) = delete;
    partition_disk& operator=(const partition_disk&) = delete;

    struct found {
        std::vector<journal_record> live; // in the order stored
        std::vector<std::pair<std::uint32_t, std::uint64_t>> pack_ends;
        std::uint64_t damaged = 0; // records dropped, or 1 for a journal that was
        std::uint64_t journal_records = 0;
    };
    /// Opens or makes the partition. Drops what is torn, damaged or contradictory,
    /// removes packs and frees bytes that no record names, and rewrites a journal
    /// that is mostly history. Errors: io_error, no_space, when the directory cannot
    /// be used at all.
    result<found> recover();

    /// The pack, made when missing if `create`.
    result<pack_file> open_pack(std::uint32_t pack, bool create) const;
    /// Writes content to its place and then its record (whose sequence is set here).
    result<void> store(const backing_file& pack, journal_record r, std::span<const std::byte> data);
    /// Records that these are gone.
    result<void> erase(std::span<const journal_record> gone);
    static result<void> punch(const backing_file& pack, const pack_space::hole& h);
    result<void> remove_pack(std::uint32_t pack) const;
    /// Replaces the journal by one that says just this.
    result<void> compact(std::span<const journal_record> live);

private:
    struct directory_content;
    result<directory_content> list() const;
    result<journal_content> load();
    std::uint64_t drop_contradictions(journal_content& j, const directory_content& dir) const;
    result<void> append(std::span<const std::byte> records);
    result<void> open_journal();
    std::string pack_path(std::uint32_t pack) const;
    std::string journal_path() const { return directory_ + "/journal"; }

    const std::string directory_;
    const unsigned number_;
    std::unique_ptr<backing_file> journal_;
    std::uint64_t end_ = 0; // bytes of the journal that count; 0: none yet
    std::uint64_t sequence_ = 0;
};

} // namespace firstlight
