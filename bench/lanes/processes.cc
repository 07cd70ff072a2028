#include "bench/lanes/processes.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <sstream>

namespace firstlight::lanes {

namespace {

// Both ends of the wire are the same program on the same machine.
void put(int to, const void* from, std::size_t size) {
    const auto* at = static_cast<const char*>(from);
    while (size > 0) {
        const auto n = ::send(to, at, size, MSG_NOSIGNAL);
        if (n <= 0) {
            give_up("the registry's process cannot be talked to");
        }
        at += n;
        size -= static_cast<std::size_t>(n);
    }
}
bool get(int from, void* to, std::size_t size) {
    return size == 0 || ::recv(from, to, size, MSG_WAITALL) == static_cast<ssize_t>(size);
}
void put(int to, const std::string& text) {
    const std::uint64_t size = text.size();
    put(to, &size, sizeof size);
    put(to, text.data(), text.size());
}
std::string get_text(int from) {
    std::uint64_t size = 0;
    if (!get(from, &size, sizeof size)) {
        give_up("the registry's process has ended");
    }
    std::string text(size, '\0');
    if (!get(from, text.data(), size)) {
        give_up("the registry's process has ended");
    }
    return text;
}

[[noreturn]] void be_registry(int wire, const std::vector<layer_plan>& plans) {
    auto* server = new blob_server; // ends with the process
    put(wire, server->host());
    for (const auto& plan : plans) {
        const auto made = make_layer(plan);
        const auto& o = made.outline;
        server->add(o.blob, made.bytes, o.size);
        put(wire, o.blob.bytes().data(), digest::size);
        put(wire, &o.size, sizeof o.size);
        put(wire, &o.payload_size, sizeof o.payload_size);
        put(wire, o.toc_member);
    }
    char question = 0;
    while (get(wire, &question, 1)) {
        const auto t = server->asked();
        put(wire, &t, sizeof t);
    }
    ::_exit(0);
}

} // namespace

registry_process::registry_process(const std::vector<layer_plan>& plans) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
        give_up("no socket pair");
    }
    pid_ = ::fork();
    if (pid_ == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ::close(ends[0]);
        be_registry(ends[1], plans);
    }
    ::close(ends[1]);
    wire_ = ends[0];
    meet(plans.size());
}

void registry_process::meet(std::size_t layers) {
    host_ = get_text(wire_);
    for (std::size_t i = 0; i < layers; ++i) {
        layer_outline o;
        std::array<std::byte, digest::size> raw{};
        if (
          !get(wire_, raw.data(), raw.size()) || !get(wire_, &o.size, sizeof o.size) ||
          !get(wire_, &o.payload_size, sizeof o.payload_size)) {
            give_up("the registry's process has ended");
        }
        o.blob = digest(raw);
        o.toc_member = get_text(wire_);
        layers_.push_back(std::move(o));
    }
}

registry_process::~registry_process() {
    ::close(wire_);
    ::waitpid(pid_, nullptr, 0);
}

traffic registry_process::asked() const {
    traffic t;
    put(wire_, "?", 1);
    if (!get(wire_, &t, sizeof t)) {
        give_up("the registry's process has ended");
    }
    return t;
}

link_process::link_process(const settings& s, const std::string& to) {
    std::array<int, 2> out{};
    if (::pipe(out.data()) != 0) {
        give_up("no pipe");
    }
    const auto delay = fmt::format("{}", s.delay_ms);
    const auto rate = fmt::format("{}", s.rate_mbit);
    pid_ = ::fork();
    if (pid_ == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ::dup2(out[1], STDOUT_FILENO);
        ::close(out[0]);
        ::close(out[1]);
        ::execl(
          s.linkproxy.c_str(), "linkproxy", "--to", to.c_str(), "--delay-ms", delay.c_str(),
          "--rate-mbit", rate.c_str(), nullptr);
        ::_exit(127);
    }
    ::close(out[1]);
    std::array<char, 128> line{};
    const auto n = ::read(out[0], line.data(), line.size() - 1);
    const std::string said(line.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
    if (!said.starts_with("listening ")) {
        give_up(s.linkproxy + " does not run");
    }
    host_ = said.substr(10, said.find('\n') - 10);
    // The other end stays open: the proxy prints its counters when it ends.
}

link_process::~link_process() {
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
}

double cpu_seconds(pid_t pid) {
    std::ifstream file(fmt::format("/proc/{}/stat", pid));
    std::string text;
    std::getline(file, text);
    // Behind the name, which may hold anything: state is field 3, utime 14, stime 15.
    std::istringstream rest(text.substr(std::min(text.rfind(')'), text.size() - 1) + 1));
    std::string skipped;
    for (int field = 3; field < 14; ++field) {
        rest >> skipped;
    }
    double user = 0, system = 0;
    rest >> user >> system;
    return (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

} // namespace firstlight::lanes
