#include "fs/snapshotter.h"

#include "actors/log.h"
#include "fs/disk_usage.h"
#include "fs/remove_tree.h"

#include <array>
#include <utility>

namespace firstlight {

namespace {

constexpr mailbox::limits calls_at_once{256, 64, 16};
constexpr std::chrono::seconds patience{10};

constexpr std::array all_errors{
  errc::not_found,   errc::already_exists, errc::invalid_argument, errc::failed_precondition,
  errc::unavailable, errc::unauthorized,   errc::timed_out,        errc::corrupt,
  errc::overloaded,  errc::no_space,       errc::io_error,         errc::unsupported,
  errc::stopping,    errc::interrupted,    errc::unknown,
};

std::string label_in(const snapshot_labels& labels, const char* key) {
    const auto found = labels.find(key);
    return found == labels.end() ? std::string() : found->second;
}

fault target_exists(const std::string& target) {
    return {errc::already_exists, "target snapshot \"" + target + "\": already exists"};
}

void log_remote(const std::string& target, const std::string& key, const std::string& parent) {
    log::debug(
      "prepared as a remote snapshot",
      {{"remote-snapshot-prepared", "true"}, {"key", key}, {"parent", parent}, {"target", target}});
}

} // namespace

snapshotter::snapshotter(
  shard& home, worker_pool& io, store_writer& store, layer_provider& layers, metrics& counts,
  options o)
  : home_(home)
  , io_(io)
  , store_(store)
  , layers_(layers)
  , options_(std::move(o))
  , directories_(options_.root)
  , box_(calls_at_once)
  , background_(home)
  , remote_(home, store, layers, options_.open_timeout)
  , prepared_remote_(counts.add_counter(
      "firstlight_remote_snapshots_total", "Snapshots whose layer was mounted lazily.")) {
    for (const auto code : all_errors) {
        fallbacks_[code] = &counts.add_counter(
          "firstlight_snapshot_fallbacks_total",
          "Layers that could not be lazy and were left to containerd to download.",
          {{"reason", std::string(to_string(code))}});
    }
}

task<result<void>> snapshotter::start() {
    auto make = [this]() -> result<void> { return directories_.make_base(); };
    if (auto made = co_await io_.run(lane::demand, std::move(make)); !made) {
        co_return made;
    }
    auto leftovers = co_await set_aside();
    if (!leftovers) {
        co_return leftovers.error();
    }
    auto sweep = [this, paths = std::move(*leftovers)](std::stop_token stop) {
        return delete_all(paths, stop);
    };
    background_.spawn("deleting leftover directories", lane::background, std::move(sweep));
    co_return result<void>();
}

task<void> snapshotter::stop() {
    co_await remote_.stop();
    co_await background_.stop(); // also ends a cleanup after the directory it is at
    co_await box_.close();
    co_await awaiting_.close();
}

// Making

task<snapshotter::mounts_result>
snapshotter::prepare(std::string key, std::string parent, snapshot_labels labels) {
    const bool layer = !label_in(labels, snapshot_label::target).empty();
    auto made = co_await prepare_in_turn(std::move(key), std::move(parent), std::move(labels));
    if (!made) {
        co_return made.error();
    }
    if (!layer) {
        co_await await_prefetch(std::move(made->lazy_below));
    }
    co_return std::move(made->mounts);
}

task<snapshotter::mounts_result>
snapshotter::view(std::string key, std::string parent, snapshot_labels labels) {
    auto made = co_await view_in_turn(std::move(key), std::move(parent), std::move(labels));
    if (!made) {
        co_return made.error();
    }
    co_await await_prefetch(std::move(made->lazy_below));
    co_return std::move(made->mounts);
}

// Who finds no room does not wait; nor does anybody once we stop.
task<void> snapshotter::await_prefetch(std::vector<std::uint32_t> layers) {
    if (layers.empty()) {
        co_return;
    }
    const auto slot = co_await awaiting_.admit(lane::demand, std::chrono::milliseconds(0));
    if (slot) {
        co_await layers_.await_prefetch(std::move(layers), background_.token());
    }
}

task<result<snapshotter::made_snapshot>>
snapshotter::prepare_in_turn(std::string key, std::string parent, snapshot_labels labels) {
    const auto slot = co_await box_.admit(lane::demand, patience);
    if (!slot) {
        co_return slot.error();
    }
    if (auto valid = check_labels(labels); !valid) {
        co_return valid.error();
    }
    const auto target = label_in(labels, snapshot_label::target);
    if (!target.empty()) {
        const auto tried = co_await remote_.make(key, parent, labels);
        switch (tried.how()) {
        case remote_attempt::outcome::committed:
            prepared_remote_.add();
            log_remote(target, key, parent);
            co_return target_exists(target);
        case remote_attempt::outcome::failed:
            co_return tried.why();
        case remote_attempt::outcome::ordinary:
            fell_back(tried.why(), key, parent);
        }
    }
    co_return co_await make(
      snapshot_kind::active, std::move(key), std::move(parent), std::move(labels));
}

task<result<snapshotter::made_snapshot>>
snapshotter::view_in_turn(std::string key, std::string parent, snapshot_labels labels) {
    const auto slot = co_await box_.admit(lane::demand, patience);
    if (!slot) {
        co_return slot.error();
    }
    co_return co_await make(
      snapshot_kind::view, std::move(key), std::move(parent), std::move(labels));
}

void snapshotter::fell_back(const fault& why, const std::string& key, const std::string& parent) {
    fallbacks_.at(why.code())->add();
    log::warn(
      "layer cannot be lazy, preparing an ordinary snapshot",
      {{"remote-snapshot-prepared", "false"},
       {"key", key},
       {"parent", parent},
       {"reason", why.context()},
       {"code", to_string(why.code())}});
}

task<result<snapshotter::made_snapshot>>
snapshotter::make(snapshot_kind kind, std::string key, std::string parent, snapshot_labels labels) {
    auto look = [key, parent](snapshot_store& store) { return store.check_new(key, parent); };
    auto parents = co_await store_.run(std::move(look));
    if (!parents) {
        co_return parents.error();
    }
    if (auto available = check_available(*parents); !available) {
        co_return available.error();
    }
    auto owner = lazy_owner(*parents);
    auto create = [this, kind, key, parent, labels, parents = std::move(*parents),
                   owner](snapshot_store& store) -> result<snapshot_chain> {
        std::optional<std::int64_t> added;
        auto arrange = [&](const snapshot_chain& chain) -> result<void> {
            if (chain.parents != parents) {
                return fault(errc::unavailable, "the parent was replaced meanwhile; try again");
            }
            auto its_owner = owner;
            if (!owner && !parents.empty()) {
                auto found = directories_.owner_of(parents.front().id);
                if (!found) {
                    return found.error();
                }
                its_owner = *found;
            }
            if (auto made = directories_.add(chain.own.id, kind, its_owner); !made) {
                return made;
            }
            added = chain.own.id;
            return {};
        };
        auto made = store.create(kind, key, parent, labels, arrange);
        if (!made && added) { // the id will be given to the next one
            if (auto removed = remove_tree(directories_.directory_of(*added)); !removed) {
                return made.error().in(removed.error().context());
            }
        }
        return made;
    };
    const auto made = co_await store_.run(std::move(create));
    if (!made) {
        co_return made.error();
    }
    auto mounts = mounts_of(*made);
    if (!mounts) {
        co_return mounts.error();
    }
    made_snapshot done;
    done.mounts = std::move(*mounts);
    for (const auto& link : made->parents) {
        if (link.layer) {
            done.lazy_below.push_back(*link.layer);
        }
    }
    co_return done;
}

// Looking

result<void> snapshotter::check_available(const std::vector<snapshot_link>& parents) const {
    for (const auto& link : parents) {
        if (!link.layer) {
            continue;
        }
        if (const auto found = layers_.find(*link.layer); !found) {
            return fault(errc::unavailable, found.error().context())
              .in("layer \"" + std::to_string(link.id) + "\" unavailable");
        }
    }
    return {};
}

// Never stat a path of our own mount: the answer would have to come from here.
std::optional<tree_owner> snapshotter::lazy_owner(const std::vector<snapshot_link>& parents) const {
    if (parents.empty() || !parents.front().layer) {
        return std::nullopt;
    }
    const auto layer = layers_.find(*parents.front().layer);
    return layer ? std::optional(tree_owner{layer->uid(), layer->gid()}) : std::nullopt;
}

snapshotter::mounts_result snapshotter::mounts_of(const snapshot_chain& chain) const {
    if (auto available = check_available(chain.parents); !available) {
        return available.error();
    }
    std::vector<std::string> lowers;
    for (const auto& link : chain.parents) {
        lowers.push_back(
          link.layer ? layers_.directory(*link.layer) : directories_.tree_of(link.id));
    }
    return overlay_mounts(
      chain.kind, directories_.directory_of(chain.own.id), lowers, options_.overlay);
}

task<snapshotter::mounts_result> snapshotter::mounts(std::string key) {
    const auto slot = co_await box_.admit(lane::demand, patience);
    if (!slot) {
        co_return slot.error();
    }
    auto look = [key](snapshot_store& store) { return store.chain_of(key); };
    const auto chain = co_await store_.run(std::move(look));
    if (!chain) {
        co_return chain.error();
    }
    co_return mounts_of(*chain);
}

task<result<snapshot_info>> snapshotter::stat(std::string key) {
    const auto slot = co_await box_.admit(lane::demand, patience);
    if (!slot) {
        co_return slot.error();
    }
    auto look = [key](snapshot_store& store) { return store.get(key); };
    auto found = co_await store_.run(std::move(look));
    if (!found) {
        co_return found.error();
    }
    co_return std::move(found->info);
}

task<result<std::vector<snapshot_info>>> snapshotter::list(std::vector<std::string> filters) {
    const auto slot = co_await box_.admit(lane::demand, patience);
    if (!slot) {
        co_return slot.error();
    }
    auto look =
      [filters = std::move(filters)](snapshot_store& store) -> result<std::vector<snapshot_info>> {
        const auto filter = snapshot_filter::parse(filters);
        if (!filter) {
            return filter.error();
        }
        return store.list(*filter);
    };
    co_return co_await store_.run(std::move(look));
}

task<result<disk_use>> snapshotter::measure(std::int64_t id, lane l) {
    auto scan = [path = directories_.tree_of(id)] { return measure_disk_use(path); };
    co_return co_await io_.run(l, std::move(scan));
}

task<result<disk_use>> snapshotter::usage(std::string key) {
    const auto slot = co_await box_.admit(lane::demand, patience);
    if (!slot) {
        co_return slot.error();
    }
    auto look = [key](snapshot_store& store) { return store.get(key); };
    const auto found = co_await store_.run(std::move(look));
    if (!found) {
        co_return found.error();
    }
    if (found->layer) {
        co_return layers_.usage(*found->layer);
    }
    if (found->info.kind == snapshot_kind::active) {
        co_return co_await measure(found->id, lane::background); // kubelet polls it
    }
    co_return found->use;
}

// Changing

task<result<void>>
snapshotter::commit(std::string name, std::string key, std::string parent, snapshot_labels labels) {
    const auto slot = co_await box_.admit(lane::demand, patience);
    if (!slot) {
        co_return slot.error();
    }
    snapshot_store::commit_request request;
    request.name = std::move(name);
    request.key = std::move(key);
    request.parent = std::move(parent);
    request.labels = std::move(labels);
    auto look = [request](snapshot_store& store) { return store.check_commit(request); };
    const auto id = co_await store_.run(std::move(look));
    if (!id) {
        co_return id.error();
    }
    const auto use = co_await measure(*id, lane::prefetch);
    if (!use) {
        co_return use.error();
    }
    request.id = *id;
    request.use = *use;
    auto record = [request](snapshot_store& store) { return store.commit(request); };
    co_return co_await store_.run(std::move(record));
}

task<result<void>> snapshotter::remove(std::string key) {
    const auto slot = co_await box_.admit(lane::demand, patience);
    if (!slot) {
        co_return slot.error();
    }
    auto forget = [key](snapshot_store& store) { return store.remove(key); };
    const auto gone = co_await store_.run(std::move(forget));
    if (!gone) {
        co_return gone.error();
    }
    co_return result<void>();
}

task<result<snapshot_info>> snapshotter::update(snapshot_info info, std::vector<std::string> mask) {
    const auto slot = co_await box_.admit(lane::demand, patience);
    if (!slot) {
        co_return slot.error();
    }
    auto change = [info = std::move(info), mask = std::move(mask)](snapshot_store& store) {
        return store.update(info, mask);
    };
    co_return co_await store_.run(std::move(change));
}

// Cleaning up

task<result<std::vector<std::string>>> snapshotter::set_aside() {
    auto sort_out = [this](snapshot_store& store) -> result<std::vector<std::string>> {
        const auto links = store.links();
        if (!links) {
            return links.error();
        }
        std::vector<std::int64_t> live;
        for (const auto& link : *links) {
            if (!link.layer) {
                live.push_back(link.id);
            }
        }
        auto found = directories_.set_aside(live);
        if (!found) {
            return found.error();
        }
        for (const auto id : found->missing) {
            log::warn(
              "a snapshot's directory is missing; remove the snapshot and pull its image again",
              {{"path", directories_.directory_of(id)}});
        }
        return std::move(found->paths);
    };
    co_return co_await store_.run(std::move(sort_out));
}

task<void> snapshotter::delete_all(std::vector<std::string> paths, std::stop_token stop) {
    for (const auto& path : paths) {
        if (stop.stop_requested()) {
            co_return; // the next start finds the rest
        }
        auto remove = [path] { return remove_tree(path); };
        if (auto removed = co_await io_.run(lane::background, std::move(remove)); !removed) {
            log::warn("a leftover directory stays", {{"reason", removed.error().context()}});
        }
    }
}

task<result<void>> snapshotter::cleanup() {
    const auto slot = co_await box_.admit(lane::demand, patience);
    if (!slot) {
        co_return slot.error();
    }
    const auto turn = co_await sweeping_.admit(lane::demand, std::chrono::minutes(10));
    if (!turn) {
        co_return turn.error();
    }
    co_await remote_.close_unused();
    auto leftovers = co_await set_aside();
    if (!leftovers) {
        co_return leftovers.error();
    }
    co_await delete_all(std::move(*leftovers), background_.token());
    co_return result<void>();
}

} // namespace firstlight
