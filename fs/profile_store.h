#pragma once

#include "actors/digest.h"
#include "actors/result.h"
#include "fs/digest_directory.h"
#include "fs/read_profile.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace firstlight {

/// The read profiles of a node: one small file per layer, named by the digest of its
/// TOC. Bounded in number and bytes; the longest unused go.
///
/// As digest_directory: blocking calls, any number of threads and of processes.
class profile_store {
public:
    struct limits {
        std::uint64_t bytes = 64ULL << 20;
        std::size_t files = 4096;
    };
    /// Where the profiles of a daemon with this root directory are.
    static std::string directory_under(const std::string& root) { return root + "/profiles"; }

    /// For the daemon: makes the directory, and removes what a crash left of writing.
    static result<profile_store> open(std::string directory, limits l);
    static result<profile_store> open(std::string directory) {
        return open(std::move(directory), limits());
    }
    /// For a program beside the daemon: touches nothing before it is told to.
    static profile_store beside_daemon(std::string directory);

    /// Keeps a profile, in place of one of the same layer. Errors: no_space, io_error,
    /// not_found where the directory is not there.
    result<void> put(const read_profile& profile) const;

    /// The profile of a layer; the file stays as it is. Errors: not_found; corrupt;
    /// unsupported for one of another format.
    result<read_profile> read(const digest& toc) const;
    /// The same, for the daemon. Errors: not_found (also for one of another format);
    /// corrupt: the file was damaged and is removed.
    result<read_profile> get(const digest& toc) const;
    void mark_used(const digest& toc) const noexcept { files_.mark_used(toc); }

    /// Reads the profile of a layer, or a new one, lets `change` have it, and keeps
    /// what comes of it. Of two at the same time one may be lost. Errors: as put().
    result<void> update(
      const digest& toc, const digest& blob,
      const std::function<void(read_profile&)>& change) const;

    using stored = digest_directory::file;
    /// What is there, the longest unused first; not_found where the directory is not.
    result<std::vector<stored>> list() const { return files_.list(); }
    const std::string& directory() const noexcept { return files_.path(); }

private:
    profile_store(digest_directory files, limits l)
      : files_(std::move(files))
      , limits_(l) {}

    digest_directory files_;
    limits limits_;
};

} // namespace firstlight
