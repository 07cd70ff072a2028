#pragma once
// What is logged meanwhile. Of the whole process.

#include "test/temporary_directory.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

namespace firstlight::test {

class captured_stderr {
public:
    captured_stderr() {
        std::fflush(stderr);
        const int file = ::open((dir_ / "log").c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600);
        ::dup2(file, STDERR_FILENO);
        ::close(file);
    }
    ~captured_stderr() {
        std::fflush(stderr);
        ::dup2(before_, STDERR_FILENO);
        ::close(before_);
    }
    captured_stderr(const captured_stderr&) = delete;
    captured_stderr& operator=(const captured_stderr&) = delete;

    std::string text() const {
        std::fflush(stderr);
        std::ifstream in(dir_ / "log");
        return {std::istreambuf_iterator<char>(in), {}};
    }

private:
    temporary_directory dir_;
    const int before_ = ::dup(STDERR_FILENO);
};

} // namespace firstlight::test
