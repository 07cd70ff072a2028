#include "actors/result.h"

#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace firstlight {

std::string_view to_string(errc code) noexcept {
    switch (code) {
    case errc::not_found:
        return "not_found";
    case errc::already_exists:
        return "already_exists";
    case errc::invalid_argument:
        return "invalid_argument";
    case errc::failed_precondition:
        return "failed_precondition";
    case errc::unavailable:
        return "unavailable";
    case errc::unauthorized:
        return "unauthorized";
    case errc::timed_out:
        return "timed_out";
    case errc::corrupt:
        return "corrupt";
    case errc::overloaded:
        return "overloaded";
    case errc::no_space:
        return "no_space";
    case errc::io_error:
        return "io_error";
    case errc::unsupported:
        return "unsupported";
    case errc::stopping:
        return "stopping";
    case errc::interrupted:
        return "interrupted";
    case errc::unknown:
        break;
    }
    return "unknown";
}

fault fault::in(std::string_view where) const {
    std::string context(where);
    context += ": ";
    context += context_;
    return {code_, std::move(context)};
}

fault errno_fault(int error, std::string_view what) {
    auto code = errc::io_error;
    if (error == ENOSPC || error == EDQUOT) {
        code = errc::no_space;
    } else if (error == ENOENT) {
        code = errc::not_found;
    }
    // generic_category is thread safe where strerror is not.
    return fault(code, std::generic_category().message(error)).in(what);
}

void throw_exception_from_error(const fault& f, const boost::source_location&) {
    throw std::runtime_error(f.context());
}

} // namespace firstlight
