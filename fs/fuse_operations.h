#pragma once

#include "actors/background.h"
#include "actors/runtime.h"
#include "fs/fs_metrics.h"
#include "fs/layer_errors.h"
#include "fs/layer_reader.h"
#include "fs/layer_table.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

struct fuse_lowlevel_ops;

namespace firstlight {

/// What the FUSE mount shows: its root has a directory per mounted layer, named
/// by number, and each shows that layer as overlayfs wants to see it.
///
/// Every operation runs on the shard that received it and touches only that
/// shard's state. All but reads that miss, and the state file, are answered
/// before they return.
class fuse_operations {
public:
    struct options {
        // Layers never change, so the kernel may keep what it knows for long.
        std::chrono::seconds attr_timeout = std::chrono::hours(24 * 30);
        std::chrono::seconds entry_timeout = std::chrono::hours(24 * 30);
        std::chrono::milliseconds read_deadline = std::chrono::seconds(60);
        // Overlay mounts with `userxattr` look for user.overlay.opaque.
        bool user_xattr = false;
    };

    fuse_operations(
      runtime& shards, layer_table& layers, layer_reader& reader, layer_errors& errors,
      fs_metrics& counted, options o);
    ~fuse_operations();

    /// libfuse's table of operations; their userdata leads here by
    /// fuse_session_host::operations_of.
    static const fuse_lowlevel_ops& table();

    /// The reader of the request has a signal to attend to; see
    /// fuse_session_host::options::interrupted. Any shard.
    void interrupt(std::uint64_t request);

    /// Waits for the reads in flight on every shard. After stop_serving(); from
    /// shard 0.
    task<void> stop();

private:
    friend struct fuse_entry_points;
    struct per_shard;
    per_shard& here() noexcept;
    void tell_overdue(std::uint64_t node, std::uint64_t begin, std::uint64_t end);

    runtime& shards_;
    layer_table& layers_;
    layer_reader& reader_;
    layer_errors& errors_;
    fs_metrics& counted_;
    const options options_;
    std::vector<std::unique_ptr<per_shard>> state_; // by shard id
};

} // namespace firstlight
