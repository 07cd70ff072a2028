#pragma once

#include "actors/buffer.h"
#include "actors/mailbox.h"
#include "net/blob_finder.h"
#include "net/registry_client.h"

#include <optional>

namespace firstlight {

/// A blob_stream over as many responses as it takes: each begins where the last
/// one's bytes ended.
class range_stream final : public blob_stream {
public:
    /// `admitted` is kept until the end. `range` may be empty.
    range_stream(
      blob_finder& finder, mailbox::slot admitted, blob_address blob, byte_range range,
      request_lane l, deadline d);
    ~range_stream() override;

    /// Begins with a response that is there already: to this stream's range.
    void adopt(located first);
    /// Sees to it that there is a response to read from, unless the range is empty.
    task<result<void>> prepare();

    task<result<std::span<const std::byte>>> next() override;
    task<result<void>> fill(std::span<std::byte> into) override;
    task<result<void>> skip(std::uint64_t bytes) override;
    std::uint64_t left() const noexcept override { return end_ - position_; }
    std::uint64_t under_way() const noexcept override { return source_ ? source_->plan.length : 0; }

private:
    task<result<void>> pass_gate(std::uint64_t bytes);
    task<result<byte_range>> next_request();
    task<result<std::size_t>> take(std::span<std::byte> into);
    task<result<std::size_t>> receive(std::span<std::byte> into);
    void account(std::size_t n);
    task<result<void>> recover(fault why);
    byte_range rest() const noexcept { return {position_, end_}; }

    blob_finder& finder_;
    mailbox::slot admitted_;
    blob_address blob_;
    request_lane priority_;
    deadline until_;
    backoff tries_;
    std::uint64_t position_;
    std::uint64_t end_;
    std::uint64_t since_failure_ = 0;  // bytes
    std::uint64_t admitted_bytes_ = 0; // that may be read before the gate is asked again
    link_gate::stream_mark mark_;
    std::optional<located> source_; // plan: what is left of its body
    buffer slice_;
};

} // namespace firstlight
