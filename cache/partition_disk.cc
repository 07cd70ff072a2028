#include "cache/partition_disk.h"

#include "actors/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>

namespace firstlight {

namespace {

// A journal is rewritten when this much of it is history.
constexpr std::uint64_t history_allowed = 1024;
// 16 million records: more than any budget gives a partition; a longer file is damaged.
constexpr std::uint64_t longest_journal = 1ULL << 30;
// Above this many blocks a pack is not one of ours.
constexpr std::uint64_t longest_pack = 1ULL << 30;
// What a failed append may have left behind can never be believed later: the
// sequence jumps past it.
constexpr std::uint64_t sequence_jump = 1U << 20;

result<void> write_all(int fd, std::span<const std::byte> data, std::uint64_t at) {
    while (!data.empty()) {
        const auto n = ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(at));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return errno_fault(n < 0 ? errno : ENOSPC, "write");
        }
        at += static_cast<std::uint64_t>(n);
        data = data.subspan(static_cast<std::size_t>(n));
    }
    return {};
}

result<buffer> read_all(int fd, std::uint64_t size, const std::string& name) {
    buffer all(size);
    std::size_t have = 0;
    while (have < size) {
        const auto n = ::pread(fd, all.data() + have, size - have, static_cast<off_t>(have));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return errno_fault(n < 0 ? errno : EIO, "read " + name);
        }
        have += static_cast<std::size_t>(n);
    }
    return all;
}

// "0000002a.pack"
std::string pack_name(std::uint32_t pack) {
    char name[16];
    std::snprintf(name, sizeof name, "%08x.pack", pack);
    return name;
}

std::optional<std::uint32_t> pack_of(const std::string& name) {
    unsigned pack = 0;
    if (std::sscanf(name.c_str(), "%8x.pack", &pack) == 1 && pack_name(pack) == name) {
        return pack;
    }
    return std::nullopt;
}

// Which blocks of a pack are spoken for.
class block_map {
public:
    explicit block_map(std::uint64_t bytes)
      : owned_(round_up(bytes) / block_size)
      , shared_(owned_.size()) {}

    // False when it contradicts what was claimed before, or the rules of pack_space.
    bool claim(const journal_record& r) {
        const auto first = r.offset / block_size;
        const auto count = (r.offset % block_size + r.size + block_size - 1) / block_size;
        const bool small = r.size < block_size;
        if (r.size == 0 || (small ? count != 1 : r.offset % block_size != 0)) {
            return false;
        }
        for (auto b = first; b < first + count; ++b) {
            if (b >= owned_.size() || owned_[b] || (!small && shared_[b])) {
                return false;
            }
        }
        for (auto b = first; b < first + count; ++b) {
            (small ? shared_ : owned_)[b] = true;
        }
        return true;
    }

    bool used(std::uint64_t block) const { return owned_[block] || shared_[block]; }
    std::uint64_t blocks() const noexcept { return owned_.size(); }
    std::uint64_t used_blocks() const {
        std::uint64_t n = 0;
        for (std::uint64_t b = 0; b < blocks(); ++b) {
            n += used(b) ? 1 : 0;
        }
        return n;
    }
    // Where the last used block ends, in bytes.
    std::uint64_t end() const {
        auto b = blocks();
        while (b > 0 && !used(b - 1)) {
            --b;
        }
        return b * block_size;
    }

private:
    std::vector<bool> owned_;
    std::vector<bool> shared_;
};

// Frees what no record names: the tail, and holes that were to be punched.
void free_leftovers(const backing_file& pack, const block_map& map, const struct stat& st) {
    const auto end = map.end();
    if (
      static_cast<std::uint64_t>(st.st_size) > end &&
      ::ftruncate(pack.fd(), static_cast<off_t>(end)) != 0) {
        log::warn(
          "cannot cut the tail of a pack",
          {{"pack", pack.name()}, {"error", std::strerror(errno)}});
    }
    if (static_cast<std::uint64_t>(st.st_blocks) * 512 <= map.used_blocks() * block_size) {
        return;
    }
    for (std::uint64_t b = 0, last = end / block_size; b < last;) {
        auto stop = b;
        while (stop < last && !map.used(stop)) {
            ++stop;
        }
        if (stop > b) {
            pack_space::hole h;
            h.offset = b * block_size;
            h.length = (stop - b) * block_size;
            if (!partition_disk::punch(pack, h)) {
                return; // the file system cannot; the space comes back with the pack
            }
        }
        b = stop + 1;
    }
}

} // namespace

