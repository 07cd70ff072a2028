#include "fs/remove_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace firstlight {

namespace {

// Directories deeper than this are first moved up to the root of the tree, so
// that open descriptors and stack stay few in a tree of any depth.
constexpr unsigned depth_limit = 64;

struct closer {
    void operator()(DIR* d) const noexcept { ::closedir(d); }
};
using directory = std::unique_ptr<DIR, closer>;

class removal {
public:
    explicit removal(int root) noexcept
      : root_(root) {}

    // 0 or errno, with the entry's name in failed_on().
    int empty(int fd, unsigned depth);
    bool moved_some() const noexcept { return moved_ > 0; }
    void start_pass() noexcept { moved_ = 0; }
    const std::string& failed_on() const noexcept { return failed_on_; }

private:
    int remove(int parent, const char* name, unsigned depth);
    int remove_directory(int parent, const char* name, unsigned depth);
    int move_up(int parent, const char* name);

    const int root_;
    unsigned moved_ = 0;
    unsigned long serial_ = 0;
    std::string failed_on_;
};

directory open_directory(int parent, const char* name) {
    const int fd = ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return nullptr;
    }
    directory opened(::fdopendir(fd));
    if (!opened) {
        ::close(fd);
    }
    return opened;
}

int removal::empty(int fd, unsigned depth) {
    // A descriptor of its own: reading moves the position.
    const auto dir = open_directory(fd, ".");
    if (!dir) {
        return errno;
    }
    errno = 0;
    while (const dirent* entry = ::readdir(dir.get())) {
        if (std::strcmp(entry->d_name, ".") == 0 || std::strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        const int error = remove(::dirfd(dir.get()), entry->d_name, depth);
        if (error != 0 && error != ENOENT) {
            if (failed_on_.empty()) {
                failed_on_ = entry->d_name;
            }
            return error;
        }
        errno = 0;
    }
    return errno;
}

int removal::remove(int parent, const char* name, unsigned depth) {
    if (::unlinkat(parent, name, 0) == 0) {
        return 0;
    }
    // unlink(2) of a directory is EISDIR on Linux, EPERM by POSIX.
    if (errno != EISDIR && errno != EPERM) {
        return errno;
    }
    return remove_directory(parent, name, depth);
}

int removal::remove_directory(int parent, const char* name, unsigned depth) {
    if (::unlinkat(parent, name, AT_REMOVEDIR) == 0) {
        return 0;
    }
    if (errno != ENOTEMPTY && errno != EEXIST) {
        return errno;
    }
    if (depth >= depth_limit) {
        return move_up(parent, name);
    }
    const auto dir = open_directory(parent, name);
    if (!dir) {
        return errno;
    }
    if (const int error = empty(::dirfd(dir.get()), depth + 1); error != 0) {
        return error;
    }
    return ::unlinkat(parent, name, AT_REMOVEDIR) == 0 ? 0 : errno;
}

int removal::move_up(int parent, const char* name) {
    std::string place;
    do {
        place = "removing-" + std::to_string(serial_++);
    } while (::faccessat(root_, place.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0);
    if (::renameat(parent, name, root_, place.c_str()) != 0) {
        return errno;
    }
    ++moved_;
    return 0;
}

} // namespace

result<void> remove_tree(const std::string& path) {
    const auto root = open_directory(AT_FDCWD, path.c_str());
    if (!root) {
        if (errno == ENOENT) {
            return {};
        }
        if ((errno == ENOTDIR || errno == ELOOP) && ::unlink(path.c_str()) == 0) {
            return {};
        }
        return errno_fault(errno, "cannot delete " + path);
    }
    removal work(::dirfd(root.get()));
    do {
        work.start_pass();
        if (const int error = work.empty(::dirfd(root.get()), 0); error != 0) {
            return errno_fault(error, "cannot delete " + work.failed_on() + " below " + path);
        }
    } while (work.moved_some());
    if (::rmdir(path.c_str()) != 0 && errno != ENOENT) {
        return errno_fault(errno, "cannot delete " + path);
    }
    return {};
}

} // namespace firstlight
