#include "fs/fuse_errno.h"

#include <cerrno>

namespace firstlight {

int to_errno(const fault& f) noexcept {
    switch (f.code()) {
    case errc::not_found:
        return ENOENT;
    case errc::invalid_argument:
        return EINVAL;
    case errc::stopping:
        return ENOTCONN;
    case errc::interrupted:
        return EINTR;
    case errc::already_exists:
    case errc::failed_precondition:
    case errc::unavailable:
    case errc::unauthorized:
    case errc::timed_out:
    case errc::corrupt:
    case errc::overloaded:
    case errc::no_space:
    case errc::io_error:
    case errc::unsupported:
    case errc::unknown:
        break;
    }
    return EIO;
}

} // namespace firstlight
