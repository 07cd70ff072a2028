#include "app/image_service_proxy.h"
#include "app/rpc_server.h"
#include "proto/pull_image.pb.h"
#include "test/captured_stderr.h"
#include "test/result_text.h"
#include "test/rig.h"
#include "test/temporary_directory.h"

#include <doctest/doctest.h>

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <functional>
#include <future>
#include <map>
#include <mutex>

using namespace firstlight;
using namespace std::chrono_literals;

namespace {

using metadata = std::multimap<std::string, std::string>;

grpc::ByteBuffer packed(const std::string& bytes) {
    const grpc::Slice slice(bytes);
    return {&slice, 1};
}

std::string unpacked(const grpc::ByteBuffer& from) {
    std::vector<grpc::Slice> pieces;
    REQUIRE(from.Dump(&pieces).ok());
    std::string all;
    for (const auto& each : pieces) {
        all.append(reinterpret_cast<const char*>(each.begin()), each.size());
    }
    return all;
}

metadata copied(const std::multimap<grpc::string_ref, grpc::string_ref>& from) {
    metadata all;
    for (const auto& [key, value] : from) {
        all.emplace(std::string(key.data(), key.size()), std::string(value.data(), value.size()));
    }
    return all;
}

std::string value_of(const metadata& all, const std::string& key) {
    const auto found = all.find(key);
    return found == all.end() ? "" : found->second;
}

// What containerd was asked, and what it is to answer.
struct asked {
    std::string method;
    std::string request;
    metadata sent;
    std::chrono::system_clock::time_point deadline;
};

struct reply {
    std::vector<std::string> messages;
    grpc::Status status;
    metadata initial, trailing;
    bool never = false; // answers nothing, until the client goes away
};

// In containerd's place: any method of any service.
class backend final : public grpc::CallbackGenericService {
public:
    explicit backend(const std::string& socket) {
        grpc::ServerBuilder builder;
        builder.AddListeningPort("unix:" + socket, grpc::InsecureServerCredentials());
        builder.RegisterCallbackGenericService(this);
        server_ = builder.BuildAndStart();
        REQUIRE(server_);
    }
    ~backend() override {
        server_->Shutdown(std::chrono::system_clock::now());
        server_->Wait();
        server_.reset();
    }

    std::vector<asked> log() {
        const std::lock_guard hold(mutex_);
        return log_;
    }
    void answer(reply r) {
        const std::lock_guard hold(mutex_);
        reply_ = std::move(r);
    }
    // Called when a request has come, before it is answered.
    std::function<void()> before;
    bool wait_for_cancelled() {
        std::unique_lock hold(mutex_);
        return changed_.wait_for(hold, 20s, [this] { return cancelled_ > 0; });
    }

    grpc::ServerGenericBidiReactor*
    CreateReactor(grpc::GenericCallbackServerContext* context) override {
        return new call(*this, *context);
    }

private:
    class call final : public grpc::ServerGenericBidiReactor {
    public:
        call(backend& owner, grpc::GenericCallbackServerContext& context)
          : owner_(owner)
          , context_(context) {
            StartRead(&request_);
        }
        void OnReadDone(bool ok) override {
            if (!ok) {
                Finish(grpc::Status(grpc::StatusCode::INTERNAL, "no request"));
                return;
            }
            if (owner_.before) {
                owner_.before();
            }
            reply_ = owner_.note(
              {context_.method(), unpacked(request_), copied(context_.client_metadata()),
               context_.deadline()});
            for (const auto& [key, value] : reply_.initial) {
                context_.AddInitialMetadata(key, value);
            }
            for (const auto& [key, value] : reply_.trailing) {
                context_.AddTrailingMetadata(key, value);
            }
            if (!reply_.never) {
                next();
            }
        }
        void OnWriteDone(bool) override { next(); }
        void OnCancel() override {
            if (reply_.never) {
                owner_.cancelled();
                Finish(grpc::Status::CANCELLED);
            }
        }
        void OnDone() override { delete this; }

