// kubelet's part of a pull: cri_pull SOCKET IMAGE [USER], the password on standard input.
// Prints the code of the status and its message, and fails if it is not OK.

#include "proto/pull_image.pb.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdio>
#include <iostream>
#include <string>

int main(int argc, char** argv) {
    if (argc < 3 || argc > 4) {
        std::fputs("usage: cri_pull SOCKET IMAGE [USER] <PASSWORD\n", stderr);
        return 2;
    }
    runtime::v1::PullImageRequest request;
    request.mutable_image()->set_image(argv[2]);
    if (argc == 4) {
        request.mutable_auth()->set_username(argv[3]);
        std::string password;
        std::getline(std::cin, password);
        request.mutable_auth()->set_password(password);
    }
    grpc::GenericStub stub(
      grpc::CreateChannel("unix:" + std::string(argv[1]), grpc::InsecureChannelCredentials()));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    grpc::CompletionQueue queue;
    const grpc::Slice slice(request.SerializeAsString());
    const grpc::ByteBuffer bytes(&slice, 1);
    auto call =
      stub.PrepareUnaryCall(&context, "/runtime.v1.ImageService/PullImage", bytes, &queue);
    grpc::ByteBuffer answer;
    grpc::Status status;
    call->StartCall();
    call->Finish(&answer, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    std::printf("%d %s\n", status.error_code(), status.error_message().c_str());
    return status.ok() ? 0 : 1;
}
