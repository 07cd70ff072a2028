#include "net/small_file.h"

#include <cerrno>
#include <cstdio>
#include <memory>

namespace firstlight {

namespace {

constexpr std::size_t largest_file = 1 << 20;

struct file_closer {
    void operator()(std::FILE* f) const noexcept { std::fclose(f); }
};

} // namespace

result<std::string> read_small_file(const std::string& path) {
    const std::unique_ptr<std::FILE, file_closer> file(std::fopen(path.c_str(), "re"));
    if (!file) {
        return errno_fault(errno, path);
    }
    std::string text(largest_file + 1, '\0');
    text.resize(std::fread(text.data(), 1, text.size(), file.get()));
    if (std::ferror(file.get())) {
        return errno_fault(EIO, path);
    }
    if (text.size() > largest_file) {
        return fault(errc::invalid_argument, path + ": larger than 1 MiB");
    }
    return text;
}

} // namespace firstlight
