#define FUSE_USE_VERSION 35
#include "fs/fuse_operations.h"

#include "fs/fuse_errno.h"
#include "fs/fuse_session.h"
#include "fs/node_id.h"
#include "fs/overdue_reads.h"
#include "fs/state_file.h"
#include "fs/waiting_reads.h"

#include <fuse3/fuse_lowlevel.h>

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

namespace firstlight {

namespace {

constexpr std::size_t largest_read = 1 << 20; // 256 pages, what INIT agrees on
constexpr std::string_view opaque_for_root = "trusted.overlay.opaque";
constexpr std::string_view opaque_for_users = "user.overlay.opaque";

std::optional<std::uint32_t> layer_number(std::string_view name) {
    std::uint32_t number = 0;
    const auto* end = name.data() + name.size();
    const auto [stop, failed] = std::from_chars(name.data(), end, number);
    const bool canonical = !name.empty() && name[0] != '0';
    return failed == std::errc() && stop == end && canonical ? std::optional(number) : std::nullopt;
}

struct stat to_stat(node_id id, const entry_attributes& a) {
    struct stat st{};
    st.st_ino = id.raw();
    st.st_mode = a.mode;
    st.st_nlink = a.nlink;
    st.st_uid = a.uid;
    st.st_gid = a.gid;
    st.st_rdev = makedev(a.rdev_major, a.rdev_minor);
    st.st_size = static_cast<off_t>(a.size);
    st.st_blksize = 4096;
    st.st_blocks = static_cast<blkcnt_t>((a.size + 511) / 512);
    st.st_mtim.tv_sec = a.mtime;
    return st;
}

// The root of the mount, and the state directory and file of a layer.
struct stat synthetic(std::uint64_t ino, mode_t mode, off_t size) {
    struct stat st{};
    st.st_ino = ino;
    st.st_mode = mode;
    st.st_nlink = S_ISDIR(mode) ? 2 : 1;
    st.st_size = size;
    st.st_blksize = 4096;
    return st;
}

} // namespace

struct fuse_operations::per_shard {
    per_shard(shard& home, worker_pool& io)
      : waiting(home)
      , reads(waiting, io, is_being_killed) {}
    buffer scratch{largest_read}; // replies that are sent before the operation returns
    background_tasks waiting;     // reads that could not be answered at once
    waiting_reads reads;          // those
    overdue_reads overdue;        // on any shard
};

/// One request: what libfuse gave, and the ways to answer it.
class fuse_request {
public:
    fuse_request(fuse_req_t raw, const fuse_operations::options& o) noexcept
      : raw_(raw)
      , options_(o) {}

    fuse_req_t raw() const noexcept { return raw_; }
    void fail(int error) const { fuse_reply_err(raw_, error); }
    void send(std::span<const std::byte> data) const {
        fuse_reply_buf(raw_, reinterpret_cast<const char*>(data.data()), data.size());
    }
    void send_attributes(const struct stat& st, std::chrono::seconds keep) const {
        fuse_reply_attr(raw_, &st, static_cast<double>(keep.count()));
    }
    void send_attributes(const layer& l, node_id id) const {
        send_attributes(to_stat(id, l.toc().attributes(id.entry())), options_.attr_timeout);
    }
    fuse_entry_param describe(const layer& l, node_id id) const {
        return describe(to_stat(id, l.toc().attributes(id.entry())), options_.attr_timeout);
    }
    fuse_entry_param describe(const struct stat& st, std::chrono::seconds keep_attributes) const {
        fuse_entry_param e{};
        e.ino = st.st_ino;
        e.attr = st;
        e.attr_timeout = static_cast<double>(keep_attributes.count());
        e.entry_timeout = static_cast<double>(options_.entry_timeout.count());
        return e;
    }
    void send_entry(const fuse_entry_param& e) const { fuse_reply_entry(raw_, &e); }
    // A name that does not exist, to be remembered as such: ino 0 with a timeout.
    void send_absence() const {
        fuse_entry_param none{};
        none.entry_timeout = static_cast<double>(options_.entry_timeout.count());
        send_entry(none);
    }

private:
    fuse_req_t raw_;
    const fuse_operations::options& options_;
};

/// Fills a readdir or readdirplus reply, entry by entry, until it is full.
/// Offsets: 1 after ".", 2 after "..", i + 3 after child i.
class directory_reply {
public:
    directory_reply(fuse_req_t req, std::span<std::byte> room, bool plus) noexcept
      : req_(req)
      , room_(room)
      , plus_(plus) {}

