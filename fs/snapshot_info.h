#pragma once
// What containerd knows about a snapshot.

#include "actors/result.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

namespace firstlight {

/// Numbered as in containerd's API (proto/snapshots.proto, Kind).
enum class snapshot_kind : std::uint8_t {
    view = 1,      // read-only look at a committed snapshot
    active = 2,    // writable; becomes committed by Commit
    committed = 3, // immutable; may be a parent
};

/// Key to value. A label with an empty value is no label: writing one removes it.
using snapshot_labels = std::map<std::string, std::string>;

/// Length in bytes of the longest label, key and value together.
/// Source: containerd, proto/snapshots.proto.
inline constexpr std::size_t label_limit = 4096;

/// invalid_argument, naming the label, if one has no key or is over the limit.
result<void> check_labels(const snapshot_labels& labels);

/// UTC, in nanoseconds, which is what containerd compares.
using snapshot_time = std::chrono::sys_time<std::chrono::nanoseconds>;

/// Disk taken by one snapshot without its parents.
struct disk_use {
    std::int64_t size = 0; // bytes of allocated blocks
    std::int64_t inodes = 0;
    friend bool operator==(const disk_use&, const disk_use&) = default;
};

struct snapshot_info {
    std::string name;   // the key of an active snapshot or view, the name of a committed one
    std::string parent; // empty: none
    snapshot_kind kind = snapshot_kind::active;
    snapshot_time created{};
    snapshot_time updated{};
    snapshot_labels labels;
    friend bool operator==(const snapshot_info&, const snapshot_info&) = default;
};

namespace snapshot_label {
// Source: containerd, core/metadata/snapshot.go and core/unpack/unpacker.go; the value of
// `remote` and the key are stargz-snapshotter's, which users' scripts look for.
inline constexpr const char* target = "containerd.io/snapshot.ref";
inline constexpr const char* parent_chain = "containerd.io/snapshot/parent-chain-id";
inline constexpr const char* remote = "containerd.io/snapshot/remote";
inline constexpr const char* remote_value = "remote snapshot";
} // namespace snapshot_label

} // namespace firstlight
