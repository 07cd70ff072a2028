#include "bench/lanes/blob_server.h"

#include "bench/lanes/settings.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <thread>
#include <tuple>

namespace firstlight::lanes {

namespace {

constexpr std::size_t longest_head = 16 << 10;

bool send_all(int to, std::string_view text, int flags) {
    while (!text.empty()) {
        const auto n = ::send(to, text.data(), text.size(), flags | MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        text.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
}

bool send_range(int to, int from, std::uint64_t begin, std::uint64_t end) {
    auto at = static_cast<off_t>(begin);
    while (static_cast<std::uint64_t>(at) < end) {
        if (::sendfile(to, from, &at, end - static_cast<std::uint64_t>(at)) <= 0) {
            return false;
        }
    }
    return true;
}

/// The blob's name in the head's first line, or nothing.
std::string_view name_in(std::string_view head) {
    const auto line = head.substr(0, head.find("\r\n"));
    const auto at = line.find("/blobs/");
    const auto name = at == line.npos ? std::string_view() : line.substr(at + 7);
    return line.starts_with("GET ") ? name.substr(0, name.find(' ')) : std::string_view();
}

} // namespace

std::pair<int, std::uint16_t> loopback_socket(int backlog) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    auto* address = reinterpret_cast<sockaddr*>(&at);
    if (
      fd < 0 || ::bind(fd, address, size) != 0 || ::getsockname(fd, address, &size) != 0 ||
      (backlog >= 0 && ::listen(fd, backlog) != 0)) {
        give_up("no socket on loopback");
    }
    return {fd, ntohs(at.sin_port)};
}

blob_server::blob_server() {
    std::tie(listener_, port_) = loopback_socket(512);
    std::thread([this] {
        while (true) {
            const int c = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
            if (c >= 0) {
                std::thread([this, c] { serve(c); }).detach();
            }
        }
    }).detach();
}

std::string blob_server::host() const {
    return fmt::format("127.0.0.1:{}", port_);
}

void blob_server::add(const digest& name, int fd, std::uint64_t size) {
    const std::lock_guard hold(mutex_);
    blob b{};
    b.fd = fd;
    b.size = size;
    blobs_.emplace(name.to_string(), std::move(b));
}

void blob_server::serve(int connection) {
    const int on = 1;
    ::setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    std::string pending;
    std::array<char, 4096> piece{};
    while (pending.size() < longest_head) {
        const auto end = pending.find("\r\n\r\n");
        if (end != pending.npos) {
            if (!answer(connection, std::string_view(pending).substr(0, end + 2))) {
                break;
            }
            pending.erase(0, end + 4);
            continue;
        }
        const auto n = ::recv(connection, piece.data(), piece.size(), 0);
        if (n <= 0) {
            break;
        }
        pending.append(piece.data(), static_cast<std::size_t>(n));
    }
    ::close(connection);
}

bool blob_server::answer(int connection, std::string_view head) {
    const auto name = name_in(head);
    const auto found = find(name);
    if (!found) {
        return send_all(connection, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 0);
    }
    const auto [fd, size] = *found;
    span s{0, size};
    unsigned long long first = 0, last = 0;
    const std::string text(head);
    const auto at = text.find("bytes=");
    const bool ranged =
      at != text.npos && std::sscanf(text.c_str() + at, "bytes=%llu-%llu", &first, &last) == 2;
    if (ranged) {
        s = {std::min<std::uint64_t>(first, size), std::min<std::uint64_t>(last + 1, size)};
    }
    remember(name, s);
    auto header = ranged ? fmt::format(
                             "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {}-{}/{}\r\n",
                             s.begin, s.end - 1, size)
                         : std::string("HTTP/1.1 200 OK\r\n");
    header += fmt::format("Content-Length: {}\r\n\r\n", s.end - s.begin);
    return send_all(connection, header, MSG_MORE) && send_range(connection, fd, s.begin, s.end);
}

std::optional<std::pair<int, std::uint64_t>> blob_server::find(std::string_view name) const {
    const std::lock_guard hold(mutex_);
    const auto found = blobs_.find(name);
    if (found == blobs_.end()) {
        return std::nullopt;
    }
    return std::pair(found->second.fd, found->second.size);
}

void blob_server::remember(std::string_view name, span s) {
    const std::lock_guard hold(mutex_);
    blobs_.find(name)->second.asked.push_back(s);
}

traffic blob_server::asked() const {
    const std::lock_guard hold(mutex_);
    traffic t;
    for (const auto& [name, b] : blobs_) {
        auto spans = b.asked;
        std::ranges::sort(spans, {}, &span::begin);
        std::uint64_t seen = 0;
        for (const auto& s : spans) {
            t.all += s.end - s.begin;
            t.twice += std::min(s.end, std::max(seen, s.begin)) - s.begin;
            seen = std::max(seen, s.end);
        }
    }
    return t;
}

} // namespace firstlight::lanes
