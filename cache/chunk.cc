#include "cache/chunk.h"

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace firstlight {

backing_file::~backing_file() {
    ::close(fd_);
}

chunk::chunk(shared_buffer content) noexcept
  : size_(content->size())
  , content_(std::move(content)) {
}

chunk::chunk(chunk_location where, std::uint64_t size) noexcept
  : size_(size)
  , where_(std::move(where)) {
}

std::span<const std::byte> chunk::memory() const noexcept {
    return content_ ? content_->span() : std::span<const std::byte>();
}

std::optional<std::size_t>
chunk::read_now(std::uint64_t offset, std::span<std::byte> out) const noexcept {
    const auto wanted =
      offset < size_ ? std::min<std::uint64_t>(out.size(), size_ - offset) : std::uint64_t{0};
    if (wanted == 0) {
        return 0;
    }
    if (content_) {
        std::memcpy(out.data(), content_->data() + offset, wanted);
        return wanted;
    }
    const iovec into{out.data(), wanted};
    const auto at = static_cast<off_t>(where_->offset() + offset);
    const auto got = ::preadv2(where_->file().fd(), &into, 1, at, RWF_NOWAIT);
    if (got != static_cast<ssize_t>(wanted)) { // EAGAIN, EOPNOTSUPP, or half of it is cached
        return std::nullopt;
    }
    return wanted;
}

result<void> chunk::read_blocking(std::uint64_t offset, std::span<std::byte> out) const {
    if (offset > size_ || out.size() > size_ - offset) {
        return fault(errc::invalid_argument, "read past the end of a chunk");
    }
    if (content_) {
        std::copy_n(content_->data() + offset, out.size(), out.data());
        return {};
    }
    auto at = where_->offset() + offset;
    while (!out.empty()) {
        const auto got =
          ::pread(where_->file().fd(), out.data(), out.size(), static_cast<off_t>(at));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return errno_fault(errno, "read " + where_->file().name());
        }
        if (got == 0) {
            return fault(errc::io_error, "read " + where_->file().name() + ": it was cut short");
        }
        at += static_cast<std::uint64_t>(got);
        out = out.subspan(static_cast<std::size_t>(got));
    }
    return {};
}

} // namespace firstlight
