#pragma once
// result<T> and fault: how an error crosses a boundary.
//
// Inside one coroutine an exception may unwind. At a boundary (a message to
// another actor, a FUSE reply, a gRPC reply, an HTTP exchange) the outcome is a
// value, because the other side cannot unwind our stack.

#include <boost/system/result.hpp>

#include <string>
#include <string_view>
#include <utility>

namespace firstlight {

/// What kind of failure it is; callers switch on this. The comment says what
/// the holder of such a fault may do.
enum class errc {
    not_found,           // no such snapshot, layer, blob or path
    already_exists,      // the name is taken
    invalid_argument,    // the caller's request is malformed; do not repeat it
    failed_precondition, // valid, but not in this state (snapshot has children, ...)
    unavailable,         // the other side refused or dropped us; retry with back-off
    unauthorized,        // credentials missing or refused, after refreshing them
    timed_out,           // the deadline of the request passed
    corrupt,             // bytes do not match their digest or format; never retry there
    overloaded,          // a mailbox, lane or budget is full; slow down
    no_space,            // the disk or the quota is full; go on uncached
    io_error,            // a system call failed on our own files
    unsupported,         // valid, but not implemented by this side
    stopping,            // the actor is shutting down
    interrupted,         // the one who asked does not want it any more
    unknown,             // an exception nobody expected
};

/// The errc's name as written above, for logs and metric labels.
std::string_view to_string(errc code) noexcept;

/// What went wrong, and on what. `context` is for people: what was tried, on
/// what (digest, range, host), and what to do; no code may parse it, and it
/// must not carry credentials.
class fault {
public:
    // result<T>::error() of Boost 1.81 needs a default constructor.
    fault() = default;
    // A constructor on purpose: g++ 12 destroys aggregate temporaries twice
    // inside a co_await expression, so boundary types are never aggregates.
    fault(errc code, std::string context)
      : code_(code)
      , context_(std::move(context)) {}

    errc code() const noexcept { return code_; }
    const std::string& context() const noexcept { return context_; }

    /// This fault, seen from one level up: `where` + ": " + context.
    fault in(std::string_view where) const;

private:
    errc code_ = errc::unknown;
    std::string context_;
};

template <class T>
using result = boost::system::result<T, fault>;

/// A fault for a failed system call: io_error (no_space for ENOSPC and EDQUOT,
/// not_found for ENOENT) with "`what`: strerror".
fault errno_fault(int error, std::string_view what);

// What result::value() throws when it holds a fault.
[[noreturn]] void throw_exception_from_error(const fault& f, const boost::source_location&);

} // namespace firstlight
