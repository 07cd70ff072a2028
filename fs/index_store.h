#pragma once

#include "actors/digest.h"
#include "actors/result.h"
#include "fs/digest_directory.h"
#include "fs/index.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace firstlight {

/// The compiled indexes on disk: one file per TOC, named by the TOC's digest.
///
/// Holds nothing but a path, so any number of threads may use it at once; every
/// call blocks on the disk: for runtime.io(), not for a shard. A file appears
/// whole or not at all, also through a crash of the process; one that a power
/// failure tore is found damaged by its checksum.
class index_store {
public:
    /// The store in `directory`, which is made if it is not there. Leftovers of
    /// a crash are removed, so open it once, before anybody writes.
    static result<index_store> open(std::string directory);

    /// Keeps a compiled index; one of the same TOC is replaced.
    /// Errors: no_space (go on without keeping it), io_error.
    result<void> put(const digest& toc, std::span<const std::byte> compiled) const;

    /// The index of this TOC, mapped and checked, and marked as used now.
    /// Errors: not_found (also for one of an older format); corrupt: the file
    /// was damaged and is removed, so compile it again.
    result<std::shared_ptr<const index>> get(const digest& toc) const;

    /// Removes it if it is there. An index that is mapped stays readable.
    result<void> remove(const digest& toc) const { return files_.remove(toc); }

    struct stored {
        digest toc;
        std::uint64_t bytes = 0;
        std::int64_t used_ns = 0; // when it was last put or got, in ns since 1970
    };
    /// What is there, the longest unused first.
    result<std::vector<stored>> list() const;

    /// Removes the longest unused ones for which `keep` does not hold until at
    /// most `max_bytes` remain; returns the bytes that remain.
    result<std::uint64_t>
    trim(std::uint64_t max_bytes, const std::function<bool(const digest&)>& keep) const;

private:
    explicit index_store(digest_directory files)
      : files_(std::move(files)) {}

    digest_directory files_;
};

} // namespace firstlight
