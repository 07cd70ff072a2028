#pragma once

#include <cstdint>

namespace firstlight {

/// What the kernel says about this process. A figure it does not tell is 0.
struct process_figures {
    std::uint64_t resident_bytes = 0;
    std::uint64_t virtual_bytes = 0;
    std::uint64_t open_fds = 0;
    std::uint64_t max_fds = 0; // the soft limit
    std::uint64_t threads = 0;
    double cpu_seconds = 0; // user and system, all threads

    /// Reads /proc/self: some tens of microseconds, not on a shard.
    /// Source: proc(5), "/proc/pid/stat".
    static process_figures read();
};

} // namespace firstlight
