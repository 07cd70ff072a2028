#pragma once

#include "actors/result.h"

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace grpc {
class CallbackGenericService;
class Service;
} // namespace grpc

namespace firstlight {

/// gRPC services on a unix socket, on gRPC's own threads.
///
/// Used from main's thread alone: starting and stopping block.
class rpc_server {
public:
    /// Listens on the socket at `path`. Its directory is made (mode 0700) if missing,
    /// the socket has mode 0600, and a socket that nobody listens on any more is
    /// replaced. Methods of none of the services go to `fallback`, if there is one. The
    /// services must outlive the server.
    ///
    /// Errors: already_exists, when somebody does listen there; invalid_argument,
    /// when the path is too long for a socket or is something else; io_error.
    static result<std::unique_ptr<rpc_server>> listen(
      const std::string& path, const std::vector<grpc::Service*>& services,
      grpc::CallbackGenericService* fallback = nullptr);

    ~rpc_server(); // stops at once, if stop() has not been called

    /// Refuses new calls, gives the running ones `patience` to finish, then cancels
    /// them. Every call has been answered when it returns, so stop this before what
    /// the services use. The socket is removed.
    void stop(std::chrono::milliseconds patience);

private:
    class implementation;
    explicit rpc_server(std::unique_ptr<implementation> i);
    std::unique_ptr<implementation> implementation_;
};

} // namespace firstlight
