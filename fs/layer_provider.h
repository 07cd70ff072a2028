#pragma once

#include "actors/deadline.h"
#include "actors/result.h"
#include "actors/task.h"
#include "fs/snapshot_info.h"

#include <sys/types.h>

#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

namespace firstlight {

/// A lazily mounted layer as overlayfs needs it: which, and who owns its root.
class lazy_layer {
public:
    lazy_layer() = default; // for result<>
    lazy_layer(std::uint32_t number, uid_t uid, gid_t gid, mode_t mode) noexcept
      : number_(number)
      , uid_(uid)
      , gid_(gid)
      , mode_(mode) {}

    std::uint32_t number() const noexcept { return number_; }
    uid_t uid() const noexcept { return uid_; }
    gid_t gid() const noexcept { return gid_; }
    /// Permission bits of the root directory.
    mode_t mode() const noexcept { return mode_; }

private:
    std::uint32_t number_ = 0;
    uid_t uid_ = 0;
    gid_t gid_ = 0;
    mode_t mode_ = 0755;
};

/// Where the snapshotter gets its lazy layers from. All of it on shard 0.
///
/// The snapshotter promises that close() never overlaps an open(), and that no
/// snapshot refers to a layer that it closes.
class layer_provider {
public:
    virtual ~layer_provider() = default;

    /// Mounts the layer that the labels of a Prepare describe, and returns it.
    /// The same layer again is cheap, also while another call is mounting it.
    /// `labels` outlives the call. Any fault means: make an ordinary snapshot.
    virtual task<result<lazy_layer>> open(const snapshot_labels& labels, deadline until) = 0;

    /// The layer with this number, if it is mounted. A fault makes Mounts and
    /// Prepare of snapshots above it answer UNAVAILABLE.
    virtual result<lazy_layer> find(std::uint32_t number) const = 0;

    /// A container was made on these layers. Waits for what is being prefetched of them,
    /// where the operator wants that, as long as he wants it, and at most until `stop` is
    /// requested. Never fails: what is not here is fetched when it is read.
    virtual task<void> await_prefetch(std::vector<std::uint32_t> numbers, std::stop_token stop) {
        (void)numbers, (void)stop;
        co_return;
    }

    /// No snapshot refers to the layer any more; its number is never used again.
    /// It may never have been mounted, when an open() failed half-way.
    virtual task<void> close(std::uint32_t number) = 0;

    /// The path of the layer's root, for overlayfs as a lower directory. Short,
    /// and under the snapshotter's root: containerd shortens long option strings
    /// by the longest common prefix of all lower directories.
    virtual std::string directory(std::uint32_t number) const = 0;

    /// Disk that the layer's cached chunks take. 0 where nobody counts them.
    virtual disk_use usage(std::uint32_t) const { return {}; }
};

} // namespace firstlight
