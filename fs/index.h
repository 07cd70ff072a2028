#pragma once

#include "actors/buffer.h"
#include "actors/digest.h"
#include "actors/result.h"
#include "fs/index_format.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace firstlight {

/// What stat(2) says of an entry. A plain value.
struct entry_attributes {
    std::uint64_t size = 0; // of a symlink: the length of its target; 0 unless file or symlink
    std::int64_t mtime = 0; // seconds since 1970
    std::uint32_t mode = 0; // with the type bits
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::uint32_t nlink = 1; // of a directory: 2 + its sub-directories; else its visible names
    std::uint32_t rdev_major = 0;
    std::uint32_t rdev_minor = 0;
};

/// A layer's files, directories and chunks: an immutable, compiled TOC.
///
/// Everything was checked when it was opened, so no accessor can fail, read
/// outside of the file or loop. Any thread may read it without a lock, but each
/// access may touch a page of the mapped file for the first time. Accessors
/// cost O(1), the two find() O(log n), and none allocates. Views point into the
/// index and live as long as it does.
///
/// What overlayfs must see is applied already: whiteouts are character devices
/// 0:0 under the name they hide, ".wh." names and the landmarks of the root are
/// not there, opaque directories are flagged (the xattr itself is up to the
/// caller, who knows whether it must be trusted. or user.).
///
/// Every accessor that takes an entry_id wants one below size(); check what
/// comes from outside by contains().
class index {
    struct token {}; // only open() and from_buffer() make one

public:
    explicit index(token);
    /// Maps the index in file `path`, and checks all of it. Blocks: not for a shard.
    ///
    /// Errors: not_found or io_error from the system; corrupt for a damaged
    /// file or one of another TOC than `expected`; unsupported for one of
    /// another version of the format.
    static result<std::shared_ptr<const index>>
    open(const std::string& path, const digest& expected);
    /// The same with the bytes in memory.
    static result<std::shared_ptr<const index>> from_buffer(buffer bytes);

    index(const index&) = delete;
    index& operator=(const index&) = delete;
    ~index();

    const digest& toc_digest() const noexcept;
    /// End of the chunks' data in the blob, in bytes.
    std::uint64_t payload_size() const noexcept;
    /// Number of entries (inodes).
    std::uint32_t size() const noexcept { return static_cast<std::uint32_t>(inodes_.size()); }
    /// Sum of the sizes of the regular files, a hard-linked one counted once.
    std::uint64_t content_bytes() const noexcept;
    /// Bytes of the file (or buffer) of this index.
    std::size_t file_bytes() const noexcept { return bytes_.size(); }

    bool contains(entry_id id) const noexcept { return id < inodes_.size(); }
    entry_attributes attributes(entry_id id) const noexcept;
    bool is_directory(entry_id id) const noexcept;
    bool is_regular(entry_id id) const noexcept;
    /// The directory of the entry's first name; the root's is the root.
    entry_id parent(entry_id id) const noexcept { return inodes_[id].parent; }
    /// Whether `.wh..wh..opq` was in this directory.
    bool opaque(entry_id id) const noexcept;

    /// The entry called `name` in `directory`; nothing if it is no directory.
    std::optional<entry_id> find(entry_id directory, std::string_view name) const noexcept;
    struct named_entry {
        std::string_view name;
        entry_id id;
    };
    /// Number of names in `directory`; 0 if it is no directory.
    std::uint32_t child_count(entry_id directory) const noexcept;
    /// The i-th name, in the order of their bytes: a stable readdir offset.
    named_entry child(entry_id directory, std::uint32_t i) const noexcept;

    /// Verbatim; empty for an entry that is no symlink.
    std::string_view symlink_target(entry_id id) const noexcept;

    struct attribute {
        std::string_view name;
        std::string_view value; // any bytes; may be empty
    };
    std::uint32_t xattr_count(entry_id id) const noexcept { return inodes_[id].xattr_count; }
    /// The i-th, in the order of their names' bytes.
    attribute xattr(entry_id id, std::uint32_t i) const noexcept;
    std::optional<std::string_view> find_xattr(entry_id id, std::string_view name) const noexcept;

    /// The chunks of a regular file in its order: from 0, without a gap, to its
    /// size. Empty for an empty file and for anything else.
    std::span<const chunk_record> chunks(entry_id id) const noexcept;
    /// All chunks of the layer; the position in here is the chunk's number.
    std::span<const chunk_record> all_chunks() const noexcept { return chunks_; }
    std::uint32_t chunk_number(const chunk_record& of_this_index) const noexcept {
        return static_cast<std::uint32_t>(&of_this_index - chunks_.data());
    }
    /// The chunks' numbers by (blob_offset, inner_offset): blob order, in which
    /// the chunks of one stream stand side by side.
    std::span<const std::uint32_t> by_offset() const noexcept { return by_offset_; }
    /// Where in by_offset() the first chunk with blob_offset >= `offset` stands. O(log n).
    std::size_t lower_bound(std::uint64_t offset) const noexcept;

    /// Blob bytes [0, this) are worth fetching before the container asks, says
    /// the landmark. Nothing without that landmark.
    std::optional<std::uint64_t> prefetch_end() const noexcept;
    /// The layer says that nothing of it is wanted at start-up.
    bool no_prefetch() const noexcept;

private:
    class mapping;

    static result<std::shared_ptr<const index>> checked(std::shared_ptr<index> candidate);
    const index_format::header& header() const noexcept;
    std::string_view text(std::uint32_t offset, std::uint32_t size) const noexcept;
    std::span<const index_format::name> names_of(entry_id directory) const noexcept;
    friend class index_checker;

    buffer owned_; // one of these two holds the bytes
    std::unique_ptr<mapping> mapped_;
    std::span<const std::byte> bytes_;
    std::span<const index_format::inode> inodes_;
    std::span<const index_format::name> names_;
    std::span<const chunk_record> chunks_;
    std::span<const std::uint32_t> by_offset_;
    std::span<const index_format::xattr> xattrs_;
    std::span<const std::byte> pool_;
};

} // namespace firstlight
