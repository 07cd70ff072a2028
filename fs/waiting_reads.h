#pragma once

#include "actors/background.h"
#include "actors/worker_pool.h"

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string_view>
#include <unordered_map>

namespace firstlight {

/// The reads of one shard that wait, so that one whose reader is interrupted can
/// be given up.
///
/// The kernel says once for a read that its reader has a signal to attend to, and
/// not which. A read that goes past the page cache is a read(2) and may end with
/// EINTR for any of them. All others fill a page, and end for a reader that is being
/// killed only: an error there may be the SIGBUS of a page fault, no program expects
/// EINTR of a file on disk, and signals are everyday (Go's SIGURG, a timer's SIGALRM).
/// Such a reader is looked at when the kernel tells of its signal, and then again
/// until the read ends, since a kill that comes later is not told.
///
/// Single-shard.
class waiting_reads {
public:
    /// Whether the thread is being killed. Called in the io pool.
    using killed_test = std::function<bool(pid_t)>;

    /// `tasks` outlives the reads; what looks after them runs there.
    waiting_reads(background_tasks& tasks, worker_pool& io, killed_test being_killed);

    /// A read begins to wait: the kernel's number of the request, the thread that
    /// reads, and whether it goes past the page cache. The token says when to give up.
    std::stop_token begin(std::uint64_t request, pid_t reader, bool direct);
    /// The kernel tells that the reader has a signal. Nothing happens if the request
    /// is none of ours, or has ended.
    void interrupt(std::uint64_t request);
    /// Before the read is answered.
    void end(std::uint64_t request) noexcept;

private:
    struct waiting;
    task<void> watch(std::shared_ptr<waiting> r, std::stop_token stop);

    background_tasks& tasks_;
    worker_pool& io_;
    const killed_test being_killed_;
    std::unordered_map<std::uint64_t, std::shared_ptr<waiting>> reads_;
};

/// Whether a thread is being killed, from its /proc/<tid>/status: whatever ends a
/// process makes SIGKILL pending in each of its threads. True when it cannot be
/// seen from here (0: it lives in a namespace of its own). Blocks.
bool is_being_killed(pid_t thread);
/// The same, of the text of that file. False where it does not say.
bool kill_is_pending(std::string_view status) noexcept;

} // namespace firstlight
