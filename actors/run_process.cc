#include "actors/run_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

namespace firstlight {

namespace {

using steady = std::chrono::steady_clock;

class descriptor {
public:
    explicit descriptor(int fd = -1) noexcept
      : fd_(fd) {}
    ~descriptor() { reset(); }
    descriptor(descriptor&& o) noexcept
      : fd_(std::exchange(o.fd_, -1)) {}
    descriptor& operator=(descriptor&& o) noexcept {
        reset();
        fd_ = std::exchange(o.fd_, -1);
        return *this;
    }
    int get() const noexcept { return fd_; }
    explicit operator bool() const noexcept { return fd_ >= 0; }
    void reset() noexcept {
        if (fd_ >= 0) {
            ::close(std::exchange(fd_, -1));
        }
    }

private:
    int fd_;
};

struct pipe_ends {
    descriptor reading, writing;
};

result<pipe_ends> make_pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        return errno_fault(errno, "pipe");
    }
    return pipe_ends{descriptor(ends[0]), descriptor(ends[1])};
}

// Ours alone: the program's end blocks, as programs expect.
result<void> unblock(const descriptor& fd) {
    return ::fcntl(fd.get(), F_SETFL, O_NONBLOCK) == 0 ? result<void>()
                                                       : errno_fault(errno, "fcntl");
}

// write(2) to a pipe that nobody may read any more: EPIPE, and no signal, whatever the
// process does about those.
ssize_t write_quietly(int fd, std::string_view data) noexcept {
    sigset_t broken, before;
    sigemptyset(&broken);
    sigaddset(&broken, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &broken, &before);
    const auto n = ::write(fd, data.data(), data.size());
    const int error = errno;
    if (n < 0 && error == EPIPE) {
        const timespec now{};
        ::sigtimedwait(&broken, nullptr, &now); // it is pending for this thread
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    errno = error;
    return n;
}

std::string search_path(const process_request& what) {
    if (!what.path().empty()) {
        return what.path();
    }
    const char* inherited = std::getenv("PATH");
    return inherited ? inherited : "/usr/local/bin:/usr/bin:/bin";
}

result<std::string> find_program(const std::string& name, std::string_view path) {
    if (name.find('/') != name.npos) {
        return name;
    }
    while (!path.empty()) {
        const auto end = std::min(path.find(':'), path.size());
        auto candidate = std::string(path.substr(0, end)) + "/" + name;
        path.remove_prefix(std::min(end + 1, path.size()));
        if (candidate.front() == '/' && ::access(candidate.c_str(), X_OK) == 0) {
            return candidate;
        }
    }
    return fault(errc::not_found, "no such program in PATH");
}

std::vector<std::string> environment_with(const std::string& path) {
    std::vector<std::string> all;
    for (char** each = environ; *each; ++each) {
        if (std::strncmp(*each, "PATH=", 5) != 0) {
            all.emplace_back(*each);
        }
    }
    all.push_back("PATH=" + path);
    return all;
}

std::vector<char*> pointers_to(std::vector<std::string>& all) {
    std::vector<char*> out;
    for (auto& each : all) {
        out.push_back(each.data());
    }
    out.push_back(nullptr);
    return out;
}

class spawn_plan {
public:
    spawn_plan() {
        posix_spawn_file_actions_init(&actions_);
        posix_spawnattr_init(&attributes_);
        sigset_t none, all;
        sigemptyset(&none);
        sigfillset(&all);
        posix_spawnattr_setsigmask(&attributes_, &none);
        posix_spawnattr_setsigdefault(&attributes_, &all);
        posix_spawnattr_setpgroup(&attributes_, 0);
        posix_spawnattr_setflags(
          &attributes_, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    }
    ~spawn_plan() {
        posix_spawn_file_actions_destroy(&actions_);
        posix_spawnattr_destroy(&attributes_);
    }
    spawn_plan(const spawn_plan&) = delete;
    spawn_plan& operator=(const spawn_plan&) = delete;

    result<pid_t> start(
      const std::string& program, char* const* arguments, char* const* environment, int in,
      int out) {
        posix_spawn_file_actions_adddup2(&actions_, in, STDIN_FILENO);
        posix_spawn_file_actions_adddup2(&actions_, out, STDOUT_FILENO);
        posix_spawn_file_actions_addopen(&actions_, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1);
        pid_t pid = 0;
        const int failed =
          ::posix_spawn(&pid, program.c_str(), &actions_, &attributes_, arguments, environment);
        if (failed != 0) {
            return errno_fault(failed, "starting it");
        }
        return pid;
    }

private:
    posix_spawn_file_actions_t actions_;
    posix_spawnattr_t attributes_;
};

// A running program. One that is left before it has been waited for is killed, and its
// group with it: its id is not given to another before that.
class child {
public:
    explicit child(pid_t pid) noexcept
      : pid_(pid)
      , watch_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))) {}
    ~child() {
        if (pid_ > 0) {
            ::kill(-pid_, SIGKILL);
            wait();
        }
    }
    child(const child&) = delete;
    child& operator=(const child&) = delete;

    int watch() const noexcept { return watch_.get(); }
    int wait() noexcept {
        int status = 0;
        while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
        }
        pid_ = 0;
        return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }

private:
    pid_t pid_;
    descriptor watch_; // readable once it has ended
};

// The two ends that we hold of its standard streams.
class conversation {
public:
    conversation(const process_request& what, descriptor in, descriptor out)
      : what_(what)
      , left_(what.input())
      , in_(std::move(in))
      , out_(std::move(out)) {}

    // Until it has ended.
    result<void> hold(const child& with) {
        const auto end = steady::now() + what_.time_limit();
        send();
        while (true) {
            std::array<pollfd, 3> watched{
              {{with.watch(), POLLIN, 0}, {out_.get(), POLLIN, 0}, {in_.get(), POLLOUT, 0}}};
            const auto left =
              std::chrono::ceil<std::chrono::milliseconds>(end - steady::now()).count();
            const int ready =
              left <= 0 ? 0 : ::poll(watched.data(), watched.size(), static_cast<int>(left));
            if (ready == 0) {
                return fault(
                  errc::timed_out,
                  "killed after " + std::to_string(what_.time_limit().count()) + " ms");
            }
            if (ready < 0 && errno != EINTR) {
                return errno_fault(errno, "poll");
            }
            if (watched[2].revents != 0) {
                send();
            }
            // What it wrote before it ended is there by now. Others may still hold its
            // standard output, so the end of that is not waited for.
            const bool over = ready > 0 && watched[0].revents != 0;
            if (auto read = receive(); !read || over) {
                return read;
            }
        }
    }
    std::string take() noexcept { return std::move(output_); }

private:
    void send() {
        while (in_ && !left_.empty()) {
            const auto n = write_quietly(in_.get(), left_);
            if (n < 0 && errno == EAGAIN) {
                return;
            }
            if (n < 0 && errno != EINTR) {
                break; // it does not want the rest
            }
            left_.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
        }
        in_.reset(); // the end of its input
    }
    result<void> receive() {
        std::array<char, 4096> piece;
        while (out_) {
            const auto n = ::read(out_.get(), piece.data(), piece.size());
            if (n < 0 && errno == EINTR) {
                continue;
            }
            if (n < 0 && errno == EAGAIN) {
                break;
            }
            if (n <= 0) {
                out_.reset();
                break;
            }
            output_.append(piece.data(), static_cast<std::size_t>(n));
            if (output_.size() > what_.output_limit()) {
                return fault(
                  errc::overloaded,
                  "killed: wrote more than " + std::to_string(what_.output_limit()) + " bytes");
            }
        }
        return {};
    }

    const process_request& what_;
    std::string_view left_; // of the input
    descriptor in_;
    descriptor out_;
    std::string output_;
};

result<process_outcome> run(const process_request& what) {
    const auto path = search_path(what);
    auto program = find_program(what.program(), path);
    if (!program) {
        return program.error();
    }
    auto in = make_pipe();
    auto out = make_pipe();
    for (const auto* each : {&in, &out}) {
        if (!*each) {
            return each->error();
        }
    }
    for (const auto* ours : {&in->writing, &out->reading}) {
        if (auto done = unblock(*ours); !done) {
            return done.error();
        }
    }
    std::vector<std::string> arguments{what.program()};
    arguments.insert(arguments.end(), what.arguments().begin(), what.arguments().end());
    auto environment = environment_with(path);
    spawn_plan plan;
    const auto pid = plan.start(
      *program, pointers_to(arguments).data(), pointers_to(environment).data(), in->reading.get(),
      out->writing.get());
    if (!pid) {
        return pid.error();
    }
    child running(*pid);
    in->reading.reset();
    out->writing.reset();
    if (running.watch() < 0) {
        return errno_fault(errno, "pidfd_open");
    }
    conversation talk(what, std::move(in->writing), std::move(out->reading));
    if (auto held = talk.hold(running); !held) {
        return held.error();
    }
    return process_outcome(running.wait(), talk.take());
}

} // namespace

result<process_outcome> run_process(const process_request& what) {
    auto outcome = run(what);
    if (!outcome) {
        return outcome.error().in(what.program());
    }
    return outcome;
}

} // namespace firstlight