struct partition_disk::directory_content {
    std::map<std::uint32_t, struct stat> packs;
};

partition_disk::partition_disk(std::string directory, unsigned number)
  : directory_(std::move(directory))
  , number_(number) {
}

partition_disk::~partition_disk() = default;

std::string partition_disk::pack_path(std::uint32_t pack) const {
    return directory_ + "/" + pack_name(pack);
}

result<partition_disk::directory_content> partition_disk::list() const {
    if (::mkdir(directory_.c_str(), 0700) != 0 && errno != EEXIST) {
        return errno_fault(errno, "mkdir " + directory_);
    }
    const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(directory_.c_str()), ::closedir);
    if (!dir) {
        return errno_fault(errno, "open directory " + directory_);
    }
    directory_content found;
    while (const auto* entry = ::readdir(dir.get())) {
        const std::string name = entry->d_name;
        const auto pack = pack_of(name);
        struct stat st{};
        if (pack && ::fstatat(::dirfd(dir.get()), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) {
            found.packs.emplace(*pack, st);
        }
        if (name == "journal.new") { // a compaction that did not live to its rename
            ::unlinkat(::dirfd(dir.get()), name.c_str(), 0);
        }
    }
    return found;
}

result<void> partition_disk::open_journal() {
    const auto path = journal_path();
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return errno_fault(errno, "open " + path);
    }
    journal_ = std::make_unique<backing_file>(fd, path);
    return {};
}

// Leaves no journal open when there is nothing in it to keep.
result<journal_content> partition_disk::load() {
    struct stat st{};
    if (::stat(journal_path().c_str(), &st) != 0 && errno == ENOENT) {
        journal_content none;
        none.readable = true;
        return none;
    }
    if (auto opened = open_journal(); !opened) {
        return opened.error();
    }
    if (::fstat(journal_->fd(), &st) != 0) {
        return errno_fault(errno, "stat " + journal_->name());
    }
    const auto size = static_cast<std::uint64_t>(st.st_size);
    if (size == 0) { // made, and killed before its header
        journal_content none;
        none.readable = true;
        return none;
    }
    if (size > longest_journal) {
        return journal_content();
    }
    const auto all = read_all(journal_->fd(), size, journal_->name());
    if (!all) {
        log::error("cannot read a journal", {{"error", all.error().context()}});
        return journal_content();
    }
    auto content = read_journal(all->span(), number_);
    if (
      content.readable && size > content.end &&
      ::ftruncate(journal_->fd(), static_cast<off_t>(content.end)) != 0) {
        return errno_fault(errno, "truncate " + journal_->name());
    }
    return content;
}

// Newest first, so that of two records for the same bytes the later one stays.
std::uint64_t
partition_disk::drop_contradictions(journal_content& j, const directory_content& dir) const {
    std::map<std::uint32_t, block_map> maps;
    for (const auto& [id, st] : dir.packs) {
        const auto size = static_cast<std::uint64_t>(st.st_size);
        if (S_ISREG(st.st_mode) && size / block_size < longest_pack) {
            maps.emplace(id, block_map(size));
        }
    }
    std::vector<journal_record> good;
    good.reserve(j.live.size());
    for (auto r = j.live.rbegin(); r != j.live.rend(); ++r) {
        const auto map = maps.find(r->pack);
        const bool inside =
          map != maps.end() &&
          r->offset + r->size <= static_cast<std::uint64_t>(dir.packs.at(r->pack).st_size);
        if (partition_of(r->id) == number_ && inside && map->second.claim(*r)) {
            good.push_back(*r);
        }
    }
    const auto dropped = j.live.size() - good.size();
    std::reverse(good.begin(), good.end());
    j.live = std::move(good);
    for (const auto& [id, map] : maps) {
        if (map.end() == 0) {
            if (auto removed = remove_pack(id); !removed) {
                log::warn("cannot remove an empty pack", {{"error", removed.error().context()}});
            }
        } else if (auto file = open_pack(id, false)) {
            free_leftovers(**file, map, dir.packs.at(id));
        }
    }
    return dropped;
}

