#include "fs/index_store.h"

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
            return errno_fault(errno, "write index " + path);
        }
        bytes = bytes.subspan(written > 0 ? static_cast<std::size_t>(written) : 0);
    }
    return {};
}

// Writes `fd`, and gives the file its name. Nothing is synced: the checksum tells a
// file that a power failure tore, and it is compiled anew then, so a Prepare need
// not wait for the disk.
result<void>
finish(int fd, std::span<const std::byte> bytes, const std::string& from, const std::string& to) {
    if (auto written = write_all(fd, bytes, from); !written) {
        return written;
    }
    if (::rename(from.c_str(), to.c_str()) != 0) {
        return errno_fault(errno, "rename index to " + to);
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

result<index_store> index_store::open(std::string directory) {
    std::error_code error;
    std::filesystem::create_directories(directory, error);
    if (error) {
        return errno_fault(error.value(), "make directory " + directory);
    }
    auto listed = for_each_name(directory, [&directory](const std::string& name) {
        if (name.starts_with(unfinished)) {
            ::unlink((directory + "/" + name).c_str()); // what stays does no harm
        }
    });
    if (!listed) {
        return listed.error();
    }
    return index_store(std::move(directory));
}

std::string index_store::path_of(const digest& toc) const {
    return directory_ + "/" + toc.hex();
}

result<void> index_store::put(const digest& toc, std::span<const std::byte> compiled) const {
    auto path = directory_ + "/" + std::string(unfinished) + "XXXXXX";
    const descriptor file(::mkostemp(path.data(), O_CLOEXEC));
    if (file.get() < 0) {
        return errno_fault(errno, "make " + path);
    }
    if (auto finished = finish(file.get(), compiled, path, path_of(toc)); !finished) {
        ::unlink(path.c_str());
        return finished;
    }
    return {};
}

result<std::shared_ptr<const index>> index_store::get(const digest& toc) const {
    const auto path = path_of(toc);
    auto opened = index::open(path, toc);
    if (opened) {
        ::utimensat(AT_FDCWD, path.c_str(), nullptr, 0); // only trim() minds if this fails
        return opened;
    }
    if (opened.error().code() == errc::unsupported) {
        ::unlink(path.c_str());
        return fault(errc::not_found, opened.error().context());
    }
    if (opened.error().code() == errc::corrupt) {
        ::unlink(path.c_str());
        return opened.error().in("removed");
    }
    return opened;
}

result<void> index_store::remove(const digest& toc) const {
    const auto path = path_of(toc);
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
        return errno_fault(errno, "remove " + path);
    }
    return {};
}

result<std::vector<index_store::stored>> index_store::list() const {
    std::vector<stored> all;
    auto listed = for_each_name(directory_, [this, &all](const std::string& name) {
        const auto toc = digest_of_name(name);
        struct stat status{};
        if (toc && ::stat(path_of(*toc).c_str(), &status) == 0) {
            constexpr std::int64_t second = 1'000'000'000;
            all.push_back(
              {*toc, static_cast<std::uint64_t>(status.st_size),
               status.st_mtim.tv_sec * second + status.st_mtim.tv_nsec});
        }
    });
    if (!listed) {
        return listed.error();
    }
    std::sort(all.begin(), all.end(), [](const stored& a, const stored& b) {
        return a.used_ns != b.used_ns ? a.used_ns < b.used_ns : a.toc < b.toc;
    });
    return all;
}

result<std::uint64_t>
index_store::trim(std::uint64_t max_bytes, const std::function<bool(const digest&)>& keep) const {
    auto all = list();
    if (!all) {
        return all.error();
    }
    std::uint64_t sum = 0;
    for (const auto& s : *all) {
        sum += s.bytes;
    }
    for (const auto& s : *all) {
        if (sum <= max_bytes) {
            break;
        }
        if (keep(s.toc)) {
            continue;
        }
        if (auto removed = remove(s.toc); !removed) {
            return removed.error();
        }
        sum -= s.bytes;
    }
    return sum;
}

} // namespace firstlight
