#include "fs/disk_usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <unordered_set>
#include <utility>
#include <vector>

namespace firstlight {

namespace {

struct closer {
    void operator()(DIR* d) const noexcept { ::closedir(d); }
};
using directory = std::unique_ptr<DIR, closer>;

class descriptor {
public:
    explicit descriptor(int fd) noexcept
      : fd_(fd) {}
    descriptor(descriptor&& o) noexcept
      : fd_(std::exchange(o.fd_, -1)) {}
    descriptor& operator=(descriptor&& o) noexcept {
        std::swap(fd_, o.fd_);
        return *this;
    }
    ~descriptor() {
        if (fd_ >= 0) {
            ::close(fd_);
        }
    }
    int get() const noexcept { return fd_; }

private:
    int fd_;
};

// A path relative to the root is walked one name at a time: a container that
// swaps a directory for a symbolic link cannot lead us out of the tree, and
// paths may be longer than PATH_MAX.
directory open_below(int root, const std::string& path) {
    descriptor at(::openat(root, ".", O_PATH | O_CLOEXEC));
    std::size_t from = 0;
    while (from < path.size()) {
        const auto to = std::min(path.find('/', from), path.size());
        const auto name = path.substr(from, to - from);
        at = descriptor(
          ::openat(at.get(), name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        if (at.get() < 0) {
            return nullptr;
        }
        from = to + 1;
    }
    const int fd = ::openat(at.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    directory opened(fd < 0 ? nullptr : ::fdopendir(fd));
    if (!opened && fd >= 0) {
        ::close(fd);
    }
    return opened;
}

class scan {
public:
    explicit scan(int root) noexcept
      : root_(root) {}

    int run(); // 0 or errno
    disk_use total() const noexcept { return total_; }

private:
    int read_directory(const std::string& path);
    void count(const struct stat& st);

    const int root_;
    dev_t device_ = 0;
    disk_use total_;
    std::vector<std::string> pending_; // directories, relative to the root
    std::unordered_set<ino_t> linked_; // files with several names, seen already
};

int scan::run() {
    struct stat st{};
    if (::fstat(root_, &st) != 0) {
        return errno;
    }
    device_ = st.st_dev;
    count(st);
    pending_.emplace_back();
    while (!pending_.empty()) {
        const auto path = std::move(pending_.back());
        pending_.pop_back();
        const int error = read_directory(path);
        if (error != 0 && error != ENOENT && error != ENOTDIR && error != ELOOP) {
            return error;
        }
    }
    return 0;
}

int scan::read_directory(const std::string& path) {
    const auto dir = open_below(root_, path);
    if (!dir) {
        return errno;
    }
    errno = 0;
    while (const dirent* entry = ::readdir(dir.get())) {
        if (std::strcmp(entry->d_name, ".") == 0 || std::strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        struct stat st{};
        if (::fstatat(::dirfd(dir.get()), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            if (errno != ENOENT) {
                return errno;
            }
        } else if (st.st_dev == device_) {
            count(st);
            if (S_ISDIR(st.st_mode)) {
                pending_.push_back(path.empty() ? entry->d_name : path + '/' + entry->d_name);
            }
        }
        errno = 0;
    }
    return errno;
}

void scan::count(const struct stat& st) {
    const bool several_names = st.st_nlink > 1 && !S_ISDIR(st.st_mode);
    if (several_names && !linked_.insert(st.st_ino).second) {
        return;
    }
    constexpr std::int64_t block = 512; // unit of st_blocks, stat(2)
    total_.size += st.st_blocks * block;
    ++total_.inodes;
}

} // namespace

result<disk_use> measure_disk_use(const std::string& root) {
    const descriptor opened(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (opened.get() < 0) {
        return errno_fault(errno, "cannot measure " + root);
    }
    scan s(opened.get());
    if (const int error = s.run(); error != 0) {
        return errno_fault(error, "cannot measure " + root);
    }
    return s.total();
}

} // namespace firstlight
