#include "app/rpc_server.h"
#include "app/snapshots_service.h"
#include "proto/snapshots.grpc.pb.h"
#include "test/fs/snapshotter_rig.h"

#include <doctest/doctest.h>

#include <grpcpp/grpcpp.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <future>

using namespace firstlight;
using namespace std::chrono_literals;
namespace api = containerd::services::snapshots::v1;

namespace {

// A client, over a socket, of the service over a snapshotter.
struct served : test::snapshotter_rig {
    snapshots_service service{snapshots()};
    std::string socket = dir / "run/s.sock";
    std::unique_ptr<rpc_server> server = listen();
    std::unique_ptr<api::Snapshots::Stub> stub = api::Snapshots::NewStub(
      grpc::CreateChannel("unix:" + socket, grpc::InsecureChannelCredentials()));

    std::unique_ptr<rpc_server> listen() {
        auto s = rpc_server::listen(socket, {&service.grpc_service()});
        REQUIRE_MESSAGE(s.has_value(), s.error().context());
        return std::move(*s);
    }
    template <class Request, class Response>
    using method =
      grpc::Status (api::Snapshots::Stub::*)(grpc::ClientContext*, const Request&, Response*);

    template <class Request, class Response>
    grpc::Status call(method<Request, Response> m, const Request& q, Response& a) {
        grpc::ClientContext context;
        context.set_deadline(std::chrono::system_clock::now() + 20s);
        return (stub.get()->*m)(&context, q, &a);
    }
    grpc::Status
    prepare_as(const std::string& key, snapshot_labels labels, api::PrepareSnapshotResponse& a) {
        api::PrepareSnapshotRequest q;
        q.set_key(key);
        q.mutable_labels()->insert(labels.begin(), labels.end());
        return call(&api::Snapshots::Stub::Prepare, q, a);
    }
    // The sizes of the blocks that a List is answered with.
    grpc::Status blocks(std::vector<std::string> filters, std::vector<int>& sizes) {
        grpc::ClientContext context;
        context.set_deadline(std::chrono::system_clock::now() + 20s);
        api::ListSnapshotsRequest q;
        for (const auto& f : filters) {
            q.add_filters(f);
        }
        const auto reader = stub->List(&context, q);
        api::ListSnapshotsResponse block;
        while (reader->Read(&block)) {
            sizes.push_back(block.info_size());
        }
        return reader->Finish();
    }
};

} // namespace

