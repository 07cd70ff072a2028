#include "app/image_service_proxy.h"

#include "actors/log.h"
#include "proto/pull_image.pb.h"

#include <boost/asio/post.hpp>

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <vector>

namespace firstlight {

namespace {

constexpr std::string_view service_prefix = "/runtime.v1.ImageService/";
constexpr std::string_view pull_method = "/runtime.v1.ImageService/PullImage";
// How soon a containerd that has come back is found.
constexpr int reconnect_ms = 1000;

std::shared_ptr<grpc::Channel> channel_to(const std::string& path) {
    grpc::ChannelArguments how;
    how.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, reconnect_ms);
    how.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, reconnect_ms);
    how.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, reconnect_ms);
    how.SetMaxReceiveMessageSize(-1); // kubelet bounds what it takes
    return grpc::CreateCustomChannel("unix:" + path, grpc::InsecureChannelCredentials(), how);
}

// gRPC makes these itself, for each connection.
bool is_transport_metadata(std::string_view key) noexcept {
    return key.starts_with("grpc-") || key.starts_with(":") || key == "user-agent" ||
           key == "content-type" || key == "te";
}

template <class Map, class F>
void pass_on(const Map& metadata, F add) {
    for (const auto& [key, value] : metadata) {
        std::string name(key.data(), key.size());
        if (!is_transport_metadata(name)) {
            add(std::move(name), std::string(value.data(), value.size()));
        }
    }
}

bool parse(const grpc::ByteBuffer& from, runtime::v1::PullImageRequest& to) {
    std::vector<grpc::Slice> pieces;
    if (!from.Dump(&pieces).ok()) {
        return false;
    }
    std::string all;
    for (const auto& each : pieces) {
        all.append(reinterpret_cast<const char*>(each.begin()), each.size());
    }
    return to.ParseFromString(all);
}

cri_auth auth_in(const runtime::v1::AuthConfig& from) {
    cri_auth to;
    to.username = from.username();
    to.password = from.password();
    to.auth = from.auth();
    to.server_address = from.server_address();
    to.identity_token = from.identity_token();
    return to;
}

void note_pull(pulled_credentials& pulled, const runtime::v1::PullImageRequest& request) {
    const auto noted = pulled.remember(request.image().image(), auth_in(request.auth()));
    if (!noted) {
        log::warn("credentials of a pull are of no use", {{"error", noted.error().context()}});
    }
}

class relay;

// The call to containerd. `front_` waits for it, and ends with its OnDone.
class back_call final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
public:
    explicit back_call(relay& front)
      : front_(front) {}

    void start(
      grpc::GenericStub& stub, const grpc::GenericCallbackServerContext& asked,
      grpc::ByteBuffer* request);
    void cancel() { context_.TryCancel(); }
    // The last message has been delivered, or cannot be.
    void resume(bool delivered);

    void OnReadInitialMetadataDone(bool ok) override;
    void OnReadDone(bool ok) override;
    void OnDone(const grpc::Status& status) override;

private:
    relay& front_;
    grpc::ClientContext context_;
    grpc::ByteBuffer message_;
};

// The call to us: reads the one request, and writes what containerd answers.
class relay final : public grpc::ServerGenericBidiReactor {
public:
    relay(
      grpc::GenericCallbackServerContext& context, grpc::GenericStub& stub, shard& home,
      pulled_credentials& pulled)
      : context_(context)
      , stub_(stub)
      , home_(home)
      , pulled_(pulled)
      , back_(*this) {
        StartRead(&request_);
    }

    grpc::GenericCallbackServerContext& context() noexcept { return context_; }

    void OnReadDone(bool ok) override {
        if (!ok) {
            Finish(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "a call without a request"));
            return;
        }
        runtime::v1::PullImageRequest pull;
        if (context_.method() != pull_method || !parse(request_, pull) || !pull.has_auth()) {
            back_.start(stub_, context_, &request_);
            return;
        }
        asio::post(home_.on(lane::demand), [this, pull = std::move(pull)] {
            note_pull(pulled_, pull);
            back_.start(stub_, context_, &request_);
        });
    }
    void OnWriteDone(bool ok) override { back_.resume(ok); }
    void OnCancel() override { back_.cancel(); }
    void OnDone() override { delete this; }

private:
    grpc::GenericCallbackServerContext& context_;
    grpc::GenericStub& stub_;
    shard& home_;
    pulled_credentials& pulled_;
    grpc::ByteBuffer request_;
    back_call back_;
};

void back_call::start(
  grpc::GenericStub& stub, const grpc::GenericCallbackServerContext& asked,
  grpc::ByteBuffer* request) {
    context_.set_deadline(asked.deadline());
    pass_on(asked.client_metadata(), [this](std::string key, std::string value) {
        context_.AddMetadata(key, value);
    });
    stub.PrepareBidiStreamingCall(&context_, asked.method(), grpc::StubOptions(), this);
    AddHold(); // until the last message: or what is not read yet would be lost
    StartWriteLast(request, grpc::WriteOptions());
    StartCall();
}

void back_call::OnReadInitialMetadataDone(bool ok) {
    if (!ok) {
        RemoveHold();
        return;
    }
    pass_on(context_.GetServerInitialMetadata(), [this](std::string key, std::string value) {
        front_.context().AddInitialMetadata(key, value);
    });
    StartRead(&message_);
}

void back_call::OnReadDone(bool ok) {
    if (!ok) {
        RemoveHold();
        return;
    }
    front_.StartWrite(&message_);
}

void back_call::resume(bool delivered) {
    if (!delivered) {
        context_.TryCancel();
        RemoveHold();
        return;
    }
    StartRead(&message_);
}

void back_call::OnDone(const grpc::Status& status) {
    pass_on(context_.GetServerTrailingMetadata(), [this](std::string key, std::string value) {
        front_.context().AddTrailingMetadata(key, value);
    });
    front_.Finish(status); // and neither is there any more
}

} // namespace

class image_service_proxy::implementation final : public grpc::CallbackGenericService {
public:
    implementation(shard& home, pulled_credentials& pulled, const std::string& backend)
      : home_(home)
      , pulled_(pulled)
      , stub_(channel_to(backend)) {}

    grpc::ServerGenericBidiReactor*
    CreateReactor(grpc::GenericCallbackServerContext* context) override {
        if (!context->method().starts_with(service_prefix)) {
            return CallbackGenericService::CreateReactor(context); // UNIMPLEMENTED
        }
        return new relay(*context, stub_, home_, pulled_); // gRPC owns it until OnDone
    }

private:
    shard& home_;
    pulled_credentials& pulled_;
    grpc::GenericStub stub_;
};

image_service_proxy::image_service_proxy(
  shard& home, pulled_credentials& pulled, const std::string& backend)
  : implementation_(std::make_unique<implementation>(home, pulled, backend)) {
}

image_service_proxy::~image_service_proxy() = default;

grpc::CallbackGenericService& image_service_proxy::grpc_service() noexcept {
    return *implementation_;
}

} // namespace firstlight
