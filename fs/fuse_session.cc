#define FUSE_USE_VERSION 35
#include "fs/fuse_session.h"

#include "actors/call.h"
#include "actors/log.h"
#include "actors/slice.h"

#include <boost/asio/detached.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/use_future.hpp>

#include <fuse3/fuse_lowlevel.h>
#include <linux/fuse.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <future>
#include <sstream>

namespace firstlight {

namespace {

constexpr int burst = 16; // requests served before other handlers get a turn
constexpr auto init_patience = std::chrono::seconds(10);

void close_if_open(int& fd) noexcept {
    if (fd >= 0) {
        ::close(fd);
        fd = -1;
    }
}

} // namespace

struct fuse_session_host::queue {
    queue(shard& s, int clone, int waiter)
      : home(s)
      , device(clone)
      , ready(s.on(lane::demand), waiter) {}
    ~queue() { ::close(device); }

    shard& home;
    const int device; // clone of the mount's device
    // A private epoll around `device`, for EPOLLEXCLUSIVE: one request then wakes
    // one shard and not all of them, and Asio's own epoll has no way to say so.
    asio::posix::stream_descriptor ready;
    bool stopping = false;     // on `home` only
    std::uint64_t serving = 0; // the same
    std::promise<void> ended;
};

/// The functions through which libfuse reads and writes the device.
struct fuse_io {
    static fuse_session_host& host(void* userdata) {
        return *static_cast<fuse_session_host*>(userdata);
    }
    static ssize_t read(int, void* to, size_t size, void* userdata) {
        auto& self = host(userdata);
        const auto got = ::read(self.device_here(), to, size);
        if (self.in_init_ && got >= static_cast<ssize_t>(sizeof(fuse_in_header))) {
            fuse_in_header header;
            std::memcpy(&header, to, sizeof header);
            if (header.opcode == FUSE_INIT) {
                fuse_init_in offer{};
                std::memcpy(
                  &offer, static_cast<char*>(to) + sizeof header,
                  std::min(sizeof offer, static_cast<size_t>(got) - sizeof header));
                self.init_unique_ = header.unique;
                self.init_offered_ = offer.flags;
            }
        }
        return got;
    }
    static ssize_t writev(int, iovec* parts, int count, void* userdata) {
        auto& self = host(userdata);
        if (self.in_init_) {
            self.patch_init_reply(parts, count);
        }
        return ::writev(self.device_here(), parts, count);
    }
};

fuse_session_host::fuse_session_host(runtime& shards, void* operations, options o)
  : shards_(shards)
  , operations_(operations)
  , options_(std::move(o)) {
}

fuse_session_host::~fuse_session_host() {
    unmount();
    queues_.clear();
    if (session_) {
        fuse_session_destroy(session_); // closes device_, which it was given
    } else {
        close_if_open(device_);
    }
}

result<std::unique_ptr<fuse_session_host>> fuse_session_host::mount(
  runtime& shards, const fuse_lowlevel_ops& ops, void* operations, options o) {
    std::unique_ptr<fuse_session_host> host(
      new fuse_session_host(shards, operations, std::move(o))); // private constructor
    if (auto done = host->open_and_mount(ops); !done) {
        return done.error();
    }
    if (auto done = host->exchange_init(); !done) {
        return done.error();
    }
    if (auto done = host->clone_device(); !done) {
        return done.error();
    }
    host->raise_read_ahead();
    return host;
}

result<void> fuse_session_host::open_and_mount(const fuse_lowlevel_ops& ops) {
    device_ = ::open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (device_ < 0) {
        return errno_fault(errno, "open /dev/fuse (is the fuse module loaded?)");
    }
    const auto data = fmt::format(
      "fd={},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions", device_);
    // nodev: overlayfs looks at its own mount's flags, so device nodes of images
    // still work in containers. Not nosuid: a view of a single layer is a bind of
    // ours, where set-uid programs work under overlayfs too.
    if (
      ::mount(
        "firstlight", options_.mountpoint.c_str(), "fuse.firstlight", MS_RDONLY | MS_NODEV,
        data.c_str()) != 0) {
        return errno_fault(errno, "mount FUSE at " + options_.mountpoint);
    }
    mounted_ = true;

    char name[] = "firstlight";
    char* argv[] = {name, nullptr};
    fuse_args args = FUSE_ARGS_INIT(1, argv);
    session_ = fuse_session_new(&args, &ops, sizeof ops, this);
    fuse_opt_free_args(&args);
    if (!session_) {
        return fault(errc::unknown, "libfuse refuses a new session");
    }
    static constexpr fuse_custom_io io{
      .writev = fuse_io::writev,
      .read = fuse_io::read,
      .splice_receive = nullptr,
      .splice_send = nullptr,
#if FUSE_MAJOR_VERSION > 3 || FUSE_MINOR_VERSION >= 17
      .clone_fd = nullptr,
#endif
    };
    if (fuse_session_custom_io(session_, &io, device_) != 0) {
        return fault(errc::unsupported, "libfuse refuses custom I/O");
    }
    return {};
}

// The kernel sends INIT as soon as it is mounted; nothing else comes before the
// reply, so it is exchanged here, before any shard serves.
result<void> fuse_session_host::exchange_init() {
    in_init_ = true;
    pollfd readable{.fd = device_, .events = POLLIN, .revents = 0};
    const auto patience =
      std::chrono::duration_cast<std::chrono::milliseconds>(init_patience).count();
    if (::poll(&readable, 1, static_cast<int>(patience)) != 1) {
        return fault(errc::timed_out, "the kernel sends no FUSE_INIT");
    }
    fuse_buf request{};
    const int got = fuse_session_receive_buf(session_, &request);
    if (got > 0) {
        fuse_session_process_buf(session_, &request);
    }
    std::free(request.mem);
    in_init_ = false;
    if (got <= 0 || fuse_session_exited(session_)) {
        return fault(errc::unsupported, "FUSE_INIT failed; the kernel's FUSE is too old");
    }
    return {};
}

// libfuse 3.14 never asks for parallel directory operations, without which the
// lookups in one directory wait for each other, and has no say over what the
// kernel may have in flight in the background before INIT is answered.
void fuse_session_host::patch_init_reply(iovec* parts, int count) const noexcept {
    fuse_out_header header;
    std::memcpy(&header, parts[0].iov_base, sizeof header);
    if (count < 2 || header.unique != init_unique_ || header.error != 0) {
        return;
    }
    constexpr auto needed = offsetof(fuse_init_out, congestion_threshold) + sizeof(std::uint16_t);
    if (parts[1].iov_len < needed) {
        return;
    }
    auto* reply = static_cast<fuse_init_out*>(parts[1].iov_base);
    reply->flags |= static_cast<std::uint32_t>(init_offered_ & FUSE_PARALLEL_DIROPS);
    reply->max_background = static_cast<std::uint16_t>(options_.max_background);
    reply->congestion_threshold = static_cast<std::uint16_t>(options_.max_background / 4 * 3);
}

result<void> fuse_session_host::clone_device() {
    for (unsigned id = 0; id < shards_.size(); ++id) {
        int clone = ::open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
        if (clone < 0) {
            return errno_fault(errno, "open /dev/fuse for a clone");
        }
        auto master = static_cast<std::uint32_t>(device_);
        if (::ioctl(clone, FUSE_DEV_IOC_CLONE, &master) != 0) {
            auto refused = errno_fault(errno, "clone the FUSE device");
            ::close(clone);
            return refused;
        }
        const int waiter = ::epoll_create1(EPOLL_CLOEXEC);
        epoll_event interest{};
        interest.events = EPOLLIN | EPOLLEXCLUSIVE;
        if (waiter < 0 || ::epoll_ctl(waiter, EPOLL_CTL_ADD, clone, &interest) != 0) {
            auto refused = errno_fault(errno, "epoll on a FUSE device");
            ::close(clone);
            return refused;
        }
        queues_.push_back(std::make_unique<queue>(shards_.at(id), clone, waiter));
    }
    return {};
}

// INIT can only lower the kernel's read-ahead; sysfs can raise it. The device's
// number is looked up in the mount table, since stat(2) would ask this process.
void fuse_session_host::raise_read_ahead() const {
    std::ifstream mounts("/proc/self/mountinfo");
    std::string line;
    while (std::getline(mounts, line)) {
        std::istringstream fields(line); // proc(5): id, parent, major:minor, root, mount point
        std::string id, parent, device, root, where;
        fields >> id >> parent >> device >> root >> where;
        if (where == options_.mountpoint) {
            std::ofstream("/sys/class/bdi/" + device + "/read_ahead_kb") << options_.read_ahead_kib;
        }
    }
}

int fuse_session_host::device_here() const noexcept {
    const auto* here = shard::current();
    return here && here->id() < queues_.size() ? queues_[here->id()]->device : device_;
}

void* fuse_session_host::operations_of(void* userdata) noexcept {
    return static_cast<fuse_session_host*>(userdata)->operations_;
}

std::uint64_t fuse_session_host::serving(void* userdata) noexcept {
    const auto& self = *static_cast<fuse_session_host*>(userdata);
    return self.queues_[shard::current()->id()]->serving;
}

void fuse_session_host::serve() {
    for (auto& q : queues_) {
        asio::co_spawn(q->home.on(lane::demand), serve_on(*q), asio::detached);
    }
}

task<void> fuse_session_host::serve_on(queue& q) {
    fuse_buf request{}; // libfuse allocates and reuses its memory
    while (!q.stopping && !fuse_session_exited(session_)) {
        const auto [failed] = co_await q.ready.async_wait(q.ready.wait_read, quietly);
        if (failed) {
            break;
        }
        int served = 0;
        while (served < burst && !q.stopping) {
            if (fuse_session_receive_buf(session_, &request) <= 0) {
                break; // EAGAIN: another shard was quicker, or nothing is left
            }
            dispatch(q, request);
            ++served;
        }
    }
    std::free(request.mem);
    q.ended.set_value();
}

// Interrupts are kept from libfuse. It would call back under a lock, on the shard that
// read the message; and one that overtakes its request, on another shard's clone, it may
// send back by the clone at hand, where the kernel does not look for it. Here it becomes
// a message. A request is in the hands of `operations` before its shard handles another
// message, and the kernel sends no interrupt before a shard has read the request.
void fuse_session_host::dispatch(queue& q, const fuse_buf& request) {
    fuse_in_header header;
    std::memcpy(&header, request.mem, sizeof header); // what is shorter, libfuse refuses
    if (header.opcode != FUSE_INTERRUPT) {
        q.serving = header.unique;
        fuse_session_process_buf(session_, &request);
        return;
    }
    fuse_interrupt_in which;
    if (request.size >= sizeof header + sizeof which && options_.interrupted) {
        std::memcpy(&which, static_cast<const char*>(request.mem) + sizeof header, sizeof which);
        options_.interrupted(which.unique);
    }
}

void fuse_session_host::stop_serving() {
    for (auto& q : queues_) {
        auto ended = q->ended.get_future();
        asio::post(q->home.on(lane::demand), [&q] {
            q->stopping = true;
            q->ready.cancel();
        });
        ended.get();
    }
}

void fuse_session_host::unmount() {
    if (!mounted_) {
        return;
    }
    mounted_ = false;
    if (::umount2(options_.mountpoint.c_str(), MNT_DETACH) != 0) {
        log::warn(
          "cannot unmount",
          {{"path", options_.mountpoint}, {"error", std::generic_category().message(errno)}});
    }
}

result<void> fuse_session_host::forget_name(const std::string& name) {
    const int failed =
      fuse_lowlevel_notify_inval_entry(session_, FUSE_ROOT_ID, name.data(), name.size());
    if (failed != 0 && failed != -ENOENT) { // ENOENT: the kernel never knew it
        return errno_fault(-failed, "invalidate layer directory " + name);
    }
    return {};
}

result<void> fuse_session_host::detach_stale(const std::string& mountpoint) {
    while (::umount2(mountpoint.c_str(), MNT_DETACH) == 0) {
    }
    if (errno != EINVAL && errno != ENOENT) { // EINVAL: nothing is mounted there
        return errno_fault(errno, "detach the old mount at " + mountpoint);
    }
    return {};
}

} // namespace firstlight
