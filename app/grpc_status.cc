#include "app/grpc_status.h"

#include <grpcpp/support/status.h>

namespace firstlight {

namespace {

grpc::StatusCode code_of(errc code) noexcept {
    switch (code) {
    case errc::not_found:
        return grpc::StatusCode::NOT_FOUND;
    case errc::already_exists:
        return grpc::StatusCode::ALREADY_EXISTS;
    case errc::invalid_argument:
        return grpc::StatusCode::INVALID_ARGUMENT;
    case errc::failed_precondition:
        return grpc::StatusCode::FAILED_PRECONDITION;
    case errc::unavailable:
    case errc::overloaded:
    case errc::stopping:
        return grpc::StatusCode::UNAVAILABLE;
    case errc::unsupported:
        return grpc::StatusCode::UNIMPLEMENTED;
    case errc::interrupted:
        return grpc::StatusCode::CANCELLED;
    case errc::timed_out:
        return grpc::StatusCode::DEADLINE_EXCEEDED;
    case errc::unauthorized:
    case errc::corrupt:
    case errc::no_space:
    case errc::io_error:
    case errc::unknown:
        break;
    }
    return grpc::StatusCode::UNKNOWN;
}

} // namespace

grpc::Status to_status(const fault& f) {
    return {code_of(f.code()), f.context()};
}

} // namespace firstlight
