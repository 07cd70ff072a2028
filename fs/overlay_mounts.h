#pragma once

#include "fs/snapshot_info.h"

#include <string>
#include <vector>

namespace firstlight {

/// One mount(2) for containerd to make.
struct mount_spec {
    std::string type;
    std::string source;
    std::vector<std::string> options;
    friend bool operator==(const mount_spec&, const mount_spec&) = default;
};

/// What this machine's overlayfs needs to be told; see probe_overlay().
struct overlay_options {
    bool userxattr = false; // in a user namespace, kernel ≥ 5.11
    bool index_off = false; // the kernel would build an inode index by default
};

/// The mounts of an active snapshot or a view. `directory` is the snapshot's own
/// (holding fs and work); `lowers` its parents' trees, nearest first.
///
/// No parent: a bind of the own tree, rw or ro. A view of one parent: a bind of
/// that parent, ro. Else an overlay with the options workdir, upperdir (both
/// active only), lowerdir, userxattr, index=off, in this order: containerd's
/// overlayfs snapshotter and stargz-snapshotter give the same, and users'
/// scripts compare the strings.
std::vector<mount_spec> overlay_mounts(
  snapshot_kind kind, const std::string& directory, const std::vector<std::string>& lowers,
  overlay_options options);

} // namespace firstlight
