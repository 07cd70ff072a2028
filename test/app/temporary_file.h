#pragma once

#include <unistd.h>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

namespace firstlight::test {

/// A file that holds `text` while this object lives.
class temporary_file {
public:
    explicit temporary_file(std::string_view text) {
        const int fd = ::mkstemp(path_.data());
        const auto written = fd < 0 ? -1 : ::write(fd, text.data(), text.size());
        if (fd >= 0) {
            ::close(fd);
        }
        if (written != static_cast<ssize_t>(text.size())) {
            throw std::runtime_error("writing a temporary file");
        }
    }
    ~temporary_file() { ::unlink(path_.c_str()); }
    temporary_file(const temporary_file&) = delete;
    temporary_file& operator=(const temporary_file&) = delete;

    const std::string& path() const noexcept { return path_; }

private:
    std::string path_ = "/tmp/firstlight-test-XXXXXX";
};

} // namespace firstlight::test
