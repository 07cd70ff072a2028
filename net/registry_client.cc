#include "net/registry_client.h"

#include "actors/mailbox.h"
#include "net/blob_finder.h"
#include "net/range_stream.h"

#include <algorithm>

namespace firstlight {

namespace {

// Calls at once; the connections bound what is really under way.
constexpr mailbox::limits depth{1024, 256, 64};

} // namespace

class registry_client::impl {
public:
    impl(shard& home, registry_hub& hub)
      : box_(depth)
      , finder_(home, hub) {}

    task<result<blob_tail>>
    tail(blob_address blob, std::uint64_t bytes, request_lane l, deadline d);
    task<result<std::unique_ptr<range_stream>>>
    open(blob_address blob, byte_range range, request_lane l, deadline d);
    task<result<buffer>> read(blob_address blob, byte_range range, request_lane l, deadline d);
    task<void> warm(blob_address blob, unsigned connections, deadline d);
    void reload() { finder_.reload(); }
    task<void> stop();

private:
    task<result<mailbox::slot>> admit(lane l, deadline d);
    task<result<located>>
    find_tail(blob_address blob, std::uint64_t bytes, request_lane l, deadline d);

    mailbox box_;
    blob_finder finder_;
};

task<result<mailbox::slot>> registry_client::impl::admit(lane l, deadline d) {
    const auto patience = std::min<deadline::clock::duration>(d.left(), std::chrono::hours(1));
    return box_.admit(l, std::chrono::duration_cast<std::chrono::milliseconds>(patience));
}

task<result<located>> registry_client::impl::find_tail(
  blob_address blob, std::uint64_t bytes, request_lane l, deadline d) {
    auto tries = finder_.retries();
    if (bytes > 0 && !finder_.lacks_suffix(blob.registry())) {
        const wish w(blob, range_query::suffix(bytes, finder_.config().max_skip), l, d);
        auto found = co_await finder_.find(w, tries);
        if (found || found.error().code() != errc::unsupported) {
            co_return found;
        }
        finder_.mark_no_suffix(blob.registry());
    }
    const wish w(std::move(blob), range_query::size(), l, d);
    auto found = co_await finder_.find(w, tries);
    if (found) {
        found->plan.length = 0; // of no use beyond the size
    }
    co_return found;
}

task<result<blob_tail>>
registry_client::impl::tail(blob_address blob, std::uint64_t bytes, request_lane l, deadline d) {
    auto slot = co_await admit(l.get(), d);
    if (!slot) {
        co_return slot.error();
    }
    auto found = co_await find_tail(blob, bytes, l, d);
    if (!found) {
        co_return found.error();
    }
    const auto size = found->plan.blob_size.value_or(0); // every tail query's plan has it
    const bool has_body = found->plan.length > 0;
    auto begin = size - std::min(bytes, size);
    if (has_body) {
        begin = found->plan.offset;
    }
    range_stream rest(finder_, std::move(*slot), blob, byte_range(begin, size), l, d);
    if (has_body) {
        rest.adopt(std::move(*found));
    } else {
        // It only told the size, of which a body of a byte at most may be left.
        const patience p(found->silence, d);
        co_await discard(std::move(found->from), p);
    }
    buffer data(size - begin);
    auto filled = co_await rest.fill(data.span());
    if (!filled) {
        co_return filled.error();
    }
    co_return blob_tail(size, begin, std::move(data));
}

task<result<std::unique_ptr<range_stream>>>
registry_client::impl::open(blob_address blob, byte_range range, request_lane l, deadline d) {
    auto slot = co_await admit(l.get(), d);
    if (!slot) {
        co_return slot.error();
    }
    auto stream = std::make_unique<range_stream>(
      finder_, std::move(*slot), std::move(blob), range, std::move(l), d);
    auto ready = co_await stream->prepare();
    if (!ready) {
        co_return ready.error();
    }
    co_return std::move(stream);
}

task<result<buffer>>
registry_client::impl::read(blob_address blob, byte_range range, request_lane l, deadline d) {
    auto stream = co_await open(std::move(blob), range, std::move(l), d);
    if (!stream) {
        co_return stream.error();
    }
    buffer data((*stream)->left());
    auto filled = co_await (*stream)->fill(data.span());
    if (!filled) {
        co_return filled.error();
    }
    co_return std::move(data);
}

task<void> registry_client::impl::warm(blob_address blob, unsigned connections, deadline d) {
    auto slot = co_await admit(lane::prefetch, d);
    if (!slot) {
        co_return;
    }
    auto to = co_await finder_.first_stop(std::move(blob), d);
    if (to) {
        co_await finder_.connections().warm(to->first, to->second, connections, d);
    }
}

task<void> registry_client::impl::stop() {
    finder_.abort();
    co_await box_.close();
    co_await finder_.stop();
}

registry_client::registry_client(shard& home, registry_hub& hub)
  : impl_(std::make_unique<impl>(home, hub)) {
}

registry_client::~registry_client() = default;

task<result<blob_tail>>
registry_client::tail(blob_address blob, std::uint64_t bytes, request_lane l, deadline d) {
    return impl_->tail(std::move(blob), bytes, std::move(l), d);
}

task<result<std::unique_ptr<blob_stream>>>
registry_client::open(blob_address blob, byte_range range, request_lane l, deadline d) {
    auto stream = co_await impl_->open(std::move(blob), range, std::move(l), d);
    if (!stream) {
        co_return stream.error();
    }
    co_return std::unique_ptr<blob_stream>(std::move(*stream));
}

task<result<buffer>>
registry_client::read(blob_address blob, byte_range range, request_lane l, deadline d) {
    return impl_->read(std::move(blob), range, std::move(l), d);
}

task<void> registry_client::warm(blob_address blob, unsigned connections, deadline d) {
    return impl_->warm(std::move(blob), connections, d);
}

void registry_client::reload() {
    impl_->reload();
}

task<void> registry_client::stop() {
    return impl_->stop();
}

} // namespace firstlight