    private:
        void next() {
            if (sent_ == reply_.messages.size()) {
                Finish(reply_.status);
                return;
            }
            message_ = packed(reply_.messages[sent_++]);
            StartWrite(&message_);
        }
        backend& owner_;
        grpc::GenericCallbackServerContext& context_;
        grpc::ByteBuffer request_, message_;
        reply reply_;
        std::size_t sent_ = 0;
    };

    reply note(asked a) {
        const std::lock_guard hold(mutex_);
        log_.push_back(std::move(a));
        return reply_;
    }
    void cancelled() {
        const std::lock_guard hold(mutex_);
        ++cancelled_;
        changed_.notify_all();
    }

    std::unique_ptr<grpc::Server> server_;
    std::mutex mutex_; // all below
    std::condition_variable changed_;
    std::vector<asked> log_;
    reply reply_;
    unsigned cancelled_ = 0;
};

// kubelet, the proxy, and containerd, with sockets between them.
struct proxied : test::two_shards {
    test::temporary_directory dir;
    pulled_credentials pulled;
    std::unique_ptr<backend> containerd = std::make_unique<backend>(dir / "containerd.sock");
    image_service_proxy proxy{a, pulled, dir / "containerd.sock"};
    std::unique_ptr<rpc_server> server = listen();
    grpc::GenericStub stub{
      grpc::CreateChannel("unix:" + (dir / "ours.sock"), grpc::InsecureChannelCredentials())};

    std::unique_ptr<rpc_server> listen() {
        auto s = rpc_server::listen(dir / "ours.sock", {}, &proxy.grpc_service());
        REQUIRE_MESSAGE(s.has_value(), s.error().context());
        return std::move(*s);
    }
    grpc::Status call(
      grpc::ClientContext& context, const std::string& method, const std::string& request,
      std::string* response = nullptr) {
        grpc::CompletionQueue queue;
        const auto bytes = packed(request);
        auto reader = stub.PrepareUnaryCall(&context, method, bytes, &queue);
        grpc::ByteBuffer answer;
        grpc::Status status;
        reader->StartCall();
        reader->Finish(&answer, &status, this);
        void* tag = nullptr;
        bool ok = false;
        REQUIRE(queue.Next(&tag, &ok));
        if (status.ok() && response) {
            *response = unpacked(answer);
        }
        return status;
    }
    grpc::Status
    call(const std::string& method, const std::string& request, std::string* response = nullptr) {
        grpc::ClientContext context;
        context.set_deadline(std::chrono::system_clock::now() + 20s);
        return call(context, "/runtime.v1.ImageService/" + method, request, response);
    }
    std::string known(const char* host, const char* repository) {
        const credential_query what(host, repository);
        const auto found = run(pulled.find(what));
        return *found ? (*found)->user() + ":" + (*found)->secret() : "none";
    }
};

std::string pull_of(const std::string& image, const std::string& user, const std::string& secret) {
    runtime::v1::PullImageRequest q;
    q.mutable_image()->set_image(image);
    if (!user.empty()) {
        q.mutable_auth()->set_username(user);
        q.mutable_auth()->set_password(secret);
    }
    // Fields that we know nothing of: sandbox_config, and one that does not exist yet.
    return q.SerializeAsString() + std::string("\x1a\x02\x0a\x00\xfa\x3e\x03new", 10);
}

} // namespace

TEST_CASE_FIXTURE(proxied, "a pull goes on unchanged, and whom it is by is remembered before") {
    const auto request = pull_of("quay.io/team/app:1", "u", "hunter2");
    std::string seen;
    containerd->before = [&] { seen = "asked"; };
    containerd->answer({{"pulled"}, {}, {}, {}, false});
    std::string response;
    REQUIRE(call("PullImage", request, &response).ok());
    CHECK(response == "pulled");
    CHECK(seen == "asked");
    REQUIRE(containerd->log().size() == 1);
    CHECK(containerd->log()[0].method == "/runtime.v1.ImageService/PullImage");
    CHECK(containerd->log()[0].request == request); // to the byte
    CHECK(known("quay.io", "team/app") == "u:hunter2");
    CHECK(known("quay.io", "team/other") == "none");
    CHECK(known("mirror.io", "team/app") == "none");
}

