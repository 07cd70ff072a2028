#include "fs/fetch_run.h"

#include <algorithm>

namespace firstlight {

namespace {

// Bytes that come about as soon as the answer to a new request would.
constexpr std::uint64_t soon = 512 << 10;
// The least that a request asks for which has been sent but not been answered.
constexpr std::uint64_t surely_asked = 64 << 10;

} // namespace

lane urgency_of(const std::vector<fetch_piece_ptr>& pieces) noexcept {
    auto most = lane::background;
    for (const auto& p : pieces) {
        most = p->ticket ? std::min(most, p->ticket.urgency()) : most;
    }
    return most;
}

fetch_run::fetch_run(std::vector<fetch_piece_ptr> pieces, lane l)
  : base_(l)
  , pieces_(std::move(pieces))
  , priority_(l, [this] { return urgency(); }) {
}

byte_range fetch_run::range() const {
    return {pieces_[next_]->record.blob_offset, pieces_.back()->record.compressed_end};
}

std::vector<fetch_piece_ptr> fetch_run::take_stream() {
    const auto first = pieces_.begin() + static_cast<std::ptrdiff_t>(next_);
    const auto offset = (*first)->record.blob_offset;
    const auto end = std::find_if(
      first, pieces_.end(), [offset](const auto& p) { return p->record.blob_offset != offset; });
    next_ += static_cast<std::size_t>(end - first);
    return {first, end};
}

std::vector<fetch_piece_ptr> fetch_run::take_rest() {
    const auto first = pieces_.begin() + static_cast<std::ptrdiff_t>(next_);
    std::vector<fetch_piece_ptr> rest(first, pieces_.end());
    pieces_.erase(first, pieces_.end());
    return rest;
}

std::uint64_t fetch_run::position() const noexcept {
    if (stream_) {
        return end_of_stream_ - stream_->left();
    }
    return exhausted() ? hurry_until_ : pieces_[next_]->record.blob_offset;
}

// The end of what comes about as soon as if it were asked for apart.
std::uint64_t fetch_run::coming_until() const noexcept {
    if (stream_ && stream_->under_way() > 0) {
        return position() + std::min(stream_->under_way(), soon);
    }
    return position() + (priority_.granted() ? surely_asked : 0);
}

lane fetch_run::urgency() const noexcept {
    return position() < hurry_until_ ? std::min(hurry_, base_) : base_;
}

void fetch_run::hurry(lane l, std::uint64_t until) noexcept {
    hurry_until_ = std::max(hurry_until_, until);
    hurry_ = std::min(hurry_, l);
}

// Of a stream whose first bytes are here, the others may take as long as the run's lane
// has to wait for its turns.
void fetch_run::hurry_what_arrives() {
    const auto here = position();
    for (std::size_t i = 0; i < next_; ++i) {
        const auto& p = *pieces_[i];
        if (p.ticket && p.ticket.urgency() < base_ && p.record.compressed_end > here) {
            hurry(p.ticket.urgency(), p.record.compressed_end);
        }
    }
}

std::vector<fetch_piece_ptr> fetch_run::take_urgent() {
    std::vector<fetch_piece_ptr> urgent;
    std::vector<fetch_piece_ptr> others(
      pieces_.begin(), pieces_.begin() + static_cast<std::ptrdiff_t>(next_));
    const auto before = next_;
    const auto coming = coming_until();
    hurry_what_arrives();
    // Nothing that nobody waits for lies before this.
    auto next_in_turn = std::max(position(), hurry_until_);
    while (!exhausted()) {
        const auto stream = take_stream();
        const auto wanted = urgency_of(stream);
        const auto& last = *stream.back();
        const bool raised = wanted < base_;
        const bool in_turn = last.record.blob_offset <= next_in_turn;
        const bool apart = raised && !in_turn && last.record.compressed_end > coming;
        if (raised && in_turn) {
            next_in_turn = last.record.compressed_end;
        }
        if (raised && !apart) {
            hurry(wanted, last.record.compressed_end);
        }
        auto* to = apart ? &urgent : &others;
        to->insert(to->end(), stream.begin(), stream.end());
    }
    next_ = before;
    pieces_ = std::move(others);
    priority_.look_again();
    return urgent;
}

} // namespace firstlight
