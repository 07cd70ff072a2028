#include "actors/run_process.h"
#include "test/result_text.h"
#include "test/temporary_directory.h"

#include <doctest/doctest.h>

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <thread>

using namespace firstlight;
using namespace std::chrono_literals;

namespace {

// A directory for programs, and what runs them.
struct programs {
    test::temporary_directory dir;

    void write(const std::string& name, const std::string& script) const {
        test::write_file(dir / name, "#!/bin/sh\n" + script);
        ::chmod((dir / name).c_str(), 0700);
    }
    process_request request(const std::string& name) const {
        process_request r(name);
        r.set_path(dir.path() + ":/usr/bin:/bin");
        r.set_time_limit(20s);
        return r;
    }
    result<process_outcome> run(const std::string& script) const {
        write("p", script);
        return run_process(request("p"));
    }
    std::string text_of(const std::string& name) const {
        std::ifstream in(dir / name);
        return {std::istreambuf_iterator<char>(in), {}};
    }
};

} // namespace

TEST_CASE_FIXTURE(programs, "what a program writes, and how it ends") {
    const auto good = run("printf 'out'; printf 'err' >&2");
    REQUIRE(good.has_value());
    CHECK(good->code() == 0);
    CHECK(good->output() == "out"); // and not its errors
    const auto bad = run("echo why; exit 3");
    REQUIRE(bad.has_value());
    CHECK(bad->code() == 3);
    CHECK(bad->output() == "why\n");
    const auto killed = run("kill -9 $$");
    REQUIRE(killed.has_value());
    CHECK(killed->code() == 128 + 9);
}

TEST_CASE_FIXTURE(programs, "arguments and input go to the program, not through a shell") {
    write("p", "printf '%s|' \"$@\"; cat");
    auto r = request("p");
    r.add("$(exit 7) ; *");
    r.add("");
    r.set_input("in");
    const auto got = run_process(r);
    REQUIRE(got.has_value());
    CHECK(got->output() == "$(exit 7) ; *||in");
}

TEST_CASE_FIXTURE(programs, "an input larger than any buffer, read or not") {
    auto r = request("p");
    r.set_input(std::string(3 << 20, 'x'));
    write("p", "wc -c");
    const auto read = run_process(r);
    REQUIRE(read.has_value());
    CHECK(std::stoul(read->output()) == 3U << 20);
    write("p", "exec <&-; echo ignored");
    const auto ignored = run_process(r);
    REQUIRE(ignored.has_value());
    CHECK(ignored->output() == "ignored\n");
}

TEST_CASE_FIXTURE(programs, "past its time the whole group is killed") {
    write(
      "p", "sleep 1000 & echo $! >" + dir.path() + "/pid.new; mv " + dir.path() + "/pid.new " +
             dir.path() + "/pid; wait");
    auto r = request("p");
    r.set_time_limit(500ms);
    const auto got = run_process(r);
    REQUIRE(!got);
    CHECK(got.error().code() == errc::timed_out);
    CHECK(got.error().context() == "p: killed after 500 ms");
    REQUIRE(!text_of("pid").empty());
    const auto grandchild = static_cast<pid_t>(std::stol(text_of("pid")));
    const auto stat = "/proc/" + std::to_string(grandchild) + "/stat";
    const auto gone = [&] { // or about to be, and only not waited for yet
        std::ifstream in(stat);
        std::string pid, name, state;
        in >> pid >> name >> state;
        return state.empty() || state == "Z" || state == "X" || name != "(sleep)";
    };
    for (int i = 0; i < 1000 && !gone(); ++i) {
        std::this_thread::sleep_for(5ms);
    }
    CHECK(gone());
}

TEST_CASE_FIXTURE(programs, "output is bounded") {
    write("p", "while :; do echo secret-in-the-output; done");
    const auto got = run_process(request("p"));
    REQUIRE(!got);
    CHECK(got.error().code() == errc::overloaded);
    CHECK(got.error().context().find("secret") == std::string::npos);
}

TEST_CASE_FIXTURE(programs, "a program that leaves another behind is not waited for longer") {
    const auto began = std::chrono::steady_clock::now();
    const auto got = run("sleep 15 & echo done");
    REQUIRE(got.has_value());
    CHECK(got->output() == "done\n");
    CHECK(std::chrono::steady_clock::now() - began < 10s);
}

TEST_CASE_FIXTURE(programs, "what does not exist, or cannot be run") {
    auto got = run_process(request("none"));
    REQUIRE(!got);
    CHECK(got.error().code() == errc::not_found);
    CHECK(got.error().context().find("none: ") == 0);
    test::write_file(dir / "data", "not a program");
    CHECK(run_process(request("data")).error().code() == errc::not_found);
    CHECK(!run_process(request(dir / "absent")));
}

TEST_CASE_FIXTURE(programs, "it inherits neither descriptors nor a blocked signal") {
    sigset_t term, before;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &term, &before);
    const int fd = ::dup(STDERR_FILENO); // without O_CLOEXEC
    const auto got = run("ls /proc/self/fd | tr '\\n' ' '; grep SigBlk /proc/self/status");
    ::close(fd);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    REQUIRE(got.has_value());
    CHECK(got->output().find("SigBlk:\t0000000000000000") != std::string::npos);
    CHECK(got->output().find("0 1 2 3 SigBlk") == 0); // 3: the directory that ls reads
}
