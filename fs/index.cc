#include "fs/index.h"

#include <fcntl.h>
#include <libdeflate.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <tuple>
#include <utility>
#include <vector>

namespace firstlight {

namespace format = index_format;

std::uint32_t index_format::checksum(std::span<const std::byte> file) {
    const auto covered = file.subspan(offsetof(header, file_size));
    return libdeflate_crc32(0, covered.data(), covered.size());
}

namespace {

fault damaged(std::string_view why) {
    return fault(errc::corrupt, "index is damaged: " + std::string(why));
}

} // namespace

class index::mapping {
public:
    explicit mapping(std::span<const std::byte> bytes)
      : bytes_(bytes) {}
    ~mapping() { ::munmap(address(), bytes_.size()); }
    mapping(const mapping&) = delete;
    mapping& operator=(const mapping&) = delete;

    std::span<const std::byte> bytes() const noexcept { return bytes_; }
    /// Gives back the pages that the check touched; they come again when they are used.
    void forget() const noexcept { ::madvise(address(), bytes_.size(), MADV_DONTNEED); }

private:
    void* address() const noexcept { return const_cast<std::byte*>(bytes_.data()); }

    std::span<const std::byte> bytes_;
};

/// Checks an index whose bytes nobody vouches for, part by part, so that no
/// accessor can leave the file, and no walk from parent to child can loop.
class index_checker {
public:
    explicit index_checker(index& i)
      : i_(i) {}

    result<void> run() {
        if (auto checked = header(); !checked) {
            return checked;
        }
        if (i_.inodes_.empty() || i_.inodes_.size() > UINT32_MAX) {
            return damaged("number of entries");
        }
        names_.assign(i_.inodes_.size(), 0);
        for (entry_id id = 0; id < i_.inodes_.size(); ++id) {
            if (!inode(id)) {
                return damaged("entry " + std::to_string(id));
            }
        }
        if (
          next_name_ != i_.names_.size() || next_chunk_ != i_.chunks_.size() ||
          next_xattr_ != i_.xattrs_.size() || content_bytes_ != i_.header().content_bytes) {
            return damaged("tables and entries differ");
        }
        return links() && order() ? result<void>() : damaged("links or order of chunks");
    }

private:
    result<void> header() {
        if (i_.bytes_.size() < sizeof(format::header)) {
            return damaged("too short");
        }
        const auto& h = i_.header();
        if (h.magic != format::magic) {
            return damaged("no magic");
        }
        if (h.version != format::version) {
            return fault(
              errc::unsupported, "index has version " + std::to_string(h.version) + ", not " +
                                   std::to_string(format::version));
        }
        if (h.file_size != i_.bytes_.size() || h.checksum != format::checksum(i_.bytes_)) {
            return damaged("size or checksum");
        }
        const bool placed = table(h.inodes, i_.inodes_) && table(h.names, i_.names_) &&
                            table(h.chunks, i_.chunks_) && table(h.by_offset, i_.by_offset_) &&
                            table(h.xattrs, i_.xattrs_) && table(h.pool, i_.pool_);
        return placed ? result<void>() : damaged("a table lies outside of the file");
    }

    template <class T>
    bool table(const format::section& s, std::span<const T>& to) const {
        static_assert(alignof(T) <= 8);
        const auto size = i_.bytes_.size();
        if (s.offset % 8 != 0 || s.offset > size || s.count > (size - s.offset) / sizeof(T)) {
            return false;
        }
        // All of these are implicit-lifetime types without padding.
        to = {reinterpret_cast<const T*>(i_.bytes_.data() + s.offset), s.count};
        return true;
    }

    bool inode(entry_id id) {
        const auto& n = i_.inodes_[id];
        const bool parent = id == 0 ? n.parent == 0 && S_ISDIR(n.mode)
                                    : n.parent < id && S_ISDIR(i_.inodes_[n.parent].mode);
        return parent && xattrs(n) && content(id, n);
    }

    bool content(entry_id id, const format::inode& n) {
        switch (n.mode & S_IFMT) {
        case S_IFDIR:
            return n.size == 0 && directory(id, n);
        case S_IFREG:
            return file(id, n);
        case S_IFLNK:
            return n.size == n.count && n.count > 0 && n.count <= format::max_target_size &&
                   in_pool(n.first, n.count);
        case S_IFCHR:
        case S_IFBLK:
        case S_IFIFO:
            return n.size == 0;
        default:
            return false;
        }
    }

    bool in_pool(std::uint64_t offset, std::uint64_t size) const {
        return offset + size <= i_.pool_.size(); // two 32-bit values: no overflow
    }

    // The next `count` records after those of the entries before.
    template <class T>
    static bool next(
      std::span<const T> table, std::uint64_t& at, std::uint32_t first, std::uint32_t count,
      std::span<const T>& records) {
        if (first != at || count > table.size() - at) {
            return false;
        }
        records = table.subspan(first, count);
        at += count;
        return true;
    }