TEST_CASE_FIXTURE(served, "the ten methods over the wire") {
    using stub_type = api::Snapshots::Stub;
    google::protobuf::Empty none;
    api::PrepareSnapshotResponse prepared;
    REQUIRE(prepare_as("a", {{"k", "v"}}, prepared).ok());
    REQUIRE(prepared.mounts_size() == 1);
    CHECK(prepared.mounts(0).type() == "bind");
    CHECK(prepared.mounts(0).source() == base() + "/1/fs");
    CHECK(prepared.mounts(0).options(0) == "rw");

    api::StatSnapshotRequest stat_q;
    stat_q.set_key("a");
    api::StatSnapshotResponse stat_a;
    REQUIRE(call(&stub_type::Stat, stat_q, stat_a).ok());
    CHECK(stat_a.info().kind() == api::ACTIVE);
    CHECK(stat_a.info().labels().at("k") == "v");
    CHECK(stat_a.info().created_at().seconds() > 1'600'000'000);

    api::UpdateSnapshotRequest update_q;
    update_q.mutable_info()->set_name("a");
    (*update_q.mutable_info()->mutable_labels())["l"] = "w";
    update_q.mutable_update_mask()->add_paths("labels.l");
    api::UpdateSnapshotResponse update_a;
    REQUIRE(call(&stub_type::Update, update_q, update_a).ok());
    CHECK(update_a.info().labels_size() == 2);

    api::UsageRequest usage_q;
    usage_q.set_key("a");
    api::UsageResponse usage_a;
    REQUIRE(call(&stub_type::Usage, usage_q, usage_a).ok());
    CHECK(usage_a.inodes() == 1);

    api::CommitSnapshotRequest commit_q;
    commit_q.set_key("a");
    commit_q.set_name("c");
    REQUIRE(call(&stub_type::Commit, commit_q, none).ok());

    api::ViewSnapshotRequest view_q;
    view_q.set_key("v");
    view_q.set_parent("c");
    api::ViewSnapshotResponse view_a;
    REQUIRE(call(&stub_type::View, view_q, view_a).ok());
    api::MountsRequest mounts_q;
    mounts_q.set_key("v");
    api::MountsResponse mounts_a;
    REQUIRE(call(&stub_type::Mounts, mounts_q, mounts_a).ok());
    CHECK(mounts_a.mounts(0).options(0) == "ro");
    CHECK(mounts_a.mounts(0).SerializeAsString() == view_a.mounts(0).SerializeAsString());

    std::vector<int> sizes;
    REQUIRE(blocks({"kind==view", "name==c"}, sizes).ok());
    CHECK(sizes == std::vector{2});

    api::RemoveSnapshotRequest remove_q;
    remove_q.set_key("c");
    CHECK(
      call(&stub_type::Remove, remove_q, none).error_code() ==
      grpc::StatusCode::FAILED_PRECONDITION);
    remove_q.set_key("v");
    REQUIRE(call(&stub_type::Remove, remove_q, none).ok());
    REQUIRE(call(&stub_type::Cleanup, api::CleanupRequest(), none).ok());
    CHECK(directories() == std::set<std::string>{"1"});
}

TEST_CASE_FIXTURE(served, "a lazy layer is ALREADY_EXISTS on the wire, with the target's name") {
    api::PrepareSnapshotResponse a;
    const auto status =
      prepare_as("x", {{snapshot_label::target, "sha256:c1"}, {"test/layer", "L"}}, a);
    CHECK(status.error_code() == grpc::StatusCode::ALREADY_EXISTS);
    CHECK(status.error_message() == "target snapshot \"sha256:c1\": already exists");
}

TEST_CASE_FIXTURE(served, "a list comes in blocks of at most a hundred, and of a megabyte") {
    for (int i = 0; i < 230; ++i) {
        REQUIRE(prepare("small-" + std::to_string(i)).has_value());
    }
    std::vector<int> sizes;
    REQUIRE(blocks({}, sizes).ok());
    CHECK(sizes == std::vector{100, 100, 30});
    sizes.clear();
    REQUIRE(blocks({"name==none"}, sizes).ok());
    CHECK(sizes.empty());
    CHECK(blocks({"name="}, sizes).error_code() == grpc::StatusCode::INVALID_ARGUMENT);

    snapshot_labels heavy;
    for (int i = 0; i < 100; ++i) {
        heavy["label-" + std::to_string(i)] = std::string(4000, 'v');
    }
    for (int i = 0; i < 5; ++i) {
        REQUIRE(prepare("big-" + std::to_string(i), "", heavy).has_value());
    }
    REQUIRE(blocks({"name~=^big"}, sizes).ok());
    CHECK(sizes == std::vector{3, 2});
}

TEST_CASE_FIXTURE(served, "stopping waits for the calls that run, within its patience") {
    on_shard([this] { p->layers.held = true; });
    auto slow = std::async(std::launch::async, [this] {
        api::PrepareSnapshotResponse a;
        return prepare_as("x", {{snapshot_label::target, "t"}, {"test/layer", "L"}}, a);
    });
    while (true) {
        unsigned opens = 0;
        on_shard([&] { opens = p->layers.opens; });
        if (opens == 1) {
            break;
        }
    }
    auto stopped = std::async(std::launch::async, [this] { server->stop(10s); });
    CHECK(stopped.wait_for(20ms) == std::future_status::timeout);
    on_shard([this] {
        p->layers.held = false;
        p->layers.released.notify_all();
    });
    stopped.get();
    CHECK(slow.get().error_code() == grpc::StatusCode::ALREADY_EXISTS);
    CHECK_FALSE(std::filesystem::exists(socket));
}

TEST_CASE_FIXTURE(served, "the socket is private, and taken over only from the dead") {
    struct stat st{};
    REQUIRE(::stat(socket.c_str(), &st) == 0);
    CHECK((st.st_mode & 07777) == 0600);
    REQUIRE(::stat((dir / "run").c_str(), &st) == 0);
    CHECK((st.st_mode & 07777) == 0700);

    const auto second = rpc_server::listen(socket, {});
    REQUIRE(second.has_error());
    CHECK(second.error().code() == errc::already_exists);
    api::PrepareSnapshotResponse a;
    CHECK(prepare_as("still-served", {}, a).ok());

    server->stop(1s);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    socket.copy(address.sun_path, sizeof address.sun_path - 1);
    const int dead = ::socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE(::bind(dead, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    ::close(dead); // as a killed process leaves it
    server = listen();
    CHECK(prepare_as("served-again", {}, a).ok());
}

TEST_CASE("a path that cannot be a socket is refused") {
    const test::temporary_directory dir;
    CHECK(rpc_server::listen("", {}).error().code() == errc::invalid_argument);
    CHECK(
      rpc_server::listen(dir / std::string(200, 'x'), {}).error().code() == errc::invalid_argument);
    test::write_file(dir / "file", "precious");
    CHECK(rpc_server::listen(dir / "file", {}).error().code() == errc::invalid_argument);
    CHECK(std::filesystem::file_size(dir / "file") == 8);
}
