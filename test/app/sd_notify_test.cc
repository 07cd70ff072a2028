#include "app/sd_notify.h"

#include <doctest/doctest.h>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <stdexcept>
#include <string>

using namespace firstlight;

namespace {

/// A service manager's end: a bound datagram socket.
class listener {
public:
    explicit listener(const std::string& name) {
        sockaddr_un at{};
        at.sun_family = AF_UNIX;
        name.copy(at.sun_path, name.size());
        if (name[0] == '@') {
            at.sun_path[0] = '\0';
        }
        const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
        timeval patience{5, 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        if (::bind(fd_, reinterpret_cast<sockaddr*>(&at), length) != 0) {
            throw std::runtime_error("binding " + name);
        }
    }
    ~listener() { ::close(fd_); }
    listener(const listener&) = delete;
    listener& operator=(const listener&) = delete;

    std::string heard() const {
        std::string datagram(4096, '\0');
        const auto n = ::recv(fd_, datagram.data(), datagram.size(), 0);
        datagram.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
        return datagram;
    }

private:
    int fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
};

std::string unique(const std::string& prefix) {
    return prefix + "firstlight-notify-" + std::to_string(::getpid());
}

} // namespace

TEST_CASE("sd_notify: messages arrive at a socket with a path") {
    const auto path = unique("/tmp/");
    ::unlink(path.c_str());
    const listener manager(path);
    const service_manager m(path);
    CHECK(m.listens());
    CHECK(m.ready().has_value());
    CHECK(manager.heard() == "READY=1");
    CHECK(m.stopping().has_value());
    CHECK(manager.heard() == "STOPPING=1");
    CHECK(m.status("mounting\nREADY=1").has_value());
    CHECK(manager.heard() == "STATUS=mounting READY=1"); // one variable, whatever the text
    ::unlink(path.c_str());
}

TEST_CASE("sd_notify: messages arrive at an abstract socket") {
    const listener manager(unique("@"));
    CHECK(service_manager(unique("@")).ready().has_value());
    CHECK(manager.heard() == "READY=1");
}

TEST_CASE("sd_notify: the address comes from the environment") {
    ::setenv("NOTIFY_SOCKET", unique("@env-").c_str(), 1);
    const listener manager(unique("@env-"));
    CHECK(service_manager::from_environment().ready().has_value());
    CHECK(manager.heard() == "READY=1");
    ::unsetenv("NOTIFY_SOCKET");
    CHECK_FALSE(service_manager::from_environment().listens());
}

TEST_CASE("sd_notify: without a manager nothing is sent, and nothing fails") {
    CHECK(service_manager("").ready().has_value());
}

TEST_CASE("sd_notify: an address that cannot be used is an error that names it") {
    CHECK(service_manager("relative").ready().error().code() == errc::invalid_argument);
    CHECK(
      service_manager('/' + std::string(200, 'a')).ready().error().code() ==
      errc::invalid_argument);
    const auto gone = service_manager("/nonexistent/notify").ready();
    REQUIRE(!gone.has_value());
    CHECK(gone.error().code() == errc::not_found);
    CHECK(gone.error().context().find("/nonexistent/notify") != std::string::npos);
}