    bool directory(entry_id id, const format::inode& n) {
        std::span<const format::name> names;
        if (!next(i_.names_, next_name_, n.first, n.count, names)) {
            return false;
        }
        std::uint32_t nlink = 2;
        std::string_view previous;
        for (const auto& entry : names) {
            if (
              entry.size == 0 || entry.size > format::max_name_size ||
              !in_pool(entry.offset, entry.size) || entry.id == 0 ||
              entry.id >= i_.inodes_.size()) {
                return false;
            }
            const auto name = i_.text(entry.offset, entry.size);
            if (name <= previous || !usable(name)) {
                return false;
            }
            previous = name;
            const auto& child = i_.inodes_[entry.id];
            if (S_ISDIR(child.mode)) {
                if (child.parent != id) {
                    return false;
                }
                ++nlink;
            }
            ++names_[entry.id];
        }
        return n.nlink == nlink;
    }

    static bool usable(std::string_view name) {
        return name != "." && name != ".." && name.find('/') == std::string_view::npos &&
               name.find('\0') == std::string_view::npos;
    }

    bool file(entry_id id, const format::inode& n) {
        std::span<const chunk_record> chunks;
        if (!next(i_.chunks_, next_chunk_, n.first, n.count, chunks)) {
            return false;
        }
        std::uint64_t covered = 0; // at most 2^32 chunks of 2^28 bytes
        for (const auto& c : chunks) {
            if (c.owner != id || c.file_offset != covered || !chunk(c)) {
                return false;
            }
            covered += c.size;
        }
        content_bytes_ += covered;
        return covered == n.size;
    }

    bool chunk(const chunk_record& c) const {
        return c.size > 0 && c.size <= format::max_chunk_size &&
               c.inner_offset <= format::max_inner_offset && c.blob_offset < c.compressed_end &&
               c.compressed_end <= i_.payload_size() &&
               (c.inner_offset + c.size) / format::max_expansion <=
                 c.compressed_end - c.blob_offset;
    }

    bool xattrs(const format::inode& n) {
        std::span<const format::xattr> attributes;
        if (!next(i_.xattrs_, next_xattr_, n.first_xattr, n.xattr_count, attributes)) {
            return false;
        }
        std::string_view previous;
        for (const auto& x : attributes) {
            if (
              x.name_size == 0 || x.name_size > format::max_name_size ||
              x.value_size > format::max_value_size || !in_pool(x.name_offset, x.name_size) ||
              !in_pool(x.value_offset, x.value_size)) {
                return false;
            }
            const auto name = i_.text(x.name_offset, x.name_size);
            if (name <= previous) {
                return false;
            }
            previous = name;
        }
        return true;
    }

    // Every entry but the root has a name, and a directory just one.
    bool links() const {
        for (entry_id id = 1; id < names_.size(); ++id) {
            const auto& n = i_.inodes_[id];
            if (names_[id] != (S_ISDIR(n.mode) ? 1 : n.nlink) || names_[id] == 0) {
                return false;
            }
        }
        return true;
    }

    // Strictly ascending, so no chunk comes twice, so all come.
    bool order() const {
        const auto& order = i_.by_offset_;
        if (order.size() != i_.chunks_.size()) {
            return false;
        }
        const auto key = [this](std::uint32_t number) {
            const auto& c = i_.chunks_[number];
            return std::tuple(c.blob_offset, c.inner_offset, number);
        };
        for (std::size_t at = 0; at < order.size(); ++at) {
            if (order[at] >= order.size() || (at > 0 && key(order[at - 1]) >= key(order[at]))) {
                return false;
            }
        }
        return true;
    }

    index& i_;
    std::vector<std::uint32_t> names_; // of each entry
    std::uint64_t next_name_ = 0;
    std::uint64_t next_chunk_ = 0;
    std::uint64_t next_xattr_ = 0;
    std::uint64_t content_bytes_ = 0;
};

index::index(token) {
}

index::~index() = default;

result<std::shared_ptr<const index>> index::open(const std::string& path, const digest& expected) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno_fault(errno, "open " + path);
    }
    struct stat status{};
    void* address = MAP_FAILED;
    int error = ::fstat(fd, &status) == 0 ? 0 : errno;
    const auto size = static_cast<std::size_t>(status.st_size);
    if (error == 0 && size > 0) {
        address = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
        error = address == MAP_FAILED ? errno : 0;
    }
    ::close(fd);
    if (error != 0) {
        return errno_fault(error, "map " + path);
    }
    if (address == MAP_FAILED) {
        return damaged("empty").in(path);
    }
    const auto candidate = std::make_shared<index>(token());
    candidate->mapped_ =
      std::make_unique<mapping>(std::span(static_cast<const std::byte*>(address), size));
    candidate->bytes_ = candidate->mapped_->bytes();
    auto opened = checked(candidate);
    if (!opened) {
        return opened.error().in(path);
    }
    if (candidate->toc_digest() != expected) {
        return damaged("it is of TOC " + candidate->toc_digest().to_string()).in(path);
    }
    candidate->mapped_->forget();
    return opened;
}

