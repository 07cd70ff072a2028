#include "app/grpc_status.h"

#include <doctest/doctest.h>

#include <grpcpp/support/status.h>

#include <utility>
#include <vector>

using namespace firstlight;

TEST_CASE("faults become the statuses that containerd reads back") {
    const std::vector<std::pair<errc, grpc::StatusCode>> expected{
      {errc::not_found, grpc::StatusCode::NOT_FOUND},
      {errc::already_exists, grpc::StatusCode::ALREADY_EXISTS},
      {errc::invalid_argument, grpc::StatusCode::INVALID_ARGUMENT},
      {errc::failed_precondition, grpc::StatusCode::FAILED_PRECONDITION},
      {errc::unavailable, grpc::StatusCode::UNAVAILABLE},
      {errc::overloaded, grpc::StatusCode::UNAVAILABLE},
      {errc::stopping, grpc::StatusCode::UNAVAILABLE},
      {errc::interrupted, grpc::StatusCode::CANCELLED},
      {errc::unsupported, grpc::StatusCode::UNIMPLEMENTED},
      {errc::timed_out, grpc::StatusCode::DEADLINE_EXCEEDED},
      {errc::io_error, grpc::StatusCode::UNKNOWN},
      {errc::no_space, grpc::StatusCode::UNKNOWN},
      {errc::corrupt, grpc::StatusCode::UNKNOWN},
      {errc::unauthorized, grpc::StatusCode::UNKNOWN},
      {errc::unknown, grpc::StatusCode::UNKNOWN},
    };
    for (const auto& [code, status] : expected) {
        CAPTURE(to_string(code));
        const auto made = to_status(fault(code, "what was tried"));
        CHECK(made.error_code() == status);
        CHECK(made.error_message() == "what was tried");
    }
}
