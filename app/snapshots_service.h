#pragma once

#include "actors/result.h"
#include "fs/snapshotter.h"

#include <chrono>
#include <memory>
#include <string>

namespace grpc {
class Service;
}

namespace firstlight {

/// containerd.services.snapshots.v1.Snapshots over gRPC: each call is a coroutine
/// on the snapshotter's shard, answered from there. Must be destroyed after the
/// server it is registered with, and before the snapshotter.
///
class snapshots_service {
public:
    explicit snapshots_service(snapshotter& snapshots);
    ~snapshots_service();

    grpc::Service& grpc_service() noexcept;

private:
    class implementation; // the only user of gRPC's headers
    std::unique_ptr<implementation> implementation_;
};

} // namespace firstlight