result<std::shared_ptr<const index>> index::from_buffer(buffer bytes) {
    const auto candidate = std::make_shared<index>(token());
    candidate->owned_ = std::move(bytes);
    candidate->bytes_ = std::as_const(candidate->owned_).span();
    return checked(candidate);
}

result<std::shared_ptr<const index>> index::checked(std::shared_ptr<index> candidate) {
    if (auto ok = index_checker(*candidate).run(); !ok) {
        return ok.error();
    }
    return std::shared_ptr<const index>(std::move(candidate));
}

const format::header& index::header() const noexcept {
    return *reinterpret_cast<const format::header*>(bytes_.data());
}

std::string_view index::text(std::uint32_t offset, std::uint32_t size) const noexcept {
    return as_text(pool_.subspan(offset, size));
}

const digest& index::toc_digest() const noexcept {
    return header().toc;
}

std::uint64_t index::payload_size() const noexcept {
    return header().payload_size;
}

std::uint64_t index::content_bytes() const noexcept {
    return header().content_bytes;
}

entry_attributes index::attributes(entry_id id) const noexcept {
    const auto& n = inodes_[id];
    entry_attributes a;
    a.size = n.size;
    a.mtime = n.mtime;
    a.mode = n.mode;
    a.uid = n.uid;
    a.gid = n.gid;
    a.nlink = n.nlink;
    if (S_ISCHR(n.mode) || S_ISBLK(n.mode)) {
        a.rdev_major = n.first;
        a.rdev_minor = n.count;
    }
    return a;
}

bool index::is_directory(entry_id id) const noexcept {
    return S_ISDIR(inodes_[id].mode);
}

bool index::is_regular(entry_id id) const noexcept {
    return S_ISREG(inodes_[id].mode);
}

bool index::opaque(entry_id id) const noexcept {
    return (inodes_[id].flags & format::opaque_directory) != 0;
}

std::span<const format::name> index::names_of(entry_id directory) const noexcept {
    const auto& n = inodes_[directory];
    return S_ISDIR(n.mode) ? names_.subspan(n.first, n.count) : std::span<const format::name>();
}

std::optional<entry_id> index::find(entry_id directory, std::string_view name) const noexcept {
    const auto names = names_of(directory);
    const auto found = std::lower_bound(
      names.begin(), names.end(), name, [this](const format::name& n, std::string_view wanted) {
          return text(n.offset, n.size) < wanted;
      });
    if (found == names.end() || text(found->offset, found->size) != name) {
        return std::nullopt;
    }
    return found->id;
}

std::uint32_t index::child_count(entry_id directory) const noexcept {
    return static_cast<std::uint32_t>(names_of(directory).size());
}

index::named_entry index::child(entry_id directory, std::uint32_t i) const noexcept {
    const auto& n = names_of(directory)[i];
    return {text(n.offset, n.size), n.id};
}

std::string_view index::symlink_target(entry_id id) const noexcept {
    const auto& n = inodes_[id];
    return S_ISLNK(n.mode) ? text(n.first, n.count) : std::string_view();
}

index::attribute index::xattr(entry_id id, std::uint32_t i) const noexcept {
    const auto& x = xattrs_[inodes_[id].first_xattr + i];
    return {text(x.name_offset, x.name_size), text(x.value_offset, x.value_size)};
}

std::optional<std::string_view>
index::find_xattr(entry_id id, std::string_view name) const noexcept {
    const auto& n = inodes_[id];
    const auto attributes = xattrs_.subspan(n.first_xattr, n.xattr_count);
    const auto found = std::lower_bound(
      attributes.begin(), attributes.end(), name,
      [this](const format::xattr& x, std::string_view wanted) {
          return text(x.name_offset, x.name_size) < wanted;
      });
    if (found == attributes.end() || text(found->name_offset, found->name_size) != name) {
        return std::nullopt;
    }
    return text(found->value_offset, found->value_size);
}

std::span<const chunk_record> index::chunks(entry_id id) const noexcept {
    const auto& n = inodes_[id];
    return S_ISREG(n.mode) ? chunks_.subspan(n.first, n.count) : std::span<const chunk_record>();
}

std::size_t index::lower_bound(std::uint64_t offset) const noexcept {
    const auto found = std::lower_bound(
      by_offset_.begin(), by_offset_.end(), offset,
      [this](std::uint32_t number, std::uint64_t o) { return chunks_[number].blob_offset < o; });
    return static_cast<std::size_t>(found - by_offset_.begin());
}

std::optional<std::uint64_t> index::prefetch_end() const noexcept {
    const auto& h = header();
    return h.flags & format::has_prefetch_end ? std::optional(h.prefetch_end) : std::nullopt;
}

bool index::no_prefetch() const noexcept {
    return (header().flags & format::no_prefetch) != 0;
}

} // namespace firstlight
