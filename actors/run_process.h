#pragma once

#include "actors/result.h"

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

namespace firstlight {

/// What to run, and within which bounds. No shell reads any of it.
class process_request {
public:
    /// `program`: a path, or a name to be looked for in `path`.
    explicit process_request(std::string program)
      : program_(std::move(program)) {}

    void add(std::string argument) { arguments_.push_back(std::move(argument)); }
    /// All of the standard input. The place for a secret: others on the machine can see
    /// arguments and environment.
    void set_input(std::string text) { input_ = std::move(text); }
    void set_time_limit(std::chrono::milliseconds most) { time_limit_ = most; }
    /// Bytes of standard output.
    void set_output_limit(std::size_t most) { output_limit_ = most; }
    /// Directories separated by ':', for the search and in the program's own environment;
    /// empty: this process's PATH.
    void set_path(std::string path) { path_ = std::move(path); }

    const std::string& program() const noexcept { return program_; }
    const std::vector<std::string>& arguments() const noexcept { return arguments_; }
    const std::string& input() const noexcept { return input_; }
    std::chrono::milliseconds time_limit() const noexcept { return time_limit_; }
    std::size_t output_limit() const noexcept { return output_limit_; }
    const std::string& path() const noexcept { return path_; }

private:
    std::string program_;
    std::vector<std::string> arguments_;
    std::string input_;
    std::string path_;
    std::chrono::milliseconds time_limit_{5000};
    std::size_t output_limit_ = 64 << 10;
};

/// How a program ended, and what it wrote to its standard output.
class process_outcome {
public:
    process_outcome() = default; // for co_spawn
    process_outcome(int code, std::string output)
      : code_(code)
      , output_(std::move(output)) {}

    /// What it exited with, or 128 and the signal that ended it.
    int code() const noexcept { return code_; }
    const std::string& output() const noexcept { return output_; }

private:
    int code_ = 0;
    std::string output_;
};

/// Runs a program to its end. It leads a process group of its own, inherits the
/// environment and no descriptor but the standard ones (errors go to /dev/null), and
/// starts with no signal blocked or ignored. Blocks for as long as the program runs: for a
/// thread of a worker_pool.
///
/// Whatever its code is, that it ended is no fault. Faults name the program and none of
/// its output: not_found (no such program), timed_out and overloaded (the time or the
/// output limit; the whole group has been killed), io_error.
result<process_outcome> run_process(const process_request& what);

} // namespace firstlight
