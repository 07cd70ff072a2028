#pragma once

#include "actors/buffer.h"
#include "actors/result.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

namespace firstlight {

/// An open file that holds content, shared by all who read from it; closed with
/// its last reference. Any thread.
class backing_file {
public:
    /// Takes `fd`. `name` is for messages.
    backing_file(int fd, std::string name) noexcept
      : fd_(fd)
      , name_(std::move(name)) {}
    ~backing_file();
    backing_file(const backing_file&) = delete;
    backing_file& operator=(const backing_file&) = delete;

    int fd() const noexcept { return fd_; }
    const std::string& name() const noexcept { return name_; }

private:
    const int fd_;
    const std::string name_;
};

/// Where content lies on disk: what a read needs, and what FUSE passthrough
/// would (it wants a whole file contiguous in one backing file).
class chunk_location {
public:
    chunk_location(std::shared_ptr<const backing_file> file, std::uint64_t offset) noexcept
      : file_(std::move(file))
      , offset_(offset) {}

    const backing_file& file() const noexcept { return *file_; }
    const std::shared_ptr<const backing_file>& shared_file() const noexcept { return file_; }
    std::uint64_t offset() const noexcept { return offset_; } // bytes from the file's start

private:
    std::shared_ptr<const backing_file> file_;
    std::uint64_t offset_;
};

/// The bytes of one chunk: verified against its digest, immutable, in memory or
/// on disk. Whoever holds a handle may read it for as long as they like: eviction
/// spares what is held.
///
/// Thread safety: all of it, any thread.
class chunk {
public:
    explicit chunk(shared_buffer content) noexcept;
    chunk(chunk_location where, std::uint64_t size) noexcept;

    std::uint64_t size() const noexcept { return size_; } // bytes

    /// Copies out what lies at `offset`, at most out.size() bytes and none past
    /// the end of the chunk, without ever waiting: a memcpy or one
    /// preadv2(RWF_NOWAIT). How many bytes, or nothing when it would block (not in
    /// the page cache, or a file system such as tmpfs that cannot tell): then use
    /// read_blocking in runtime.io().
    std::optional<std::size_t>
    read_now(std::uint64_t offset, std::span<std::byte> out) const noexcept;

    /// Fills `out` from `offset`; may block, so never on a shard.
    /// Errors: invalid_argument beyond the end of the chunk, io_error.
    result<void> read_blocking(std::uint64_t offset, std::span<std::byte> out) const;

    /// The whole content, when it is in memory; otherwise empty.
    std::span<const std::byte> memory() const noexcept;
    /// Where it is on disk, or nullptr while it is in memory only.
    const chunk_location* location() const noexcept { return where_ ? &*where_ : nullptr; }

    /// Says that it was of use, which puts off its eviction.
    void mark_used() const noexcept {
        if (!used_.load(std::memory_order_relaxed)) { // a store would take the cache line
            used_.store(true, std::memory_order_relaxed);
        }
    }
    /// Whether it was marked since the last call; for eviction alone.
    bool take_used() const noexcept { return used_.exchange(false, std::memory_order_relaxed); }

private:
    const std::uint64_t size_;
    const shared_buffer content_;
    const std::optional<chunk_location> where_;
    mutable std::atomic<bool> used_{false};
};

using chunk_handle = std::shared_ptr<const chunk>;

} // namespace firstlight
