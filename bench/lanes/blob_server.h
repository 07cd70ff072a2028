#pragma once
// A registry for blobs alone that costs as little as a registry can: it shares the
// processors with what is measured.

#include "actors/digest.h"

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace firstlight::lanes {

/// Of the ranges that were asked for, bytes.
struct traffic {
    std::uint64_t all = 0;
    std::uint64_t twice = 0; // more than once
};

/// Serves GET of /v2/<repository>/blobs/<digest>, any repository, with or without a range
/// "bytes=A-B". A thread for each connection, that sends from the blob's file.
///
/// Thread safety: all methods from any thread. Never destroyed: it ends with its process.
class blob_server {
public:
    blob_server();
    ~blob_server() = delete;
    blob_server(const blob_server&) = delete;
    blob_server& operator=(const blob_server&) = delete;

    /// "127.0.0.1:<port>".
    std::string host() const;
    /// Serves the file `fd` of `size` bytes under `name` from now on.
    void add(const digest& name, int fd, std::uint64_t size);
    traffic asked() const;

private:
    struct span {
        std::uint64_t begin, end;
    };
    struct blob {
        int fd;
        std::uint64_t size;
        std::vector<span> asked;
    };

    void serve(int connection);
    bool answer(int connection, std::string_view head);
    std::optional<std::pair<int, std::uint64_t>> find(std::string_view path) const;
    void remember(std::string_view path, span s);

    mutable std::mutex mutex_;
    std::map<std::string, blob, std::less<>> blobs_; // by digest
    int listener_ = -1;
    std::uint16_t port_ = 0;
};

/// A loopback socket, and the port it has got. Listens if `backlog` is not negative.
std::pair<int, std::uint16_t> loopback_socket(int backlog);

} // namespace firstlight::lanes
