#include "fs/remote_snapshots.h"

#include "actors/log.h"

#include <optional>

namespace firstlight {

namespace {

std::string label_in(const snapshot_labels& labels, const char* key) {
    const auto found = labels.find(key);
    return found == labels.end() ? std::string() : found->second;
}

// Whether containerd, asking for `target` on `parent`, would take `existing` for it:
// it looks for these three. Source: containerd, core/metadata/snapshot.go.
bool stands_for(
  const snapshot_info& existing, const std::string& target, const std::string& parent) {
    return existing.kind == snapshot_kind::committed && existing.parent == parent &&
           label_in(existing.labels, snapshot_label::target) == target;
}

// One transaction's worth of what prepare() must know before it tries for a layer.
struct remote_plan {
    std::optional<snapshot_record> existing; // under the target's name
};

result<remote_plan> plan_remote(
  snapshot_store& store, const std::string& key, const std::string& parent,
  const std::string& target) {
    if (auto possible = store.check_new(key, parent); !possible) {
        return possible.error();
    }
    remote_plan plan;
    auto existing = store.get(target);
    if (existing) {
        plan.existing = std::move(*existing);
    } else if (existing.error().code() != errc::not_found) {
        return existing.error();
    }
    return plan;
}

} // namespace

// Between open() and the record of its layer, nobody may find that layer unused.
class remote_snapshots::opening {
public:
    explicit opening(remote_snapshots& s) noexcept
      : s_(s) {
        ++s_.opening_;
    }
    opening(const opening&) = delete;
    opening& operator=(const opening&) = delete;
    ~opening() {
        if (--s_.opening_ == 0 && s_.close_wanted_) {
            auto close = [&s = s_](std::stop_token) { return s.close_unused(); };
            s_.background_.spawn("closing unused layers", lane::background, std::move(close));
        }
    }

private:
    remote_snapshots& s_;
};

class remote_snapshots::closing {
public:
    explicit closing(remote_snapshots& s) noexcept
      : s_(s) {
        s_.closing_ = true;
    }
    closing(const closing&) = delete;
    closing& operator=(const closing&) = delete;
    ~closing() {
        s_.closing_ = false;
        s_.closed_.notify_all();
    }

private:
    remote_snapshots& s_;
};

task<remote_attempt>
remote_snapshots::make(std::string key, std::string parent, snapshot_labels labels) {
    const auto target = label_in(labels, snapshot_label::target);
    auto look = [key, parent, target](snapshot_store& store) {
        return plan_remote(store, key, parent, target);
    };
    auto plan = co_await store_.run(std::move(look));
    if (!plan) {
        co_return remote_attempt::failed(plan.error());
    }
    if (parent.empty() && !label_in(labels, snapshot_label::parent_chain).empty()) {
        co_return remote_attempt::ordinary(
          fault(errc::unsupported, "the parent will only be known at Commit"));
    }
    while (closing_) {
        co_await closed_.wait();
    }
    const opening held(*this);
    if (plan->existing) {
        co_return co_await reuse(std::move(*plan->existing), std::move(parent), std::move(labels));
    }
    auto layer = co_await layers_.open(labels, deadline::after(open_timeout_));
    if (!layer) {
        co_return remote_attempt::ordinary(layer.error());
    }
    co_return co_await record(target, std::move(parent), std::move(labels), layer->number());
}

task<remote_attempt> remote_snapshots::record(
  std::string target, std::string parent, snapshot_labels labels, std::uint32_t layer) {
    auto with_mark = labels;
    with_mark[snapshot_label::remote] = snapshot_label::remote_value;
    auto add = [target, parent, with_mark, layer](snapshot_store& store) {
        return store.create_remote(target, parent, with_mark, layer);
    };
    const auto recorded = co_await store_.run(std::move(add));
    if (recorded) {
        co_return remote_attempt::committed();
    }
    if (recorded.error().code() != errc::already_exists) {
        co_return remote_attempt::failed(recorded.error().in("cannot record the remote snapshot"));
    }
    // Somebody else, asked for the same target, was quicker.
    auto look = [target](snapshot_store& store) { return store.get(target); };
    auto existing = co_await store_.run(std::move(look));
    if (!existing) {
        co_return remote_attempt::failed(existing.error());
    }
    co_return co_await reuse(std::move(*existing), std::move(parent), std::move(labels));
}

task<remote_attempt>
remote_snapshots::reuse(snapshot_record existing, std::string parent, snapshot_labels labels) {
    const auto& target = existing.info.name;
    if (!stands_for(existing.info, target, parent)) {
        co_return remote_attempt::ordinary(fault(
          errc::already_exists,
          "snapshot \"" + target + "\" exists, on parent \"" + existing.info.parent + "\""));
    }
    if (!existing.layer || layers_.find(*existing.layer)) {
        co_return remote_attempt::committed();
    }
    // Known and not mounted, as when a restart could not reach the registry: these
    // labels may know better.
    auto layer = co_await layers_.open(labels, deadline::after(open_timeout_));
    if (!layer) {
        co_return remote_attempt::ordinary(layer.error());
    }
    if (layer->number() != *existing.layer) {
        co_return remote_attempt::ordinary(fault(
          errc::unavailable,
          "snapshot \"" + target + "\" exists with another blob, whose layer is not mounted"));
    }
    co_return remote_attempt::committed();
}

task<void> remote_snapshots::close_unused() {
    if (opening_ > 0) {
        close_wanted_ = true; // the last one opening comes back to it
        co_return;
    }
    if (closing_) {
        co_return;
    }
    close_wanted_ = false;
    const closing held(*this);
    auto look = [](snapshot_store& store) { return store.layers_unused(); };
    const auto unused = co_await store_.run(std::move(look));
    if (!unused) {
        log::warn("cannot look for unused layers", {{"reason", unused.error().context()}});
        co_return;
    }
    for (const auto& layer : *unused) {
        co_await layers_.close(layer.number);
        auto forget = [number = layer.number](snapshot_store& store) {
            return store.forget_layer(number);
        };
        if (auto done = co_await store_.run(std::move(forget)); !done) {
            log::warn("cannot forget a layer", {{"reason", done.error().context()}});
        }
    }
}

} // namespace firstlight
