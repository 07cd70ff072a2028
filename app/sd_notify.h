#pragma once
// The service manager's notification protocol, without libsystemd.
// Source: sd_notify(3), "Notes": datagrams of VARIABLE=value lines sent to the
// unix socket that NOTIFY_SOCKET names; a leading @ means the abstract namespace.

#include "actors/result.h"

#include <string>
#include <string_view>

namespace firstlight {

/// The manager that started this process, if one wants to hear from it.
///
/// A value; any thread that may block for a moment (not a shard): the manager's
/// socket may be full.
class service_manager {
public:
    /// From NOTIFY_SOCKET. Read before threads start that change the environment.
    static service_manager from_environment();
    /// `socket`: a path, or "@name" in the abstract namespace; empty: nobody listens.
    explicit service_manager(std::string socket);

    bool listens() const noexcept { return !socket_.empty(); }

    /// Ready to serve: the unit counts as started.
    result<void> ready() const { return send("READY=1"); }
    /// Shutting down, and why it may take a while.
    result<void> stopping() const { return send("STOPPING=1"); }
    /// One line for `systemctl status`.
    result<void> status(std::string_view text) const;

private:
    // Success without doing anything when nobody listens.
    result<void> send(std::string_view message) const;

    std::string socket_;
};

} // namespace firstlight
