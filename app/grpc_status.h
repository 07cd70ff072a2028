#pragma once

#include "actors/result.h"

namespace grpc {
class Status;
}

namespace firstlight {

/// The status that containerd's errdefs reads back as the same kind of error:
/// NOT_FOUND, ALREADY_EXISTS, INVALID_ARGUMENT, FAILED_PRECONDITION, UNAVAILABLE
/// (also for overloaded and stopping: it may try again), UNIMPLEMENTED,
/// DEADLINE_EXCEEDED; all else is UNKNOWN.
grpc::Status to_status(const fault& f);

} // namespace firstlight
