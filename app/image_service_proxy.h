#pragma once

#include "actors/shard.h"
#include "net/pulled_credentials.h"

#include <memory>
#include <string>

namespace grpc {
class CallbackGenericService;
}

namespace firstlight {

/// runtime.v1.ImageService of the Container Runtime Interface, as a go-between: each call is
/// passed on to containerd as it came (method, metadata, deadline, bytes), and so is the
/// answer (metadata, messages, status and its details). It reads nothing but PullImage's
/// request, for the credentials in it, which are remembered before containerd hears of the
/// pull. So methods and fields that are newer than this pass, too, if they take one request.
///
/// All other methods are UNIMPLEMENTED; without containerd a call is UNAVAILABLE. Destroyed
/// after the server it is registered with.
class image_service_proxy {
public:
    /// `backend` is the path of containerd's socket; it need not be there yet. `home` is the
    /// shard of `pulled`, which outlives this.
    image_service_proxy(shard& home, pulled_credentials& pulled, const std::string& backend);
    ~image_service_proxy();

    /// For methods that the server's other services do not have.
    grpc::CallbackGenericService& grpc_service() noexcept;

private:
    class implementation; // the only user of gRPC's headers
    std::unique_ptr<implementation> implementation_;
};

} // namespace firstlight