    // False when there was no room for it.
    bool add(const std::string& name, const fuse_entry_param& e, off_t next) {
        auto* at = reinterpret_cast<char*>(room_.data()) + used_;
        const auto left = room_.size() - used_;
        const auto size = plus_ ? fuse_add_direntry_plus(req_, at, left, name.c_str(), &e, next)
                                : fuse_add_direntry(req_, at, left, name.c_str(), &e.attr, next);
        if (size > left) {
            return false;
        }
        used_ += size;
        return true;
    }
    std::span<const std::byte> filled() const noexcept { return room_.first(used_); }

private:
    fuse_req_t req_;
    std::span<std::byte> room_;
    bool plus_;
    std::size_t used_ = 0;
};

/// The functions in libfuse's table; each finds the operations it belongs to.
struct fuse_entry_points {
    static fuse_operations& self(fuse_req_t req) {
        return *static_cast<fuse_operations*>(
          fuse_session_host::operations_of(fuse_req_userdata(req)));
    }
    static fuse_request request(fuse_req_t req) { return {req, self(req).options_}; }

    static void init(void*, fuse_conn_info* conn) {
        const auto want = [conn](unsigned capability) { conn->want |= conn->capable & capability; };
        want(FUSE_CAP_ASYNC_READ);
        want(FUSE_CAP_PARALLEL_DIROPS);
        want(FUSE_CAP_READDIRPLUS);
        want(FUSE_CAP_READDIRPLUS_AUTO);
        want(FUSE_CAP_CACHE_SYMLINKS);
        want(FUSE_CAP_NO_OPENDIR_SUPPORT);
        want(FUSE_CAP_EXPLICIT_INVAL_DATA);
        // Nothing ever changes behind the kernel's back, and splicing gained
        // nothing here while its kernel side had its share of CVEs.
        // A read(2) with O_DIRECT that the kernel sends asynchronously cannot be killed.
        conn->want &= ~static_cast<unsigned>(
          FUSE_CAP_ASYNC_DIO | FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_SPLICE_READ |
          FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
        conn->max_write = largest_read; // from which libfuse derives max_pages
    }

    static void lookup(fuse_req_t raw, fuse_ino_t parent, const char* name);
    static void getattr(fuse_req_t raw, fuse_ino_t ino, fuse_file_info*);
    static void readlink(fuse_req_t raw, fuse_ino_t ino);
    static void open(fuse_req_t raw, fuse_ino_t ino, fuse_file_info* file);
    static void
    read(fuse_req_t raw, fuse_ino_t ino, std::size_t size, off_t offset, fuse_file_info*);
    static void
    readdir(fuse_req_t raw, fuse_ino_t ino, std::size_t size, off_t offset, fuse_file_info*);
    static void
    readdirplus(fuse_req_t raw, fuse_ino_t ino, std::size_t size, off_t offset, fuse_file_info*);
    static void statfs(fuse_req_t raw, fuse_ino_t);
    static void getxattr(fuse_req_t raw, fuse_ino_t ino, const char* name, std::size_t size);
    static void listxattr(fuse_req_t raw, fuse_ino_t ino, std::size_t size);

    // Node ids are computed, not counted, so there is nothing to forget.
    static void forget(fuse_req_t raw, fuse_ino_t, std::uint64_t) { fuse_reply_none(raw); }
    static void forget_multi(fuse_req_t raw, std::size_t, fuse_forget_data*) {
        fuse_reply_none(raw);
    }
    static void release(fuse_req_t raw, fuse_ino_t, fuse_file_info*) { fuse_reply_err(raw, 0); }
    // ENOSYS, once, makes the kernel open directories by itself and cache them.
    static void opendir(fuse_req_t raw, fuse_ino_t, fuse_file_info*) {
        fuse_reply_err(raw, ENOSYS);
    }
    // overlayfs asks lower files for their inode flags at copy-up; anything but
    // "no such ioctl" makes the copy-up fail.
    static void ioctl(
      fuse_req_t raw, fuse_ino_t, unsigned, void*, fuse_file_info*, unsigned, const void*,
      std::size_t, std::size_t) {
        fuse_reply_err(raw, ENOTTY);
    }

private:
    static void lookup_layer(fuse_operations& ops, const fuse_request& req, const char* name);
    static void
    lookup_state(const layer& l, const fuse_request& req, node_id parent, std::string_view name);
    static void list(fuse_req_t raw, fuse_ino_t ino, std::size_t size, off_t offset, bool plus);
    static void list_mount_root(
      fuse_operations& ops, const fuse_request& req, directory_reply& out, off_t offset);
    static void list_layer(
      const layer& l, const fuse_request& req, node_id dir, directory_reply& out, off_t offset);
    static void
    list_state(const layer& l, const fuse_request& req, directory_reply& out, off_t offset);
    static task<void> finish_read(
      fuse_operations& ops, fuse_req_t raw, layer_ptr l, entry_id entry, std::uint64_t offset,
      std::size_t size, std::uint64_t number, std::stop_token give_up);
    static task<void> answer_state(
      fuse_operations& ops, fuse_req_t raw, layer_ptr l, bool attributes_only, std::size_t size,
      std::uint64_t offset);
    static void ask_state(
      fuse_operations& ops, fuse_req_t raw, layer_ptr l, bool attributes_only, std::size_t size,
      std::uint64_t offset);
};

void fuse_entry_points::lookup_layer(
  fuse_operations& ops, const fuse_request& req, const char* name) {
    const auto number = layer_number(name);
    const auto l = number ? ops.layers_.find(*number) : nullptr;
    if (!l) {
        req.fail(ENOENT); // not to be remembered: the layer may be mounted next
        return;
    }
    req.send_entry(req.describe(*l, node_id(*number, 0)));
}

void fuse_entry_points::lookup_state(
  const layer& l, const fuse_request& req, node_id parent, std::string_view name) {
    if (parent.entry() == 0) {
        const node_id id(l.number(), node_id::state_directory);
        req.send_entry(req.describe(synthetic(id.raw(), S_IFDIR | 0500, 0), std::chrono::hours(1)));
    } else if (parent.entry() == node_id::state_directory && name == state_file_name(l)) {
        const node_id id(l.number(), node_id::state_file);
        const auto size = static_cast<off_t>(state_file_content(l, "").size());
        req.send_entry(req.describe(synthetic(id.raw(), S_IFREG | 0400, size), {}));
    } else {
        req.send_absence();
    }
}

void fuse_entry_points::lookup(fuse_req_t raw, fuse_ino_t parent, const char* name) {
    auto& ops = self(raw);
    const auto req = request(raw);
    const node_id dir(parent);
    if (dir.is_mount_root()) {
        lookup_layer(ops, req, name);
        return;
    }
    const auto l = ops.layers_.find(dir.layer());
    if (!l) {
        req.fail(ESTALE);
    } else if (dir.is_state() || (dir.entry() == 0 && name == state_directory_name)) {
        lookup_state(*l, req, dir, name);
    } else if (const auto found = l->toc().find(dir.entry(), name)) {
        req.send_entry(req.describe(*l, node_id(dir.layer(), *found)));
    } else {
        req.send_absence();
    }
}

void fuse_entry_points::getattr(fuse_req_t raw, fuse_ino_t ino, fuse_file_info*) {
    auto& ops = self(raw);
    const auto req = request(raw);
    const node_id id(ino);
    if (id.is_mount_root()) {
        req.send_attributes(synthetic(ino, S_IFDIR | 0755, 0), ops.options_.attr_timeout);
        return;
    }
    const auto l = ops.layers_.find(id.layer());
    if (!l) {
        req.fail(ESTALE);
    } else if (id.entry() == node_id::state_directory) {
        req.send_attributes(synthetic(ino, S_IFDIR | 0500, 0), ops.options_.attr_timeout);
    } else if (id.entry() == node_id::state_file) {
        ask_state(ops, raw, l, true, 0, 0);
    } else if (id.entry() < l->toc().size()) {
        req.send_attributes(*l, id);
    } else {
        req.fail(ESTALE);
    }
}

void fuse_entry_points::readlink(fuse_req_t raw, fuse_ino_t ino) {
    const node_id id(ino);
    const auto l = self(raw).layers_.find(id.layer());
    if (!l || id.entry() >= l->toc().size()) {
        fuse_reply_err(raw, ESTALE);
        return;
    }
    const std::string target(l->toc().symlink_target(id.entry()));
    fuse_reply_readlink(raw, target.c_str());
}

void fuse_entry_points::open(fuse_req_t raw, fuse_ino_t ino, fuse_file_info* file) {
    const node_id id(ino);
    if ((file->flags & O_ACCMODE) != O_RDONLY) {
        fuse_reply_err(raw, EROFS);
        return;
    }
    const bool state = id.entry() == node_id::state_file;
    file->keep_cache = state ? 0 : 1;
    file->direct_io = state ? 1 : 0; // made anew at each read
    file->noflush = 1;
    fuse_reply_open(raw, file);
}

void fuse_entry_points::read(
  fuse_req_t raw, fuse_ino_t ino, std::size_t size, off_t offset, fuse_file_info* file) {
    auto& ops = self(raw);
    const auto req = request(raw);
    const node_id id(ino);
    auto l = ops.layers_.find(id.layer());
    const auto from = static_cast<std::uint64_t>(offset);
    if (!l) {
        req.fail(ESTALE);
        return;
    }
    if (id.entry() == node_id::state_file) {
        ask_state(ops, raw, std::move(l), false, size, from);
        return;
    }
    if (id.entry() >= l->toc().size() || !l->toc().is_regular(id.entry())) {
        req.fail(EINVAL);
        return;
    }
    auto& local = ops.here();
    const auto room = local.scratch.span().first(std::min(size, largest_read));
    if (const auto got = ops.reader_.read_now(l, id.entry(), from, room)) {
        ops.counted_.reads_hit.add();
        ops.counted_.bytes_read.add(*got);
        req.send(room.first(*got));
        return;
    }
    const auto now = std::chrono::steady_clock::now();
    if (local.overdue.overlaps(ino, from, from + room.size(), now)) {
        ops.counted_.reads_failed.add();
        req.fail(EIO);
        return;
    }
    const auto number = fuse_session_host::serving(fuse_req_userdata(raw));
    const bool direct = (file->flags & O_DIRECT) != 0;
    const auto give_up = local.reads.begin(number, fuse_req_ctx(raw)->pid, direct);
    auto body = [&ops, raw, l, entry = id.entry(), from, size = room.size(), number,
                 give_up](std::stop_token) {
        return finish_read(ops, raw, l, entry, from, size, number, give_up);
    };
    local.waiting.spawn("read", lane::demand, std::move(body));
}

task<void> fuse_entry_points::finish_read(
  fuse_operations& ops, fuse_req_t raw, layer_ptr l, entry_id entry, std::uint64_t offset,
  std::size_t size, std::uint64_t number, std::stop_token give_up) {
    const auto arrived = std::chrono::steady_clock::now();
    const auto patience = deadline::after(ops.options_.read_deadline);
    auto got = co_await ops.reader_.read(l, entry, offset, size, patience, give_up);
    ops.here().reads.end(number);
    if (!got && got.error().code() == errc::interrupted) {
        ops.counted_.reads_interrupted.add();
        fuse_reply_err(raw, EINTR);
        co_return;
    }
    ops.counted_.wait.record(std::chrono::steady_clock::now() - arrived);
    if (!got) {
        ops.counted_.reads_failed.add();
        if (got.error().code() == errc::timed_out) {
            ops.tell_overdue(node_id(l->number(), entry).raw(), offset, offset + size);
        }
        fuse_reply_err(raw, to_errno(got.error()));
        co_return;
    }
    ops.counted_.reads_waited.add();
    ops.counted_.bytes_read.add(got->bytes.size());
    request(raw).send(got->bytes.span());
}

void fuse_entry_points::ask_state(
  fuse_operations& ops, fuse_req_t raw, layer_ptr l, bool attributes_only, std::size_t size,
  std::uint64_t offset) {
    auto body = [&ops, raw, l, attributes_only, size, offset](std::stop_token) {
        return answer_state(ops, raw, l, attributes_only, size, offset);
    };
    ops.here().waiting.spawn("state file", lane::demand, std::move(body));
}

task<void> fuse_entry_points::answer_state(
  fuse_operations& ops, fuse_req_t raw, layer_ptr l, bool attributes_only, std::size_t size,
  std::uint64_t offset) {
    const auto error = co_await ops.errors_.of(l->number());
    const auto content = state_file_content(*l, error ? *error : error.error().context());
    if (attributes_only) {
        const node_id id(l->number(), node_id::state_file);
        const auto length = static_cast<off_t>(content.size());
        request(raw).send_attributes(synthetic(id.raw(), S_IFREG | 0400, length), {});
        co_return;
    }
    const auto all = as_bytes(content);
    const auto from = all.subspan(std::min<std::uint64_t>(offset, all.size()));
    request(raw).send(from.first(std::min(size, from.size())));
}

void fuse_entry_points::list_mount_root(
  fuse_operations& ops, const fuse_request& req, directory_reply& out, off_t offset) {
    // Layers come and go between two calls, so the offset is the layer's number.
    const auto& layers = ops.layers_.here();
    const auto start = static_cast<std::uint32_t>(offset);
    for (auto at = layers.upper_bound(start); at != layers.end(); ++at) {
        const node_id id(at->first, 0);
        if (!out.add(std::to_string(at->first), req.describe(*at->second, id), at->first)) {
            return;
        }
    }
}

void fuse_entry_points::list_layer(
  const layer& l, const fuse_request& req, node_id dir, directory_reply& out, off_t offset) {
    const auto& toc = l.toc();
    const auto count = static_cast<off_t>(toc.child_count(dir.entry())) + 2;
    for (off_t at = offset; at < count; ++at) {
        std::string name;
        auto id = dir;
        if (at == 0) {
            name = ".";
        } else if (at == 1) {
            name = "..";
            id = node_id(dir.layer(), toc.parent(dir.entry()));
        } else {
            const auto child = toc.child(dir.entry(), static_cast<std::uint32_t>(at - 2));
            name = child.name;
            id = node_id(dir.layer(), child.id);
        }
        if (!out.add(name, req.describe(l, id), at + 1)) {
            return;
        }
    }
}

void fuse_entry_points::list_state(
  const layer& l, const fuse_request& req, directory_reply& out, off_t offset) {
    if (offset == 0) {
        const node_id id(l.number(), node_id::state_file);
        const auto size = static_cast<off_t>(state_file_content(l, "").size());
        out.add(state_file_name(l), req.describe(synthetic(id.raw(), S_IFREG | 0400, size), {}), 1);
    }
}

void fuse_entry_points::list(
  fuse_req_t raw, fuse_ino_t ino, std::size_t size, off_t offset, bool plus) {
    auto& ops = self(raw);
    const auto req = request(raw);
    const node_id dir(ino);
    const auto room = ops.here().scratch.span().first(std::min(size, largest_read));
    directory_reply out(raw, room, plus);
    if (dir.is_mount_root()) {
        list_mount_root(ops, req, out, offset);
        req.send(out.filled());
        return;
    }
    const auto l = ops.layers_.find(dir.layer());
    if (!l) {
        req.fail(ESTALE);
        return;
    }
    if (dir.is_state()) {
        list_state(*l, req, out, offset);
    } else {
        list_layer(*l, req, dir, out, offset);
    }
    req.send(out.filled());
}

void fuse_entry_points::readdir(
  fuse_req_t raw, fuse_ino_t ino, std::size_t size, off_t offset, fuse_file_info*) {
    list(raw, ino, size, offset, false);
}

void fuse_entry_points::readdirplus(
  fuse_req_t raw, fuse_ino_t ino, std::size_t size, off_t offset, fuse_file_info*) {
    list(raw, ino, size, offset, true);
}

void fuse_entry_points::statfs(fuse_req_t raw, fuse_ino_t) {
    struct statvfs st{};
    st.f_bsize = 4096;
    st.f_frsize = 4096;
    st.f_namemax = 255;
    fuse_reply_statfs(raw, &st);
}

namespace {

std::string_view opaque_name(const fuse_operations::options& o) {
    return o.user_xattr ? opaque_for_users : opaque_for_root;
}

// The protocol of getxattr(2) and listxattr(2): size 0 asks for the length.
void send_sized(fuse_req_t raw, std::string_view value, std::size_t size) {
    if (size == 0) {
        fuse_reply_xattr(raw, value.size());
    } else if (size < value.size()) {
        fuse_reply_err(raw, ERANGE);
    } else {
        fuse_reply_buf(raw, value.data(), value.size());
    }
}

} // namespace

void fuse_entry_points::getxattr(
  fuse_req_t raw, fuse_ino_t ino, const char* name, std::size_t size) {
    auto& ops = self(raw);
    const node_id id(ino);
    const auto l = ops.layers_.find(id.layer());
    if (!l || id.entry() >= l->toc().size()) {
        fuse_reply_err(raw, ENODATA);
    } else if (name == opaque_name(ops.options_) && l->toc().opaque(id.entry())) {
        send_sized(raw, "y", size);
    } else if (const auto value = l->toc().find_xattr(id.entry(), name)) {
        send_sized(raw, *value, size);
    } else {
        fuse_reply_err(raw, ENODATA);
    }
}

void fuse_entry_points::listxattr(fuse_req_t raw, fuse_ino_t ino, std::size_t size) {
    auto& ops = self(raw);
    const node_id id(ino);
    const auto l = ops.layers_.find(id.layer());
    std::string names;
    if (l && id.entry() < l->toc().size()) {
        if (l->toc().opaque(id.entry())) {
            names += opaque_name(ops.options_);
            names += '\0';
        }
        for (std::uint32_t i = 0; i < l->toc().xattr_count(id.entry()); ++i) {
            names += l->toc().xattr(id.entry(), i).name;
            names += '\0';
        }
    }
    send_sized(raw, names, size);
}

const fuse_lowlevel_ops& fuse_operations::table() {
    static const fuse_lowlevel_ops ops = [] {
        using entry = fuse_entry_points;
        fuse_lowlevel_ops t{};
        t.init = entry::init;
        t.lookup = entry::lookup;
        t.forget = entry::forget;
        t.forget_multi = entry::forget_multi;
        t.getattr = entry::getattr;
        t.readlink = entry::readlink;
        t.open = entry::open;
        t.read = entry::read;
        t.release = entry::release;
        t.opendir = entry::opendir;
        t.readdir = entry::readdir;
        t.readdirplus = entry::readdirplus;
        t.statfs = entry::statfs;
        t.getxattr = entry::getxattr;
        t.listxattr = entry::listxattr;
        t.ioctl = entry::ioctl;
        return t;
    }();
    return ops;
}

fuse_operations::fuse_operations(
  runtime& shards, layer_table& layers, layer_reader& reader, layer_errors& errors,
  fs_metrics& counted, options o)
  : shards_(shards)
  , layers_(layers)
  , reader_(reader)
  , errors_(errors)
  , counted_(counted)
  , options_(o) {
    for (unsigned id = 0; id < shards.size(); ++id) {
        state_.push_back(std::make_unique<per_shard>(shards.at(id), shards.io()));
    }
}

fuse_operations::~fuse_operations() = default;

fuse_operations::per_shard& fuse_operations::here() noexcept {
    return *state_[shard::current()->id()];
}

// Which shard has the request is not known here, and interrupts are rare: all are told.
void fuse_operations::interrupt(std::uint64_t request) {
    for (unsigned id = 0; id < shards_.size(); ++id) {
        auto tell = [&local = *state_[id], request] { local.reads.interrupt(request); };
        asio::post(shards_.at(id).on(lane::demand), std::move(tell));
    }
}

// Before the reply, so that the shard which the kernel then asks has heard of it.
void fuse_operations::tell_overdue(std::uint64_t node, std::uint64_t begin, std::uint64_t end) {
    const auto now = std::chrono::steady_clock::now();
    for (unsigned id = 0; id < shards_.size(); ++id) {
        auto tell = [&local = *state_[id], node, begin, end, now] {
            local.overdue.add(node, begin, end, now);
        };
        if (shards_.at(id).is_current()) {
            tell();
        } else {
            asio::post(shards_.at(id).on(lane::demand), std::move(tell));
        }
    }
}

task<void> fuse_operations::stop() {
    for (const auto& each : state_) {
        co_await each->waiting.stop_from_elsewhere();
    }
}

} // namespace firstlight
