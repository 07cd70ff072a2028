#include "app/rpc_server.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace firstlight {

namespace {

// Bytes of one request. Labels of 4 KiB each are the bulk of it.
constexpr int request_limit = 16 << 20;

result<void> make_directory_of(const std::string& path) {
    const auto directory = std::filesystem::path(path).parent_path();
    if (directory.empty()) {
        return {};
    }
    std::error_code failed;
    std::filesystem::create_directories(directory.parent_path(), failed);
    if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
        return errno_fault(errno, "cannot make " + directory.string());
    }
    return {};
}

// 0 when somebody listens there, else errno.
int try_connect(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return errno;
    }
    const int code = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    const int error = code == 0 ? 0 : errno;
    ::close(fd);
    return error;
}

result<void> clear_the_way(const std::string& path) {
    struct stat st{};
    if (::lstat(path.c_str(), &st) != 0) {
        if (errno == ENOENT) {
            return {};
        }
        return errno_fault(errno, "cannot look at " + path);
    }
    if (!S_ISSOCK(st.st_mode)) {
        return fault(errc::invalid_argument, path + " exists and is not a socket");
    }
    if (try_connect(path) != ECONNREFUSED) {
        return fault(
          errc::already_exists, path + " is served by another process; stop that one first");
    }
    if (::unlink(path.c_str()) != 0) {
        return errno_fault(errno, "cannot replace " + path);
    }
    return {};
}

} // namespace

class rpc_server::implementation {
public:
    implementation(std::unique_ptr<grpc::Server> server, std::string path)
      : server_(std::move(server))
      , path_(std::move(path)) {}

    void stop(std::chrono::milliseconds patience) {
        if (!server_) {
            return;
        }
        server_->Shutdown(std::chrono::system_clock::now() + patience);
        server_->Wait();
        server_.reset();
        ::unlink(path_.c_str()); // gRPC does so too, but does not promise it
    }

private:
    std::unique_ptr<grpc::Server> server_;
    const std::string path_;
};

result<std::unique_ptr<rpc_server>> rpc_server::listen(
  const std::string& path, const std::vector<grpc::Service*>& services,
  grpc::CallbackGenericService* fallback) {
    if (path.empty() || path.size() >= sizeof(sockaddr_un::sun_path)) {
        return fault(
          errc::invalid_argument, "\"" + path + "\": a socket's path has 1 to 107 characters");
    }
    for (const auto step : {make_directory_of, clear_the_way}) {
        if (auto done = step(path); !done) {
            return done.error();
        }
    }
    grpc::EnableDefaultHealthCheckService(true);
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + path, grpc::InsecureServerCredentials());
    builder.SetMaxReceiveMessageSize(request_limit);
    for (auto* service : services) {
        builder.RegisterService(service);
    }
    if (fallback) {
        builder.RegisterCallbackGenericService(fallback);
    }
    auto server = builder.BuildAndStart();
    if (!server) {
        return fault(errc::io_error, "cannot listen on " + path);
    }
    auto running = std::make_unique<implementation>(std::move(server), path);
    if (::chmod(path.c_str(), 0600) != 0) {
        return errno_fault(errno, "cannot set the mode of " + path);
    }
    return std::unique_ptr<rpc_server>(new rpc_server(std::move(running)));
}

rpc_server::rpc_server(std::unique_ptr<implementation> i)
  : implementation_(std::move(i)) {
}

rpc_server::~rpc_server() {
    stop(std::chrono::milliseconds(0));
}

void rpc_server::stop(std::chrono::milliseconds patience) {
    implementation_->stop(patience);
}

} // namespace firstlight
