#pragma once

#include "actors/result.h"
#include "actors/runtime.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

struct fuse_buf;
struct fuse_lowlevel_ops;
struct fuse_session;
struct iovec;

namespace firstlight {

/// The daemon's one FUSE mount, served by every shard over a clone of the
/// device of its own.
///
/// A reply must be written to the descriptor its request was read from, or the
/// kernel answers ENOENT and the reader hangs. libfuse knows one descriptor per
/// session, so its I/O goes through functions of ours that pick the current
/// shard's. Hence the rule for every operation: a request is answered on the
/// shard that received it.
///
/// libfuse's userdata is this object; operations find theirs by `operations_of`.
class fuse_session_host {
public:
    struct options {
        std::string mountpoint; // an existing empty directory
        // Per connection, so far above the kernel's default of 12: one stuck read
        // in sixteen would hold up every other read-ahead of the node.
        unsigned max_background = 4096;
        unsigned read_ahead_kib = 1024;
        /// Told when the reader of an unanswered request has a signal to attend to:
        /// the request's number, see serving(). Called on any shard, after the request
        /// was given to operations on its own shard, or on the point of being so: what is
        /// posted to that shard then comes after it.
        std::function<void(std::uint64_t request)> interrupted;
    };

    /// Mounts and completes the INIT exchange. Blocks: call it off the shards.
    /// `ops` and `operations` outlive the host. Errors: io_error (mount(2)
    /// refused, another mount in the way), unsupported (kernel too old).
    static result<std::unique_ptr<fuse_session_host>>
    mount(runtime& shards, const fuse_lowlevel_ops& ops, void* operations, options o);

    ~fuse_session_host();
    fuse_session_host(const fuse_session_host&) = delete;
    fuse_session_host& operator=(const fuse_session_host&) = delete;

    /// Begins serving on every shard. Blocks until all of them do; call it off
    /// the shards, once.
    void serve();
    /// Ends serving: no request is read from now on, and unanswered ones are the
    /// caller's to wait for. Blocks; off the shards.
    void stop_serving();
    /// Detaches the mount. Blocks; off the shards.
    void unmount();

    /// Makes the kernel forget the name `name` in the root directory and what it
    /// leads to. Blocks on kernel locks that a request being served may hold, so
    /// never on a shard: run it in the io pool.
    result<void> forget_name(const std::string& name);

    /// The `operations` pointer given to mount(), from libfuse's userdata.
    static void* operations_of(void* userdata) noexcept;
    /// The kernel's number of the request that this shard is being called for.
    static std::uint64_t serving(void* userdata) noexcept;

    /// Detaches whatever is mounted at `mountpoint`, as often as needed. For the
    /// leftovers of a process that was killed. Blocks.
    static result<void> detach_stale(const std::string& mountpoint);

private:
    struct queue; // one shard's clone
    friend struct fuse_io;

    fuse_session_host(runtime& shards, void* operations, options o);
    result<void> open_and_mount(const fuse_lowlevel_ops& ops);
    result<void> exchange_init();
    result<void> clone_device();
    task<void> serve_on(queue& q);
    void dispatch(queue& q, const fuse_buf& request);
    int device_here() const noexcept;
    void raise_read_ahead() const;
    void patch_init_reply(iovec* parts, int count) const noexcept;

    runtime& shards_;
    void* const operations_;
    const options options_;
    int device_ = -1;
    fuse_session* session_ = nullptr;
    bool mounted_ = false;
    bool in_init_ = false; // between reading INIT and having answered it
    std::uint64_t init_unique_ = 0;
    std::uint64_t init_offered_ = 0;             // the kernel's flags
    std::vector<std::unique_ptr<queue>> queues_; // by shard id
};

} // namespace firstlight
