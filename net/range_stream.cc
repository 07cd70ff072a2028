#include "net/range_stream.h"

#include <algorithm>

namespace firstlight {

namespace {

constexpr std::size_t slice_size = 64 << 10;
// How much the background reads before it asks again whether it may.
constexpr std::uint64_t turn = 64 << 10;
// A server that drops us after less than this is not getting anywhere.
constexpr std::uint64_t progress = 64 << 10;

} // namespace

range_stream::range_stream(
  blob_finder& finder, mailbox::slot admitted, blob_address blob, byte_range range, request_lane l,
  deadline d)
  : finder_(finder)
  , admitted_(std::move(admitted))
  , blob_(std::move(blob))
  , priority_(std::move(l))
  , until_(d)
  , tries_(finder.retries())
  , position_(range.begin())
  , end_(std::max(range.begin(), range.end()))
  , mark_(finder.gate(), priority_.get()) {
    priority_.watch(this, [this] {
        mark_.follow(priority_.get());
        finder_.gate().look_again();
    });
}

range_stream::~range_stream() {
    priority_.unwatch(this);
}

void range_stream::adopt(located first) {
    source_.emplace(std::move(first));
}

task<result<void>> range_stream::pass_gate(std::uint64_t bytes) {
    auto passed = co_await finder_.gate().pass(priority_, bytes, until_, finder_.stopping());
    mark_.follow(priority_.get());
    co_return passed;
}

// All of the rest; but while a process waits elsewhere, the background asks for little at
// once, and only when it may have that much: what has been asked for comes at the link's
// full rate, whenever it is read.
task<result<byte_range>> range_stream::next_request() {
    mark_.follow(priority_.get());
    auto& gate = finder_.gate();
    if (!gate.must_ask(priority_.get())) {
        co_return rest();
    }
    const auto bytes = std::min<std::uint64_t>(left(), gate.request());
    auto passed = co_await pass_gate(bytes);
    if (!passed) {
        co_return passed.error();
    }
    if (!gate.must_ask(priority_.get())) { // raised, or nobody waits any more
        co_return rest();
    }
    admitted_bytes_ = bytes;
    co_return byte_range(position_, position_ + bytes);
}

task<result<void>> range_stream::prepare() {
    if (source_ || left() == 0) {
        co_return result<void>();
    }
    auto next = co_await next_request();
    if (!next) {
        co_return next.error();
    }
    const wish w(blob_, range_query::bytes(*next, finder_.config().max_skip), priority_, until_);
    auto found = co_await finder_.find(w, tries_);
    if (!found) {
        co_return found.error();
    }
    source_.emplace(std::move(*found));
    co_return result<void>();
}

// One read from the present response: of bytes to skip (0 is returned), or of
// bytes to keep.
task<result<std::size_t>> range_stream::receive(std::span<std::byte> into) {
    auto& plan = source_->plan;
    const bool skipping = plan.skip > 0;
    if (skipping && slice_.empty()) {
        slice_ = buffer(slice_size);
    }
    auto room = into;
    if (skipping) {
        room = slice_.span();
    }
    mark_.follow(priority_.get());
    auto most = std::min<std::uint64_t>(room.size(), skipping ? plan.skip : plan.length);
    if (finder_.gate().must_ask(priority_.get())) {
        if (admitted_bytes_ == 0) {
            auto passed = co_await pass_gate(turn);
            if (!passed) {
                co_return passed.error();
            }
            admitted_bytes_ = turn;
        }
        most = std::min(most, admitted_bytes_);
    }
    source_->from.held.fit_window();
    const patience p(source_->silence, until_);
    auto n = co_await source_->from.held.stream().read_some(room.first(most), p.next());
    if (!n) {
        co_return judged(n.error(), p);
    }
    if (*n == 0) {
        co_return fault(errc::unavailable, "body ended early");
    }
    admitted_bytes_ -= std::min<std::uint64_t>(admitted_bytes_, *n);
    finder_.metrics().received(priority_.get(), *n);
    finder_.gate().received(priority_.get(), *n);
    if (skipping) {
        plan.skip -= *n;
        co_return std::size_t(0);
    }
    account(*n);
    co_return *n;
}

void range_stream::account(std::size_t n) {
    position_ += n;
    source_->plan.length -= n;
    if (source_->plan.length == 0) {
        source_.reset(); // gives the connection back
    }
    since_failure_ += n;
    if (since_failure_ >= progress) {
        tries_.reset();
    }
}

task<result<void>> range_stream::recover(fault why) {
    const bool elsewhere = finder_.broke_off(*source_, why);
    source_.reset();
    since_failure_ = 0;
    if (elsewhere) {
        finder_.metrics().retried(priority_.get());
        co_return result<void>();
    }
    const wish w(blob_, range_query::bytes(rest(), 0), priority_, until_);
    why = why.in(w.to_string());
    if (why.code() != errc::unavailable || !tries_.more()) {
        co_return why;
    }
    const auto pause = tries_.next(std::chrono::milliseconds(0));
    co_return co_await finder_.wait(pause, std::move(why), priority_.get(), until_);
}

task<result<std::size_t>> range_stream::take(std::span<std::byte> into) {
    while (left() > 0) {
        auto ready = co_await prepare();
        if (!ready) {
            co_return ready.error();
        }
        auto n = co_await receive(into);
        if (n && *n > 0) {
            co_return n;
        }
        if (!n) {
            auto again = co_await recover(n.error());
            if (!again) {
                co_return again.error();
            }
        }
    }
    co_return std::size_t(0);
}

task<result<std::span<const std::byte>>> range_stream::next() {
    if (slice_.empty() && left() > 0) {
        slice_ = buffer(slice_size);
    }
    auto n = co_await take(slice_.span());
    if (!n) {
        co_return n.error();
    }
    co_return std::span<const std::byte>(slice_.data(), *n);
}

task<result<void>> range_stream::fill(std::span<std::byte> into) {
    if (into.size() > left()) {
        co_return fault(errc::invalid_argument, "more asked for than the range has left");
    }
    while (!into.empty()) {
        auto n = co_await take(into);
        if (!n) {
            co_return n.error();
        }
        into = into.subspan(*n);
    }
    co_return result<void>();
}

task<result<void>> range_stream::skip(std::uint64_t bytes) {
    if (bytes > left()) {
        co_return fault(errc::invalid_argument, "more to skip than the range has left");
    }
    if (slice_.empty() && source_) {
        slice_ = buffer(slice_size);
    }
    while (bytes > 0 && source_) {
        const auto most = std::min<std::uint64_t>(bytes, slice_.size());
        auto n = co_await receive(slice_.span().first(most));
        if (!n) {
            source_.reset(); // the next request begins behind what is skipped
            break;
        }
        bytes -= *n;
    }
    position_ += bytes;
    co_return result<void>();
}

} // namespace firstlight
