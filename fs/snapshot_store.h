#pragma once

#include "actors/digest.h"
#include "actors/result.h"
#include "fs/snapshot_filter.h"
#include "fs/snapshot_info.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace firstlight {

class database;

/// One snapshot in a chain: the directory it has, or the lazy layer it is.
struct snapshot_link {
    std::int64_t id = 0;
    std::optional<std::uint32_t> layer; // set: remote, and there is no directory
    friend bool operator==(const snapshot_link&, const snapshot_link&) = default;
};

/// An active snapshot or view with its parents, nearest first.
struct snapshot_chain {
    snapshot_kind kind = snapshot_kind::active;
    snapshot_link own;
    std::vector<snapshot_link> parents;
};

/// Everything stored about one snapshot.
struct snapshot_record {
    std::int64_t id = 0;
    snapshot_info info;
    disk_use use; // of committed snapshots
    std::optional<std::uint32_t> layer;
};

/// A layer that was mounted lazily at some time, and why it can be again.
struct layer_record {
    std::uint32_t number = 0; // from 1, never used for another layer
    digest blob;
    digest toc;
    std::uint64_t blob_size = 0; // bytes
};

/// The records of all snapshots and lazy layers, in one SQLite file.
///
/// What a method reports as done survives kill -9 and power loss. Rules and
/// error codes are those of containerd's metadata store (package
/// snapshots/storage). Ids and layer numbers are never used twice.
///
/// Synchronous and not thread safe: used through store_writer alone. Every
/// method may also fail with io_error, no_space or corrupt.
class snapshot_store {
public:
    /// Opens or creates the file at `path`, brings its schema up to date, and
    /// keeps others out until destroyed. Errors: corrupt, when SQLite's check of
    /// the file fails; unavailable, when another process has it open;
    /// unsupported, when a newer version wrote it.
    static result<std::unique_ptr<snapshot_store>> open(const std::string& path);

    ~snapshot_store();
    snapshot_store(const snapshot_store&) = delete;
    snapshot_store& operator=(const snapshot_store&) = delete;

    // Snapshots

    /// not_found.
    result<snapshot_record> get(const std::string& name);

    /// Of an active snapshot or view. not_found; failed_precondition when committed.
    result<snapshot_chain> chain_of(const std::string& key);

    /// What create() would say now; gives the parents, nearest first.
    result<std::vector<snapshot_link>> check_new(const std::string& key, const std::string& parent);

    /// Does the work on disk that belongs to a new snapshot, before it is recorded
    /// for good. A fault undoes the record.
    using arrange = std::function<result<void>(const snapshot_chain&)>;

    /// Records an active snapshot or view. not_found: no such parent;
    /// invalid_argument: the parent is not committed; already_exists: the key.
    result<snapshot_chain> create(
      snapshot_kind kind, const std::string& key, const std::string& parent,
      const snapshot_labels& labels, const arrange& before_commit);

    /// Records a committed snapshot that is the lazy layer `layer`. Errors as create().
    result<snapshot_link> create_remote(
      const std::string& name, const std::string& parent, const snapshot_labels& labels,
      std::uint32_t layer);

    struct commit_request {
        std::string key;
        std::string name;
        std::string parent; // empty: as prepared
        snapshot_labels labels;
        disk_use use;
        std::int64_t id = 0; // what `key` must still be; 0: anything
    };
    /// What commit() would say now, and the id of its key.
    result<std::int64_t> check_commit(const commit_request& request);

    /// Turns the active snapshot `key` into the committed one `name`. Its labels
    /// are those given, and no others. not_found: no such key or parent;
    /// already_exists: the name; failed_precondition: the key is not active, or
    /// the parent is not committed; invalid_argument: it has another parent.
    result<void> commit(const commit_request& request);

    /// Forgets a snapshot and says what it was. not_found; failed_precondition
    /// when it has children.
    result<snapshot_link> remove(const std::string& name);

    /// Changes labels: all of them when `mask` is empty, else those it names
    /// ("labels", "labels.<key>"). Returns the new state. not_found;
    /// invalid_argument for any other field, or a label over the limit.
    result<snapshot_info> update(const snapshot_info& info, const std::vector<std::string>& mask);

    /// In order of their making.
    result<std::vector<snapshot_info>> list(const snapshot_filter& filter);

    /// All of them, ascending by id.
    result<std::vector<snapshot_link>> links();

    // Lazy layers

    /// The number of the layer with these digests, and remembers that image
    /// `reference` holds it. The 16 latest references are kept.
    result<std::uint32_t> find_or_add_layer(
      const digest& blob, const digest& toc, std::uint64_t blob_size, const std::string& reference);

    /// The layers that snapshots refer to: what a restart mounts again.
    result<std::vector<layer_record>> layers_in_use();
    /// The layers that no snapshot refers to.
    result<std::vector<layer_record>> layers_unused();

    /// The image references a layer was seen in, latest first.
    result<std::vector<std::string>> sources_of(std::uint32_t number);

    /// Success when there is no such layer; failed_precondition while in use.
    result<void> forget_layer(std::uint32_t number);

private:
    explicit snapshot_store(std::unique_ptr<database> db);
    std::unique_ptr<database> db_;
};

} // namespace firstlight
