#pragma once

#include "actors/digest.h"
#include "actors/result.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace firstlight {

/// Files named by a digest, in one directory, of which the longest unused are let go.
///
/// Holds nothing but a path, so any number of threads may use it at once, and other
/// processes too; every call blocks on the disk: for runtime.io(), not for a shard. A
/// file appears whole or not at all, also through a crash of the process; nothing is
/// synced, so the content needs a checksum that tells what a power failure tore.
class digest_directory {
public:
    /// The directory at `path`, which is made if it is not there. Leftovers of a crash
    /// are removed, so open it once, before anybody writes.
    static result<digest_directory> open(std::string path);
    /// The directory at `path` as it is, while others may be writing into it.
    explicit digest_directory(std::string path)
      : path_(std::move(path)) {}

    const std::string& path() const noexcept { return path_; }
    std::string path_of(const digest& name) const;

    /// Writes a file; one of the same name is replaced. Errors: no_space, io_error.
    result<void> put(const digest& name, std::span<const std::byte> content) const;
    /// Only trim() minds if this fails.
    void mark_used(const digest& name) const noexcept;
    /// Removes it if it is there. A file that is mapped stays readable.
    result<void> remove(const digest& name) const;

    struct file {
        digest name;
        std::uint64_t bytes = 0;
        std::int64_t used_ns = 0; // when it was last put or marked, in ns since 1970
    };
    /// What is there, the longest unused first; what has no digest's name is left out.
    result<std::vector<file>> list() const;

    /// Removes the longest unused ones for which `keep` does not hold until at most
    /// `max_bytes` in `max_files` remain; returns the bytes that remain.
    result<std::uint64_t> trim(
      std::uint64_t max_bytes, std::size_t max_files,
      const std::function<bool(const digest&)>& keep) const;

private:
    std::string path_;
};

} // namespace firstlight
