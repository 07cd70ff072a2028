#pragma once

#include "actors/background.h"
#include "actors/deadline.h"
#include "actors/event.h"
#include "actors/result.h"
#include "actors/shard.h"

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <memory>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <vector>

namespace firstlight {

/// Host names to addresses, remembered for half a minute, and for longer while
/// the name server does not answer.
///
/// One per connection pool, an actor on its shard. Across suspensions: a name is
/// in `flights_` exactly while one lookup of it is under way.
class host_resolver {
public:
    using addresses = std::vector<asio::ip::address>;

    explicit host_resolver(shard& home);
    host_resolver(const host_resolver&) = delete;
    host_resolver& operator=(const host_resolver&) = delete;

    /// `name` may be an address itself. unavailable if it does not resolve, stopping if
    /// `stop` is requested (on this shard) before it has.
    task<result<addresses>> resolve(std::string name, deadline d, std::stop_token stop = {});
    /// Fails every wait with errc::stopping.
    void abort() noexcept;
    /// After abort(): waits for lookups under way, since the C library's cannot be
    /// interrupted.
    task<void> stop();

private:
    struct entry {
        addresses found;
        std::chrono::steady_clock::time_point fresh_until;
    };
    struct flight {
        std::unique_ptr<result<addresses>> outcome; // set when it has landed
        event landed;
    };
    task<void> look_up(std::string name, std::shared_ptr<flight> mine);
    void remember(const std::string& name, const addresses& found);

    asio::ip::tcp::resolver resolver_;
    std::unordered_map<std::string, entry> known_;
    std::unordered_map<std::string, std::shared_ptr<flight>> flights_;
    bool aborted_ = false;
    background_tasks lookups_;
};

} // namespace firstlight
