#pragma once

#include "actors/result.h"
#include "fs/snapshot_info.h"

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace firstlight {

/// Who owns the root of a layer.
struct tree_owner {
    uid_t uid = 0;
    gid_t gid = 0;
};

/// Where ordinary snapshots lie: <root>/snapshots/<id> (0700) with fs (0755) and,
/// for overlayfs, work (0711). Ids are never used twice, but for those of snapshots
/// that were never recorded.
///
/// Immutable. What changes the disk blocks, and is called from the store's writer
/// alone, so that making and setting aside never overlap.
class snapshot_directories {
public:
    explicit snapshot_directories(const std::string& root)
      : base_(root + "/snapshots") {}

    std::string directory_of(std::int64_t id) const { return base_ + '/' + std::to_string(id); }
    /// The snapshot's own files: the upper directory, later a lower one.
    std::string tree_of(std::int64_t id) const { return directory_of(id) + "/fs"; }

    result<void> make_base() const;

    /// Makes the directory of a new snapshot; its tree gets `owner`, or ours. Nothing
    /// is left behind on failure.
    result<void>
    add(std::int64_t id, snapshot_kind kind, const std::optional<tree_owner>& owner) const;

    /// Who owns the tree of snapshot `id`.
    result<tree_owner> owner_of(std::int64_t id) const;

    struct leftovers {
        std::vector<std::string> paths;    // for remove_tree()
        std::vector<std::int64_t> missing; // live snapshots without a directory
    };
    /// Sets aside, by renaming, everything that is not the directory of one of the
    /// `live` ids (ascending), so that it may be deleted at leisure.
    result<leftovers> set_aside(const std::vector<std::int64_t>& live) const;

private:
    std::string base_;
};

} // namespace firstlight
