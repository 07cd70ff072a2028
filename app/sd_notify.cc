#include "app/sd_notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace firstlight {

namespace {

struct descriptor {
    int fd;
    explicit descriptor(int f)
      : fd(f) {}
    ~descriptor() {
        if (fd >= 0) {
            ::close(fd);
        }
    }
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;
};

// Longer than any message of ours; the text is somebody else's to choose.
constexpr std::size_t longest_status = 1024;

} // namespace

service_manager service_manager::from_environment() {
    const char* socket = std::getenv("NOTIFY_SOCKET");
    return service_manager(socket ? socket : "");
}

service_manager::service_manager(std::string socket)
  : socket_(std::move(socket)) {
}

result<void> service_manager::status(std::string_view text) const {
    std::string line(text.substr(0, longest_status));
    std::ranges::replace(line, '\n', ' '); // a new line would start another variable
    return send("STATUS=" + line);
}

result<void> service_manager::send(std::string_view message) const {
    if (!listens()) {
        return {};
    }
    const auto what = "notifying the service manager at " + socket_;
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    if ((socket_[0] != '/' && socket_[0] != '@') || socket_.size() >= sizeof to.sun_path) {
        return fault(errc::invalid_argument, what + ": NOTIFY_SOCKET is no unix socket's address");
    }
    socket_.copy(to.sun_path, socket_.size());
    if (socket_[0] == '@') {
        to.sun_path[0] = '\0';
    }
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
    const descriptor s(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (s.fd < 0) {
        return errno_fault(errno, what);
    }
    const auto sent = ::sendto(
      s.fd, message.data(), message.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&to),
      length);
    if (sent < 0) {
        return errno_fault(errno, what);
    }
    return {};
}

} // namespace firstlight
