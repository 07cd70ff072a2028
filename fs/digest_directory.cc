#include "fs/digest_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>

namespace firstlight {

namespace {

/// Files that are being written are called this and six letters.
constexpr std::string_view unfinished = ".new-";

// Owns a descriptor for the length of a function.
class descriptor {
public:
    explicit descriptor(int fd)
      : fd_(fd) {}
    ~descriptor() {
        if (fd_ >= 0) {
            ::close(fd_);
        }
    }
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;
    int get() const noexcept { return fd_; }

private:
    int fd_;
};

result<void> write_all(int fd, std::span<const std::byte> bytes, const std::string& path) {
    while (!bytes.empty()) {
        const auto written = ::write(fd, bytes.data(), bytes.size());
        if (written < 0 && errno != EINTR) {
            return errno_fault(errno, "write " + path);
        }
        bytes = bytes.subspan(written > 0 ? static_cast<std::size_t>(written) : 0);
    }
    return {};
}

// Writes `fd`, and gives the file its name.
result<void>
finish(int fd, std::span<const std::byte> bytes, const std::string& from, const std::string& to) {
    if (auto written = write_all(fd, bytes, from); !written) {
        return written;
    }
    if (::rename(from.c_str(), to.c_str()) != 0) {
        return errno_fault(errno, "rename " + from + " to " + to);
    }
    return {};
}

std::optional<digest> digest_of_name(std::string_view name) {
    auto parsed = digest::parse("sha256:" + std::string(name));
    return parsed ? std::optional(*parsed) : std::nullopt;
}

// Calls `each` with the name of every file in the directory.
result<void>
for_each_name(const std::string& path, const std::function<void(const std::string&)>& each) {
    std::error_code error;
    for (std::filesystem::directory_iterator i(path, error), end; !error && i != end;
         i.increment(error)) {
        each(i->path().filename().string());
    }
    if (error) {
        return errno_fault(error.value(), "list " + path);
    }
    return {};
}

} // namespace

result<digest_directory> digest_directory::open(std::string path) {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error) {
        return errno_fault(error.value(), "make directory " + path);
    }
    auto listed = for_each_name(path, [&path](const std::string& name) {
        if (name.starts_with(unfinished)) {
            ::unlink((path + "/" + name).c_str()); // what stays does no harm
        }
    });
    if (!listed) {
        return listed.error();
    }
    return digest_directory(std::move(path));
}

std::string digest_directory::path_of(const digest& name) const {
    return path_ + "/" + name.hex();
}

result<void> digest_directory::put(const digest& name, std::span<const std::byte> content) const {
    auto path = path_ + "/" + std::string(unfinished) + "XXXXXX";
    const descriptor file(::mkostemp(path.data(), O_CLOEXEC));
    if (file.get() < 0) {
        return errno_fault(errno, "make " + path);
    }
    if (auto finished = finish(file.get(), content, path, path_of(name)); !finished) {
        ::unlink(path.c_str());
        return finished;
    }
    return {};
}

void digest_directory::mark_used(const digest& name) const noexcept {
    ::utimensat(AT_FDCWD, path_of(name).c_str(), nullptr, 0);
}

result<void> digest_directory::remove(const digest& name) const {
    const auto path = path_of(name);
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
        return errno_fault(errno, "remove " + path);
    }
    return {};
}

result<std::vector<digest_directory::file>> digest_directory::list() const {
    std::vector<file> all;
    auto listed = for_each_name(path_, [this, &all](const std::string& name) {
        const auto parsed = digest_of_name(name);
        struct stat status{};
        if (parsed && ::stat(path_of(*parsed).c_str(), &status) == 0) {
            constexpr std::int64_t second = 1'000'000'000;
            all.push_back(
              {*parsed, static_cast<std::uint64_t>(status.st_size),
               status.st_mtim.tv_sec * second + status.st_mtim.tv_nsec});
        }
    });
    if (!listed) {
        return listed.error();
    }
    std::sort(all.begin(), all.end(), [](const file& a, const file& b) {
        return a.used_ns != b.used_ns ? a.used_ns < b.used_ns : a.name < b.name;
    });
    return all;
}

result<std::uint64_t> digest_directory::trim(
  std::uint64_t max_bytes, std::size_t max_files,
  const std::function<bool(const digest&)>& keep) const {
    auto all = list();
    if (!all) {
        return all.error();
    }
    std::uint64_t sum = 0;
    for (const auto& f : *all) {
        sum += f.bytes;
    }
    auto count = all->size();
    for (const auto& f : *all) {
        if (sum <= max_bytes && count <= max_files) {
            break;
        }
        if (keep(f.name)) {
            continue;
        }
        if (auto removed = remove(f.name); !removed) {
            return removed.error();
        }
        sum -= f.bytes;
        --count;
    }
    return sum;
}

} // namespace firstlight
