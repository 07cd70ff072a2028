#pragma once
// The compiled index as it lies in a file: docs/index-format.md says it in
// prose. Only index_compiler.cc writes it and only index.cc reads it; the rest
// use index.h.

#include "actors/digest.h"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace firstlight {

/// Number of an inode in one layer's index; 0 is the layer's root directory.
using entry_id = std::uint32_t;

/// A piece of a regular file, as the layer's blob holds it. Lies in the index
/// file, so it is read where it is.
struct chunk_record {
    digest chunk;                  // of the uncompressed bytes
    std::uint64_t blob_offset = 0; // start of the gzip stream that holds it
    std::uint64_t compressed_end =
      0; // start of the next stream: read [blob_offset, compressed_end)
    std::uint64_t file_offset = 0;
    std::uint64_t inner_offset = 0; // of the chunk in what the stream inflates to
    std::uint32_t size = 0;         // uncompressed; never 0
    entry_id owner = 0;             // the regular file
};

namespace index_format {

static_assert(std::endian::native == std::endian::little, "the index is mapped as it is");

inline constexpr std::array<char, 8> magic{'F', 'L', 'I', 'N', 'D', 'E', 'X', '\n'};
/// Raised whenever a byte changes its meaning; another version is compiled anew.
inline constexpr std::uint32_t version = 1;

/// A table or pool, `offset` bytes from the start of the file (a multiple of 8).
struct section {
    std::uint64_t offset;
    std::uint64_t count; // of records; of bytes for the pool
};

enum : std::uint32_t {
    has_prefetch_end = 1,
    no_prefetch = 2,
};

struct header {
    std::array<char, 8> magic;
    std::uint32_t version;
    std::uint32_t checksum; // CRC-32 of all bytes after this field
    std::uint64_t file_size;
    digest toc;
    std::uint64_t payload_size;
    std::uint64_t content_bytes;
    std::uint64_t prefetch_end;
    std::uint32_t flags;
    std::uint32_t reserved;
    section inodes;    // inode
    section names;     // name, grouped by directory in the order of their ids
    section chunks;    // chunk_record, grouped by file in the order of their ids
    section by_offset; // uint32: chunk numbers by (blob_offset, inner_offset, number)
    section xattrs;    // xattr, grouped by inode in the order of their ids
    section pool;      // bytes of names, link targets and xattrs
};

/// `first` and `count` mean: of a directory, its names; of a regular file, its
/// chunks; of a symlink, bytes of the pool; of a device, major and minor.
struct inode {
    std::uint64_t size;
    std::int64_t mtime;
    std::uint32_t mode;
    std::uint32_t uid;
    std::uint32_t gid;
    std::uint32_t nlink;
    entry_id parent; // of the first name; its id is lower, and the root's is 0
    std::uint32_t first;
    std::uint32_t count;
    std::uint32_t first_xattr;
    std::uint32_t xattr_count;
    std::uint32_t flags;
};
inline constexpr std::uint32_t opaque_directory = 1;

struct name {
    std::uint32_t offset; // in the pool
    std::uint32_t size;   // 1 to 255
    entry_id id;
};

struct xattr {
    std::uint32_t name_offset;
    std::uint32_t name_size; // 1 to 255
    std::uint32_t value_offset;
    std::uint32_t value_size; // may be 0
};

static_assert(std::is_trivially_copyable_v<digest> && sizeof(digest) == 32);
static_assert(std::is_trivially_copyable_v<chunk_record> && sizeof(chunk_record) == 72);
static_assert(sizeof(header) == 184 && sizeof(inode) == 56);
static_assert(sizeof(name) == 12 && sizeof(xattr) == 16);

/// Limits that both sides keep to.
inline constexpr std::uint32_t max_name_size = 255;       // NAME_MAX
inline constexpr std::uint32_t max_target_size = 4095;    // PATH_MAX with its NUL
inline constexpr std::uint32_t max_value_size = 64 << 10; // XATTR_SIZE_MAX
/// A chunk is decoded and hashed in one piece, in memory.
inline constexpr std::uint32_t max_chunk_size = 256 << 20;
/// How far into a shared stream a chunk may lie: all before it is inflated and dropped.
inline constexpr std::uint64_t max_inner_offset = 1 << 30;
/// No DEFLATE stream expands more than this (zlib's "Maximum compression factor").
inline constexpr std::uint64_t max_expansion = 1032;

/// What header.checksum must be for the index in `file` (at least a header).
std::uint32_t checksum(std::span<const std::byte> file);

} // namespace index_format
} // namespace firstlight
