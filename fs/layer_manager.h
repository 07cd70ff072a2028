#pragma once

#include "actors/background.h"
#include "actors/event.h"
#include "actors/runtime.h"
#include "fs/chunk_fetcher.h"
#include "fs/fs_metrics.h"
#include "fs/index_store.h"
#include "fs/layer_errors.h"
#include "fs/layer_filler.h"
#include "fs/layer_provider.h"
#include "fs/layer_resolver.h"
#include "fs/layer_source.h"
#include "fs/layer_table.h"
#include "fs/learned_prefetch.h"
#include "fs/store_writer.h"
#include "net/image_reference.h"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace firstlight {

/// What one shard brings to layers; its members live on that shard.
class layer_services {
public:
    layer_services(std::unique_ptr<registry_client> r, std::unique_ptr<layer_resolver> l) noexcept
      : registry(std::move(r))
      , resolver(std::move(l)) {}
    std::unique_ptr<registry_client> registry;
    std::unique_ptr<layer_resolver> resolver;
};

/// Makes layers appear in the mount and disappear from it.
///
/// A layer that was seen before is mounted from its stored index, without
/// network. For one that was not, all layers of its image are resolved side by
/// side, on the shards of their digests, so that the neighbours' own Prepare
/// finds them done.
///
/// Lives on shard 0, re-entrant. Invariant across suspensions: a blob is in
/// `resolving_` exactly while one coroutine resolves it.
class layer_manager final : public layer_provider {
public:
    struct options {
        std::string mountpoint; // of the FUSE mount
        bool disable_verification = false;
        bool allow_skip_label = false;          // honour the label that asks not to verify
        std::chrono::seconds resolved_ttl{120}; // for a neighbour's own Prepare
        bool prefetch = true;
        std::uint64_t prefetch_bytes = 0; // of layers with neither landmark nor label
        // How long a new container waits for its layers' prefetch; 0: not at all.
        std::chrono::milliseconds prefetch_wait{0};
        std::uint64_t prefetch_async_bytes = 0; // and not for one of more; 0: for any
        bool background_fetch = true;
        std::uint64_t index_bytes = 1ULL << 30; // of stored indexes nobody uses
    };
    /// Makes the kernel forget a layer's directory; blocks, so it runs in the io pool.
    using forget_directory = std::function<result<void>(const std::string& name)>;

    layer_manager(
      runtime& shards, layer_table& layers, store_writer& store, index_store indexes,
      std::vector<std::unique_ptr<layer_services>>& services, layer_filler& filler,
      learned_prefetch* learned, layer_errors& errors, fs_metrics& counted, forget_directory forget,
      options o);
    ~layer_manager() override;

    /// Mounts again, from their stored indexes alone, the layers that snapshots
    /// refer to. One whose index is gone is asked for at the registry, in the
    /// background; until then what is above it is unavailable.
    task<result<void>> restore();
    /// Ends what runs in the background.
    task<void> stop();

    task<result<lazy_layer>> open(const snapshot_labels& labels, deadline until) override;
    result<lazy_layer> find(std::uint32_t number) const override;
    task<void> await_prefetch(std::vector<std::uint32_t> numbers, std::stop_token stop) override;
    task<void> close(std::uint32_t number) override;
    std::string directory(std::uint32_t number) const override;

private:
    struct resolution { // of one blob: under way, or done and kept for a while
        std::optional<result<resolved_layer>> outcome;
        event done;
        deadline::clock::time_point until;
    };

    result<void> may_mount(const layer_source& source) const;
    task<result<resolved_layer>> known(digest toc);
    task<result<resolved_layer>>
    resolve(blob_address blob, std::optional<digest> expected, lane l, deadline until);
    task<result<resolved_layer>>
    resolve_there(blob_address blob, std::optional<digest> expected, lane l, deadline until);
    void resolve_neighbours(const layer_source& source, const image_reference& image);
    void drop_stale_resolutions();
    task<result<layer_ptr>>
    mount(const layer_source& source, const image_reference& image, resolved_layer resolved);
    task<result<layer_ptr>> enter(
      std::uint32_t number, digest blob, std::uint64_t blob_size, std::shared_ptr<const index> toc,
      std::vector<blob_address> sources);
    task<void> resolve_neighbour(blob_address blob);
    task<result<void>> restore_one(layer_record record);
    task<result<void>> enter_again(
      layer_record record, std::shared_ptr<const index> toc, std::vector<blob_address> sources);
    task<void> resolve_again(layer_record record, std::vector<blob_address> sources);
    void follow_up(layer_ptr l, const layer_source& source);
    task<bool> prefetched(std::uint32_t number, deadline until, std::stop_token stop);
    task<void>
    fetch_ahead(layer_ptr l, std::string image, std::uint64_t prefetch_end, std::stop_token stop);
    task<void> warm(layer_ptr l);

    runtime& shards_;
    layer_table& layers_;
    store_writer& store_;
    const index_store indexes_;
    std::vector<std::unique_ptr<layer_services>>& services_; // by shard id
    layer_filler& filler_;
    learned_prefetch* const learned_; // null: nothing is learned
    layer_errors& errors_;
    fs_metrics& counted_;
    const forget_directory forget_;
    const options options_;
    std::map<digest, std::shared_ptr<resolution>> resolving_;   // by blob
    std::map<std::uint32_t, std::shared_ptr<counter>> fetched_; // by layer number
    std::set<std::uint32_t> followed_up_;                       // layers
    std::set<std::uint32_t> worth_waiting_;                     // layers: for their prefetch
    std::set<std::uint32_t> replaying_;                         // layers: their read profiles
    event replay_over_;                                         // of one of those
    background_tasks tasks_;
};

} // namespace firstlight
