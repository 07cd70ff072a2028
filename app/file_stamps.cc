#include "app/file_stamps.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

namespace firstlight {

namespace {

std::int64_t in_ns(const timespec& t) {
    return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

} // namespace

file_stamps::stamp file_stamps::look(const std::string& path) {
    stamp s;
    struct ::stat is{};
    if (::stat(path.c_str(), &is) != 0) {
        s.error = errno;
        return s;
    }
    s.directory = S_ISDIR(is.st_mode);
    s.device = is.st_dev;
    s.inode = is.st_ino;
    s.size = static_cast<std::uint64_t>(is.st_size);
    s.modified_ns = in_ns(is.st_mtim);
    s.changed_ns = in_ns(is.st_ctim);
    return s;
}

file_stamps::kind file_stamps::note(const std::string& path) {
    auto known = std::ranges::find(noted_, path, &decltype(noted_)::value_type::first);
    if (known == noted_.end()) {
        known = noted_.insert(noted_.end(), {path, look(path)});
    }
    const auto& s = known->second;
    if (s.error == ENOENT || s.error == ENOTDIR) {
        return kind::nothing;
    }
    if (s.error != 0) {
        errno = s.error;
        return kind::unknown;
    }
    return s.directory ? kind::directory : kind::file;
}

bool file_stamps::hold() const {
    return std::ranges::all_of(
      noted_, [](const auto& each) { return look(each.first) == each.second; });
}

} // namespace firstlight