TEST_CASE_FIXTURE(proxied, "by the time containerd is asked the credentials can be found") {
    std::string then;
    containerd->before = [&] { then = known("docker.io", "library/busybox"); };
    containerd->answer({{""}, {}, {}, {}, false});
    REQUIRE(call("PullImage", pull_of("busybox", "u", "s")).ok());
    CHECK(then == "u:s");
}

TEST_CASE_FIXTURE(proxied, "pulls without credentials, or that make no sense, go on as well") {
    containerd->answer({{"x"}, {}, {}, {}, false});
    for (const auto& request :
         {pull_of("busybox", "", ""), std::string("\xff\xff no protobuf"), std::string(),
          pull_of("no reference!", "u", "s")}) {
        CHECK(call("PullImage", request).ok());
        CHECK(containerd->log().back().request == request);
    }
    CHECK(known("docker.io", "library/busybox") == "none");
}

TEST_CASE_FIXTURE(proxied, "what is of no use is logged, and not what it is") {
    const test::captured_stderr log;
    containerd->answer({{"x"}, {}, {}, {}, false});
    runtime::v1::PullImageRequest q;
    q.mutable_image()->set_image("busybox");
    q.mutable_auth()->set_auth("hunter2*");
    REQUIRE(call("PullImage", q.SerializeAsString()).ok());
    CHECK(log.text().find("pull of busybox") != std::string::npos);
    CHECK(log.text().find("hunter2") == std::string::npos);
}

TEST_CASE_FIXTURE(proxied, "any other method passes, known to us or not, large or small") {
    std::string large(6 << 20, 'l'); // more than gRPC takes unless told otherwise
    containerd->answer({{large}, {}, {}, {}, false});
    for (const auto* method :
         {"ListImages", "ImageStatus", "RemoveImage", "ImageFsInfo", "NotYet"}) {
        CAPTURE(method);
        grpc::ChannelArguments any;
        any.SetMaxReceiveMessageSize(-1);
        stub = grpc::GenericStub(grpc::CreateCustomChannel(
          "unix:" + (dir / "ours.sock"), grpc::InsecureChannelCredentials(), any));
        std::string response;
        CHECK(call(method, "q", &response).ok());
        CHECK(response == large);
        CHECK(containerd->log().back().method == "/runtime.v1.ImageService/" + std::string(method));
        CHECK(containerd->log().back().request == "q");
    }
}

TEST_CASE_FIXTURE(proxied, "a status passes as it is, with its details, and so does metadata") {
    reply r;
    r.status =
      grpc::Status(grpc::StatusCode::NOT_FOUND, "no such image", std::string("\x08\x05", 2));
    r.initial = {{"first", "1"}};
    r.trailing = {{"last", "2"}, {"blob-bin", std::string("\0\xff", 2)}};
    containerd->answer(r);
    grpc::ClientContext context;
    const auto until = std::chrono::system_clock::now() + 15s;
    context.set_deadline(until);
    context.AddMetadata("who", "kubelet");
    const auto status = call(context, "/runtime.v1.ImageService/ImageStatus", "q");
    CHECK(status.error_code() == grpc::StatusCode::NOT_FOUND);
    CHECK(status.error_message() == "no such image");
    CHECK(status.error_details() == std::string("\x08\x05", 2));
    CHECK(value_of(copied(context.GetServerInitialMetadata()), "first") == "1");
    const auto trailing = copied(context.GetServerTrailingMetadata());
    CHECK(value_of(trailing, "last") == "2");
    CHECK(value_of(trailing, "blob-bin") == std::string("\0\xff", 2));
    const auto seen = containerd->log()[0];
    CHECK(value_of(seen.sent, "who") == "kubelet");
    CHECK(seen.deadline <= until + 1s);
    CHECK(seen.deadline >= until - 5s);
}

