#include "app/snapshots_service.h"

#include "app/unary.h"
#include "proto/snapshots.grpc.pb.h"

#include <google/protobuf/util/time_util.h>

namespace firstlight {

namespace {

namespace api = containerd::services::snapshots::v1;
using google::protobuf::Empty;
using google::protobuf::util::TimeUtil;
using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;

// containerd's own service sends as many.
constexpr std::size_t infos_in_block = 100;
// A quarter of what a gRPC client takes unless told otherwise.
constexpr std::size_t bytes_in_block = 1 << 20;

template <class Map>
snapshot_labels labels_from(const Map& map) {
    return {map.begin(), map.end()};
}

template <class Response>
void fill_mounts(const std::vector<mount_spec>& mounts, Response* response) {
    for (const auto& m : mounts) {
        auto* out = response->add_mounts();
        out->set_type(m.type);
        out->set_source(m.source);
        for (const auto& option : m.options) {
            out->add_options(option);
        }
    }
}

void fill_info(const snapshot_info& info, api::Info* out) {
    out->set_name(info.name);
    out->set_parent(info.parent);
    out->set_kind(static_cast<api::Kind>(info.kind));
    *out->mutable_created_at() =
      TimeUtil::NanosecondsToTimestamp(info.created.time_since_epoch().count());
    *out->mutable_updated_at() =
      TimeUtil::NanosecondsToTimestamp(info.updated.time_since_epoch().count());
    out->mutable_labels()->insert(info.labels.begin(), info.labels.end());
}

// An outcome with a value, as one without: `use` has put the value where it belongs.
template <class T, class F>
result<void> delivered(const result<T>& outcome, F use) {
    if (!outcome) {
        return outcome.error();
    }
    use(*outcome);
    return {};
}

// Sends the answer of a List in blocks. gRPC wants one write in flight, and a place
// for it to lie meanwhile; the reactor deletes itself when the call is over.
class list_reactor final : public grpc::ServerWriteReactor<api::ListSnapshotsResponse> {
public:
    void send(result<std::vector<snapshot_info>> found) {
        if (!found) {
            Finish(to_status(found.error()));
            return;
        }
        infos_ = std::move(*found);
        send_next();
    }

    void OnWriteDone(bool ok) override {
        if (!ok) {
            Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the client went away"));
            return;
        }
        send_next();
    }

    void OnDone() override { delete this; }

private:
    void send_next() {
        if (next_ == infos_.size()) {
            Finish(grpc::Status::OK);
            return;
        }
        block_.Clear();
        std::size_t bytes = 0;
        while (next_ < infos_.size() && bytes < bytes_in_block &&
               static_cast<std::size_t>(block_.info_size()) < infos_in_block) {
            auto* info = block_.add_info();
            fill_info(infos_[next_++], info);
            bytes += info->ByteSizeLong();
        }
        StartWrite(&block_);
    }

    std::vector<snapshot_info> infos_;
    std::size_t next_ = 0;
    api::ListSnapshotsResponse block_;
};

task<void>
answer_list(snapshotter& snapshots, std::vector<std::string> filters, list_reactor* reactor) {
    result<std::vector<snapshot_info>> found = fault(errc::unknown, "List");
    try {
        found = co_await snapshots.list(std::move(filters));
    } catch (const std::exception& e) {
        found = fault(errc::unknown, e.what());
    }
    reactor->send(std::move(found));
}

// The methods as coroutines. Request and response live until the call is answered.

task<result<void>>
prepare(snapshotter& s, const api::PrepareSnapshotRequest* q, api::PrepareSnapshotResponse* a) {
    auto mounts = co_await s.prepare(q->key(), q->parent(), labels_from(q->labels()));
    co_return delivered(mounts, [a](const auto& m) { fill_mounts(m, a); });
}

task<result<void>>
view(snapshotter& s, const api::ViewSnapshotRequest* q, api::ViewSnapshotResponse* a) {
    auto mounts = co_await s.view(q->key(), q->parent(), labels_from(q->labels()));
    co_return delivered(mounts, [a](const auto& m) { fill_mounts(m, a); });
}

task<result<void>> mounts(snapshotter& s, const api::MountsRequest* q, api::MountsResponse* a) {
    auto mounts = co_await s.mounts(q->key());
    co_return delivered(mounts, [a](const auto& m) { fill_mounts(m, a); });
}

task<result<void>> commit(snapshotter& s, const api::CommitSnapshotRequest* q, Empty*) {
    co_return co_await s.commit(q->name(), q->key(), q->parent(), labels_from(q->labels()));
}

task<result<void>> remove(snapshotter& s, const api::RemoveSnapshotRequest* q, Empty*) {
    co_return co_await s.remove(q->key());
}

task<result<void>>
stat(snapshotter& s, const api::StatSnapshotRequest* q, api::StatSnapshotResponse* a) {
    auto info = co_await s.stat(q->key());
    co_return delivered(info, [a](const auto& i) { fill_info(i, a->mutable_info()); });
}

task<result<void>>
update(snapshotter& s, const api::UpdateSnapshotRequest* q, api::UpdateSnapshotResponse* a) {
    snapshot_info wanted; // all else is not for the client to change
    wanted.name = q->info().name();
    wanted.labels = labels_from(q->info().labels());
    const auto& paths = q->update_mask().paths();
    std::vector<std::string> mask(paths.begin(), paths.end());
    auto info = co_await s.update(std::move(wanted), std::move(mask));
    co_return delivered(info, [a](const auto& i) { fill_info(i, a->mutable_info()); });
}

task<result<void>> usage(snapshotter& s, const api::UsageRequest* q, api::UsageResponse* a) {
    const auto use = co_await s.usage(q->key());
    co_return delivered(use, [a](const disk_use& u) {
        a->set_size(u.size);
        a->set_inodes(u.inodes);
    });
}

task<result<void>> cleanup(snapshotter& s, const api::CleanupRequest*, Empty*) {
    co_return co_await s.cleanup();
}

} // namespace

class snapshots_service::implementation final : public api::Snapshots::CallbackService {
public:
    explicit implementation(snapshotter& snapshots)
      : snapshots_(snapshots) {}

