#pragma once

#include "actors/buffer.h"
#include "actors/deadline.h"
#include "actors/result.h"
#include "actors/shard.h"
#include "net/blob_address.h"
#include "net/request_lane.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

namespace firstlight {

class registry_hub;

/// The end of a blob, and with it the blob's size.
class blob_tail {
public:
    blob_tail() = default; // co_spawn makes one that it never uses
    blob_tail(std::uint64_t blob_size, std::uint64_t offset, buffer data)
      : blob_size_(blob_size)
      , offset_(offset)
      , data_(std::move(data)) {}

    /// Of the whole blob, in bytes.
    std::uint64_t blob_size() const noexcept { return blob_size_; }
    /// Where in the blob data() begins; data() reaches the blob's end.
    std::uint64_t offset() const noexcept { return offset_; }
    std::span<const std::byte> data() const noexcept { return data_.span(); }
    buffer take() && noexcept { return std::move(data_); }

private:
    std::uint64_t blob_size_ = 0;
    std::uint64_t offset_ = 0;
    buffer data_;
};

/// A range of a blob as it arrives. Nothing is read from the network until
/// asked for, so a caller that pauses makes the sender pause.
///
/// Belongs to the shard of its client, one call at a time; destroyed there, and
/// before client.stop() can return. A connection dropped on the way is replaced,
/// and the range resumed at the last good byte, within the deadline given to
/// open(). After a fault the stream is of no more use.
class blob_stream {
public:
    virtual ~blob_stream() = default;

    /// The next bytes of the range, as they arrived (at most 64 KiB), or none
    /// at its end. Valid until the next call or the stream's end.
    virtual task<result<std::span<const std::byte>>> next() = 0;
    /// The next into.size() bytes, straight into `into`, which outlives the call.
    /// invalid_argument if the range has fewer left.
    virtual task<result<void>> fill(std::span<std::byte> into) = 0;

    /// Passes over the next `bytes` bytes, of which nobody has a use any more. What has
    /// not been asked for yet is not asked for; the rest is read and dropped. Faults as
    /// fill().
    virtual task<result<void>> skip(std::uint64_t bytes) = 0;

    /// Bytes not handed out yet.
    virtual std::uint64_t left() const noexcept = 0;
    /// Of these, the ones that the server has been asked for.
    virtual std::uint64_t under_way() const noexcept = 0;
};

/// Reads blobs from registries: (registry, blob, range) → bytes.
///
/// One per shard; all methods on that shard. Connections are the shard's own;
/// tokens and redirects are shared through the hub. No probe precedes a request:
/// the first GET finds out about authentication and redirects, so that a tail
/// from an anonymous registry costs the connection and one round trip.
///
/// Errors, all with registry, repository, digest, range, and the host that was
/// asked last: unavailable (after the retries), unauthorized, not_found,
/// timed_out (the deadline; it bounds everything, retries and waits for a
/// connection included), corrupt (the answer contradicts itself or the request),
/// unsupported (Range ignored, and the range too far into the blob), overloaded,
/// stopping, invalid_argument, failed_precondition (a certificate that does not
/// hold).
class registry_client {
public:
    registry_client(shard& home, registry_hub& hub);
    ~registry_client();
    registry_client(const registry_client&) = delete;
    registry_client& operator=(const registry_client&) = delete;

    /// The last `bytes` bytes of the blob (all of a smaller one) and its size, by
    /// one suffix range. Where a server does not do those, by a request for the
    /// size and one for the range.
    task<result<blob_tail>>
    tail(blob_address blob, std::uint64_t bytes, request_lane l, deadline d);

    /// Starts reading `range`; returns once the response header has been checked.
    task<result<std::unique_ptr<blob_stream>>>
    open(blob_address blob, byte_range range, request_lane l, deadline d);

    /// The whole range. Body bytes go from the socket into the result.
    task<result<buffer>> read(blob_address blob, byte_range range, request_lane l, deadline d);

    /// Opens connections ahead, up to `connections` in use or idle, to where the
    /// blob's next request will go (after redirects, once they are known), so that
    /// the first demand read costs one round trip. Best effort; failures are left
    /// for the request to meet.
    task<void> warm(blob_address blob, unsigned connections, deadline d);

    /// Where registries are reached may have changed: it is looked up anew before the next
    /// request. What is under way goes on.
    void reload();

    /// Fails what is under way with errc::stopping and waits for it, streams
    /// included. Call once, before the hub's.
    task<void> stop();

private:
    class impl;
    std::unique_ptr<impl> impl_;
};

} // namespace firstlight