TEST_CASE_FIXTURE(proxied, "a method that answers with several messages") {
    reply r;
    for (int i = 0; i < 200; ++i) {
        r.messages.push_back("message " + std::to_string(i));
    }
    r.status = grpc::Status(grpc::StatusCode::ABORTED, "after all");
    containerd->answer(r);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 20s);
    grpc::CompletionQueue queue;
    auto stream = stub.PrepareCall(&context, "/runtime.v1.ImageService/StreamImages", &queue);
    void* tag = nullptr;
    bool ok = false;
    stream->StartCall(this);
    REQUIRE(queue.Next(&tag, &ok));
    stream->WriteLast(packed("q"), grpc::WriteOptions(), this);
    REQUIRE(queue.Next(&tag, &ok));
    std::vector<std::string> got;
    grpc::ByteBuffer message;
    while (true) {
        stream->Read(&message, this);
        REQUIRE(queue.Next(&tag, &ok));
        if (!ok) {
            break;
        }
        got.push_back(unpacked(message));
    }
    grpc::Status status;
    stream->Finish(&status, this);
    REQUIRE(queue.Next(&tag, &ok));
    CHECK(got == r.messages);
    CHECK(status.error_code() == grpc::StatusCode::ABORTED);
}

TEST_CASE_FIXTURE(proxied, "a client that goes away, and a deadline, end the call to containerd") {
    reply r;
    r.never = true;
    containerd->answer(r);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 300ms);
    const auto status = call(context, "/runtime.v1.ImageService/PullImage", pull_of("b", "u", "s"));
    CHECK(status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED);
    CHECK(containerd->wait_for_cancelled());
}

TEST_CASE_FIXTURE(proxied, "stopping the server ends calls that are under way") {
    reply r;
    r.never = true;
    containerd->answer(r);
    auto pending = std::async(std::launch::async, [this] { return call("PullImage", "q"); });
    for (int i = 0; i < 4000 && containerd->log().empty(); ++i) {
        std::this_thread::sleep_for(5ms);
    }
    REQUIRE(containerd->log().size() == 1);
    server->stop(0ms);
    CHECK(!pending.get().ok());
}

TEST_CASE_FIXTURE(proxied, "other services are none of its business") {
    for (const auto* method :
         {"/runtime.v1.RuntimeService/Version", "/runtime.v1.ImageServiceX/PullImage",
          "/runtime.v1alpha2.ImageService/PullImage", "/x"}) {
        CAPTURE(method);
        grpc::ClientContext context;
        context.set_deadline(std::chrono::system_clock::now() + 20s);
        CHECK(call(context, method, "q").error_code() == grpc::StatusCode::UNIMPLEMENTED);
    }
    CHECK(containerd->log().empty());
}

TEST_CASE_FIXTURE(proxied, "without containerd a call is UNAVAILABLE, until it is back") {
    containerd->answer({{"x"}, {}, {}, {}, false});
    REQUIRE(call("ListImages", "q").ok());
    containerd.reset();
    CHECK(
      call("PullImage", pull_of("busybox", "u", "s")).error_code() ==
      grpc::StatusCode::UNAVAILABLE);
    CHECK(known("docker.io", "library/busybox") == "u:s");
    containerd = std::make_unique<backend>(dir / "containerd.sock");
    containerd->answer({{"x"}, {}, {}, {}, false});
    bool back = false;
    for (int i = 0; i < 400 && !back; ++i) {
        back = call("ListImages", "q").ok();
        std::this_thread::sleep_for(25ms);
    }
    CHECK(back);
}