    ServerUnaryReactor* Prepare(
      CallbackServerContext* c, const api::PrepareSnapshotRequest* q,
      api::PrepareSnapshotResponse* a) override {
        return start(c, prepare, q, a);
    }
    ServerUnaryReactor* View(
      CallbackServerContext* c, const api::ViewSnapshotRequest* q,
      api::ViewSnapshotResponse* a) override {
        return start(c, view, q, a);
    }
    ServerUnaryReactor*
    Mounts(CallbackServerContext* c, const api::MountsRequest* q, api::MountsResponse* a) override {
        return start(c, mounts, q, a);
    }
    ServerUnaryReactor*
    Commit(CallbackServerContext* c, const api::CommitSnapshotRequest* q, Empty* a) override {
        return start(c, commit, q, a);
    }
    ServerUnaryReactor*
    Remove(CallbackServerContext* c, const api::RemoveSnapshotRequest* q, Empty* a) override {
        return start(c, remove, q, a);
    }
    ServerUnaryReactor* Stat(
      CallbackServerContext* c, const api::StatSnapshotRequest* q,
      api::StatSnapshotResponse* a) override {
        return start(c, stat, q, a);
    }
    ServerUnaryReactor* Update(
      CallbackServerContext* c, const api::UpdateSnapshotRequest* q,
      api::UpdateSnapshotResponse* a) override {
        return start(c, update, q, a);
    }
    ServerUnaryReactor*
    Usage(CallbackServerContext* c, const api::UsageRequest* q, api::UsageResponse* a) override {
        return start(c, usage, q, a);
    }
    ServerUnaryReactor*
    Cleanup(CallbackServerContext* c, const api::CleanupRequest* q, Empty* a) override {
        return start(c, cleanup, q, a);
    }

    grpc::ServerWriteReactor<api::ListSnapshotsResponse>*
    List(CallbackServerContext*, const api::ListSnapshotsRequest* q) override {
        auto* reactor = new list_reactor(); // gRPC owns it until OnDone
        std::vector<std::string> filters(q->filters().begin(), q->filters().end());
        asio::co_spawn(
          snapshots_.home().on(lane::demand), answer_list(snapshots_, std::move(filters), reactor),
          asio::detached);
        return reactor;
    }

private:
    template <class Request, class Response>
    using method = task<result<void>> (*)(snapshotter&, const Request*, Response*);

    template <class Request, class Response>
    ServerUnaryReactor*
    start(CallbackServerContext* c, method<Request, Response> m, const Request* q, Response* a) {
        auto handler = [&s = snapshots_, m, q, a] { return m(s, q, a); };
        return answer(c, snapshots_.home(), std::move(handler));
    }

    snapshotter& snapshots_;
};

snapshots_service::snapshots_service(snapshotter& snapshots)
  : implementation_(std::make_unique<implementation>(snapshots)) {
}

snapshots_service::~snapshots_service() = default;

grpc::Service& snapshots_service::grpc_service() noexcept {
    return *implementation_;
}

} // namespace firstlight
