#pragma once

#include "actors/background.h"
#include "actors/mailbox.h"
#include "actors/metrics.h"
#include "fs/layer_provider.h"
#include "fs/overlay_mounts.h"
#include "fs/remote_snapshots.h"
#include "fs/snapshot_directories.h"
#include "fs/store_writer.h"

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace firstlight {

/// The semantics of containerd.services.snapshots.v1.Snapshots: an overlay
/// snapshotter some of whose committed snapshots are lazily mounted layers.
///
/// On disk: <root>/snapshots/<id>/{fs,work} for every snapshot but the lazy ones,
/// which have no directory of their own. A directory whose name is not the id of a
/// snapshot is a leftover.
///
/// Lives on shard 0 and is re-entrant: calls overlap but for their steps in the
/// store. Every method may also fail with overloaded or stopping. Source of the
/// rules: containerd, package snapshots; what differs is said at the method.
class snapshotter {
public:
    struct options {
        std::string root; // without a trailing slash; see probe_overlay()
        overlay_options overlay;
        std::chrono::milliseconds open_timeout{30'000}; // for mounting one layer
    };
    using mounts_result = result<std::vector<mount_spec>>;

    /// Metrics: firstlight_remote_snapshots_total, and
    /// firstlight_snapshot_fallbacks_total by `reason`, an errc's name.
    snapshotter(
      shard& home, worker_pool& io, store_writer& store, layer_provider& layers, metrics& counts,
      options o);

    /// Makes the directories, and has what a crash left behind removed in the
    /// background. Call it before the others.
    task<result<void>> start();

    /// Makes an active snapshot and returns its mounts.
    ///
    /// With the label containerd.io/snapshot.ref it first tries to have the layer
    /// mounted lazily, and then records it as committed under the label's value and
    /// answers already_exists, which containerd takes for "nothing to download". So
    /// it does when another namespace has made that snapshot on the same parent.
    /// Nothing is made under `key` then. When the layer cannot be lazy it makes an
    /// ordinary snapshot, whose mounts are writable; the reason is logged once and
    /// counted. Where the parent is given by the label …/parent-chain-id alone, it
    /// is known only at commit, so such a snapshot is ordinary too.
    ///
    /// Without that label the snapshot is a container's, and may wait for what its layers
    /// prefetch: see layer_provider::await_prefetch.
    ///
    /// unavailable, when a lazy layer below is not mounted; nothing is made.
    task<mounts_result> prepare(std::string key, std::string parent, snapshot_labels labels);

    /// Makes a read-only view and returns its mounts. Waits, and unavailable, as prepare().
    task<mounts_result> view(std::string key, std::string parent, snapshot_labels labels);

    /// unavailable, when a lazy layer below is not mounted.
    task<mounts_result> mounts(std::string key);

    /// `parent` may be given when the snapshot was prepared without one; else empty.
    task<result<void>>
    commit(std::string name, std::string key, std::string parent, snapshot_labels labels);

    /// Removes the record. cleanup() removes the rest.
    task<result<void>> remove(std::string key);

    task<result<snapshot_info>> stat(std::string key);

    /// `mask` as in snapshot_store::update.
    task<result<snapshot_info>> update(snapshot_info info, std::vector<std::string> mask);

    /// All that match any of the filters (see snapshot_filter), as of one instant.
    task<result<std::vector<snapshot_info>>> list(std::vector<std::string> filters);

    /// An active snapshot is measured, a committed one was; a lazy one has what
    /// the layer provider says.
    task<result<disk_use>> usage(std::string key);

    /// Deletes leftover directories and closes layers that no snapshot refers to.
    /// What cannot be deleted is logged and left to the next call.
    task<result<void>> cleanup();

    /// Refuses new calls and waits for the accepted ones, which takes as long as the
    /// provider's open(). Calls that a server still accepts are answered with stopping.
    task<void> stop();

    shard& home() noexcept { return home_; }

private:
    struct made_snapshot {
        std::vector<mount_spec> mounts;
        std::vector<std::uint32_t> lazy_below; // layers
    };
    task<result<made_snapshot>>
    prepare_in_turn(std::string key, std::string parent, snapshot_labels labels);
    task<result<made_snapshot>>
    view_in_turn(std::string key, std::string parent, snapshot_labels labels);
    task<result<made_snapshot>>
    make(snapshot_kind kind, std::string key, std::string parent, snapshot_labels labels);
    task<void> await_prefetch(std::vector<std::uint32_t> layers);

    result<void> check_available(const std::vector<snapshot_link>& parents) const;
    std::optional<tree_owner> lazy_owner(const std::vector<snapshot_link>& parents) const;
    mounts_result mounts_of(const snapshot_chain& chain) const;
    void fell_back(const fault& why, const std::string& key, const std::string& parent);

    task<result<disk_use>> measure(std::int64_t id, lane l);
    task<result<std::vector<std::string>>> set_aside();
    task<void> delete_all(std::vector<std::string> paths, std::stop_token stop);

    shard& home_;
    worker_pool& io_;
    store_writer& store_;
    layer_provider& layers_;
    const options options_;
    const snapshot_directories directories_;
    mailbox box_;
    mailbox sweeping_{{1, 1, 1}};      // one cleanup at a time
    mailbox awaiting_{{1024, 64, 64}}; // new containers wait apart, so that calls go on
    background_tasks background_;
    remote_snapshots remote_;
    counter& prepared_remote_;
    std::map<errc, counter*> fallbacks_;
};

} // namespace firstlight
