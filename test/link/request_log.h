#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace firstlight::link {

/// The head of one HTTP/1.1 request as seen on the wire.
struct request_line {
    std::string method;
    std::string target;
    std::string range; // the Range header's value, or empty
};

/// Picks the request heads out of one connection's client-to-server bytes, so
/// that a test can say which ranges were asked for.
///
/// Understands bodies by Content-Length only; after anything else it cannot
/// follow it stays silent for the rest of the connection. Not thread safe.
class request_scanner {
public:
    /// The requests whose head ended within `bytes`.
    std::vector<request_line> feed(std::string_view bytes);

private:
    std::string head_;
    std::size_t body_left_ = 0;
    bool lost_ = false;
};

} // namespace firstlight::link
