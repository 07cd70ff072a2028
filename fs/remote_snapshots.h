#pragma once

#include "actors/background.h"
#include "actors/event.h"
#include "fs/layer_provider.h"
#include "fs/store_writer.h"

#include <chrono>
#include <string>
#include <utility>

namespace firstlight {

/// How trying to have a layer mounted lazily ended. A class, not an aggregate,
/// since coroutines return it.
class remote_attempt {
public:
    enum class outcome {
        committed, // the target exists
        ordinary,  // it cannot be lazy: make an ordinary snapshot
        failed,    // an ordinary one would fail too
    };
    static remote_attempt committed() { return {outcome::committed, fault()}; }
    static remote_attempt ordinary(fault why) { return {outcome::ordinary, std::move(why)}; }
    static remote_attempt failed(fault why) { return {outcome::failed, std::move(why)}; }

    outcome how() const noexcept { return how_; }
    /// Meaningless when committed.
    const fault& why() const noexcept { return why_; }

private:
    remote_attempt(outcome how, fault why)
      : how_(how)
      , why_(std::move(why)) {}
    outcome how_;
    fault why_;
};

/// The committed snapshots that are lazy layers: how they come to be, and when
/// their layers may go.
///
/// A layer is mounted first, and recorded as committed under its target's name in
/// one transaction: nothing is ever active, so that nothing is left over when two
/// callers want one target, or after a crash.
///
/// Lives on shard 0; re-entrant.
class remote_snapshots {
public:
    remote_snapshots(
      shard& home, store_writer& store, layer_provider& layers,
      std::chrono::milliseconds open_timeout) noexcept
      : store_(store)
      , layers_(layers)
      , open_timeout_(open_timeout)
      , background_(home) {}

    /// Tries to answer a Prepare of `key` whose `labels` name a target. An existing
    /// snapshot of that name will do if it is what containerd would look for: on the
    /// same parent, with the same target label, and its layer mounted or mountable.
    task<remote_attempt> make(std::string key, std::string parent, snapshot_labels labels);

    /// Closes and forgets the layers that no snapshot refers to, once nobody is
    /// opening one: at once, or in the background.
    task<void> close_unused();

    /// Waits for the background.
    task<void> stop() { return background_.stop(); }

private:
    class opening;
    class closing;

    task<remote_attempt>
    reuse(snapshot_record existing, std::string parent, snapshot_labels labels);
    task<remote_attempt>
    record(std::string target, std::string parent, snapshot_labels labels, std::uint32_t layer);

    store_writer& store_;
    layer_provider& layers_;
    const std::chrono::milliseconds open_timeout_;
    background_tasks background_;

    // The provider's open() and close() never overlap: close() waits until nobody
    // is opening, open() until the closing is done.
    unsigned opening_ = 0;
    bool closing_ = false;
    bool close_wanted_ = false;
    event closed_;
};

} // namespace firstlight