result<partition_disk::found> partition_disk::recover() {
    auto dir = list();
    if (!dir) {
        return dir.error();
    }
    auto journal = load();
    if (!journal) {
        return journal.error();
    }
    found all;
    if (!journal->readable) {
        log::error(
          "a journal of the chunk cache is damaged; its partition starts empty",
          {{"journal", journal_path()}});
        all.damaged = 1;
        journal_.reset();
        if (::unlink(journal_path().c_str()) != 0) {
            return errno_fault(errno, "remove " + journal_path());
        }
    }
    end_ = journal->end;
    sequence_ = journal->last_sequence;
    all.damaged += drop_contradictions(*journal, *dir) + journal->bad_records;
    all.journal_records = journal->records;
    all.pack_ends = std::move(journal->pack_ends);
    all.live = std::move(journal->live);
    if (journal->bad_records > 0 || journal->records > all.live.size() * 5 / 4 + history_allowed) {
        if (auto done = compact(all.live)) {
            all.journal_records = all.live.size();
        } // else the old one still serves
    }
    return all;
}

result<partition_disk::pack_file> partition_disk::open_pack(std::uint32_t pack, bool create) const {
    auto path = pack_path(pack);
    const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0);
    const int fd = ::open(path.c_str(), flags, 0600);
    if (fd < 0) {
        return errno_fault(errno, "open " + path);
    }
    return pack_file(std::make_shared<const backing_file>(fd, std::move(path)));
}

result<void> partition_disk::append(std::span<const std::byte> records) {
    if (!journal_) {
        if (auto opened = open_journal(); !opened) {
            return opened;
        }
    }
    if (end_ == 0) {
        const auto header = journal_header(number_);
        if (auto written = write_all(journal_->fd(), header, 0); !written) {
            return written.error().in(journal_->name());
        }
        end_ = header.size();
    }
    auto written = write_all(journal_->fd(), records, end_);
    if (!written) {
        sequence_ += sequence_jump;
        if (::ftruncate(journal_->fd(), static_cast<off_t>(end_)) != 0) {
            log::warn("cannot cut a journal", {{"error", std::strerror(errno)}});
        }
        return written.error().in(journal_->name());
    }
    end_ += records.size();
    return {};
}

result<void>
partition_disk::store(const backing_file& pack, journal_record r, std::span<const std::byte> data) {
    if (auto written = write_all(pack.fd(), data, r.offset); !written) {
        return written.error().in(pack.name());
    }
    r.sequence = ++sequence_;
    return append(encode(r));
}

result<void> partition_disk::erase(std::span<const journal_record> gone) {
    std::vector<std::byte> all;
    all.reserve(gone.size() * journal_record_size);
    for (auto r : gone) {
        r.erased = true;
        r.sequence = ++sequence_;
        const auto raw = encode(r);
        all.insert(all.end(), raw.begin(), raw.end());
    }
    return append(all);
}

result<void> partition_disk::punch(const backing_file& pack, const pack_space::hole& h) {
    const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    while (::fallocate(
             pack.fd(), mode, static_cast<off_t>(h.offset), static_cast<off_t>(h.length)) != 0) {
        if (errno != EINTR) {
            return errno_fault(errno, "punch a hole in " + pack.name());
        }
    }
    return {};
}

result<void> partition_disk::remove_pack(std::uint32_t pack) const {
    const auto path = pack_path(pack);
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
        return errno_fault(errno, "remove " + path);
    }
    return {};
}

result<void> partition_disk::compact(std::span<const journal_record> live) {
    const auto fresh = directory_ + "/journal.new";
    const int fd = ::open(fresh.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return errno_fault(errno, "open " + fresh);
    }
    auto file = std::make_unique<backing_file>(fd, journal_path());
    const auto header = journal_header(number_);
    std::vector<std::byte> all(header.begin(), header.end());
    all.reserve((live.size() + 1) * journal_record_size);
    for (auto r : live) {
        r.sequence = ++sequence_;
        const auto raw = encode(r);
        all.insert(all.end(), raw.begin(), raw.end());
    }
    auto done = write_all(fd, all, 0);
    if (done && ::rename(fresh.c_str(), journal_path().c_str()) != 0) {
        done = errno_fault(errno, "rename " + fresh);
    }
    if (!done) {
        ::unlink(fresh.c_str());
        return done.error().in(fresh);
    }
    journal_ = std::move(file);
    end_ = all.size();
    return {};
}

} // namespace firstlight
