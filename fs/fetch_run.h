#pragma once
// What a chunk_fetcher has under way.

#include "actors/event.h"
#include "cache/chunk.h"
#include "cache/fill_ticket.h"
#include "fs/index.h"
#include "net/registry_client.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace firstlight {

/// A chunk that this shard must fetch, and what became of it.
struct fetch_piece {
    fetch_piece(std::uint32_t n, const chunk_record& r, fill_ticket t) noexcept
      : number(n)
      , record(r)
      , ticket(std::move(t)) {}

    const std::uint32_t number; // in its index's all_chunks()
    const chunk_record record;
    fill_ticket ticket;
    std::optional<result<chunk_handle>> outcome;
    event settled;
};

using fetch_piece_ptr = std::shared_ptr<fetch_piece>;

/// The most urgent lane that anybody waits for one of them in.
lane urgency_of(const std::vector<fetch_piece_ptr>& pieces) noexcept;

/// Chunks of one layer that are fetched in the order of the blob, with one range request
/// if all goes well. Compressed streams that several of them share stay together.
///
/// Pieces that somebody more urgent waits for leave it, to be fetched apart, unless their
/// bytes will have come before a request of their own could bring them. So the run itself
/// keeps its lane, and nothing is fetched at a higher one that nobody waits for.
///
/// Single-shard.
class fetch_run {
public:
    /// `pieces`: in the order of the blob, at least one.
    fetch_run(std::vector<fetch_piece_ptr> pieces, lane l);
    fetch_run(const fetch_run&) = delete;
    fetch_run& operator=(const fetch_run&) = delete;

    /// The lane of its requests: its own, or that of who waits for what comes next.
    request_lane priority() const { return priority_; }

    bool exhausted() const noexcept { return next_ == pieces_.size(); }
    /// What is still to be asked for, in the blob. Not of an exhausted one.
    byte_range range() const;
    /// The pieces of the next compressed stream, whose bytes are read from now on.
    std::vector<fetch_piece_ptr> take_stream();
    /// The bytes of what take_stream() gave last have not come.
    void give_back(const std::vector<fetch_piece_ptr>& stream) noexcept { next_ -= stream.size(); }
    /// Takes out what is left.
    std::vector<fetch_piece_ptr> take_rest();

    /// The response that the run reads from; null: none. `at`: the blob offset of its
    /// next byte.
    void reads(const blob_stream* from, std::uint64_t at) noexcept {
        stream_ = from;
        end_of_stream_ = from ? at + from->left() : 0;
    }

    /// Takes out the pieces that somebody waits for in a higher lane than the run's, unless
    /// their bytes come soon, or are what the run would ask for next. In the order of the
    /// blob, each with all pieces of its compressed stream. For the others the run hurries.
    std::vector<fetch_piece_ptr> take_urgent();

    /// Where in the blob the next byte lies that it reads.
    std::uint64_t position() const noexcept;

    unsigned decoding = 0; // streams
    event decoded;

private:
    std::uint64_t coming_until() const noexcept;
    lane urgency() const noexcept;
    void hurry(lane l, std::uint64_t until) noexcept;
    void hurry_what_arrives();

    const lane base_;
    std::vector<fetch_piece_ptr> pieces_;
    std::size_t next_ = 0; // of pieces_, to be read
    request_lane priority_;
    const blob_stream* stream_ = nullptr;
    std::uint64_t end_of_stream_ = 0; // blob offset
    std::uint64_t hurry_until_ = 0;   // blob offset
    lane hurry_ = lane::background;
};

} // namespace firstlight
