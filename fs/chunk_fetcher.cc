#include "fs/chunk_fetcher.h"

#include "actors/call.h"
#include "actors/log.h"
#include "fs/gunzip.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

namespace firstlight {

namespace {

// A range request is at most about this long, so that a lower lane gives its
// connection back often; a single stream may be longer.
constexpr std::uint64_t longest_run = 8 << 20;
// What decodes within a slice is decoded on the shard itself: a hop to a thread
// and back would cost more than the work.
constexpr std::uint64_t inline_decode = 64 << 10;
// Decodes of one run that may be under way while its next bytes arrive.
constexpr unsigned decodes_ahead = 3;
// How long a fetch may take in all; readers have deadlines of their own.
constexpr auto fetch_patience = std::chrono::minutes(5);
// A flight of another may end for reasons of its own, such as a shorter deadline.
constexpr int lookups_at_most = 3;

} // namespace

struct chunk_fetcher::piece {
    piece(chunk_number n, const chunk_record& r, fill_ticket t) noexcept
      : number(n)
      , record(r)
      , ticket(std::move(t)) {}

    chunk_number number;
    chunk_record record;
    fill_ticket ticket;
    std::optional<result<chunk_handle>> outcome;
};

/// Chunks that lie side by side in the blob, in its order.
struct chunk_fetcher::run {
    std::vector<piece> pieces;
    std::size_t settled = 0;  // pieces with an outcome
    event changed;            // a piece was settled
    std::size_t received = 0; // pieces whose bytes have all arrived
    unsigned decoding = 0;

    std::uint64_t begin() const { return pieces.front().record.blob_offset; }
    std::uint64_t end() const { return pieces.back().record.compressed_end; }
    /// The first piece after `i` in another compressed stream.
    std::size_t stream_end(std::size_t i) const {
        auto next = i + 1;
        while (next < pieces.size() &&
               pieces[next].record.blob_offset == pieces[i].record.blob_offset) {
            ++next;
        }
        return next;
    }
    /// The most urgent lane that anyone waits in for what is still missing.
    lane urgency(lane least) const {
        for (const auto& p : pieces) {
            if (p.ticket) {
                least = std::min(least, p.ticket.urgency());
            }
        }
        return least;
    }
};

chunk_fetcher::chunk_fetcher(
  runtime& shards, shard& home, chunk_cache& cache, registry_client& registry, layer_errors& errors,
  fs_metrics& counted)
  : shards_(shards)
  , home_(home)
  , cache_(cache)
  , registry_(registry)
  , errors_(errors)
  , counted_(counted)
  , fills_(home) {
}

chunk_fetcher::~chunk_fetcher() = default;

namespace {

std::vector<chunk_key>
keys_of(const layer& source, const std::vector<chunk_fetcher::chunk_number>& wanted) {
    std::vector<chunk_key> keys;
    keys.reserve(wanted.size());
    for (const auto n : wanted) {
        const auto& record = source.toc().all_chunks()[n];
        keys.emplace_back(record.chunk, record.size);
    }
    return keys;
}

// Chunks of one stream are inflated together, so they are fetched together.
std::vector<chunk_fetcher::chunk_number>
with_stream_mates(const layer& source, const std::vector<chunk_fetcher::chunk_number>& wanted) {
    const auto order = source.toc().by_offset();
    const auto all = source.toc().all_chunks();
    auto more = wanted;
    std::vector<std::uint64_t> seen;
    for (const auto n : wanted) {
        const auto offset = all[n].blob_offset;
        if (std::ranges::find(seen, offset) != seen.end()) {
            continue;
        }
        seen.push_back(offset);
        for (auto i = source.toc().lower_bound(offset);
             i < order.size() && all[order[i]].blob_offset == offset; ++i) {
            if (order[i] != n && std::ranges::find(more, order[i]) == more.end()) {
                more.push_back(order[i]);
            }
        }
    }
    return more;
}

} // namespace

task<result<std::vector<chunk_handle>>> chunk_fetcher::get(
  layer_ptr source, std::vector<chunk_number> wanted, lane l, deadline patience,
  std::stop_token stop) {
    for (int tried = 1;; ++tried) {
        auto got = co_await get_once(source, wanted, l, patience, stop);
        const bool lost = !got && got.error().code() == errc::unavailable && !patience.expired();
        if (!lost || tried == lookups_at_most) {
            co_return got;
        }
    }
}

task<result<std::vector<chunk_handle>>> chunk_fetcher::get_once(
  layer_ptr source, std::vector<chunk_number> wanted, lane l, deadline patience,
  std::stop_token stop) {
    const auto asked = with_stream_mates(*source, wanted);
    auto keys = keys_of(*source, asked);
    auto found = co_await cache_.lookup(keys, l);
    if (!found) {
        co_return found.error();
    }
    std::vector<piece> missing;
    for (std::size_t i = 0; i < asked.size(); ++i) {
        if ((*found)[i].what() == lookup_answer::kind::mine) {
            missing.emplace_back(
              asked[i], source->toc().all_chunks()[asked[i]], (*found)[i].take_ticket());
        }
    }
    const auto runs = begin(source, std::move(missing), l);
    std::vector<chunk_handle> handles;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        auto& answer = (*found)[i];
        if (answer.what() == lookup_answer::kind::hit) {
            handles.push_back(answer.handle());
            continue;
        }
        if (answer.what() == lookup_answer::kind::joined) {
            auto landed = co_await cache_.wait(keys[i], l, patience, stop);
            if (!landed) {
                co_return landed.error();
            }
            handles.push_back(std::move(*landed));
            continue;
        }
        const auto ours = std::ranges::find_if(runs, [&](const auto& r) {
            return std::ranges::find(r->pieces, wanted[i], &piece::number) != r->pieces.end();
        });
        auto landed = co_await outcome_of(source, **ours, wanted[i], patience, stop);
        if (!landed) {
            co_return landed.error();
        }
        handles.push_back(std::move(*landed));
    }
    co_return handles;
}

// Waits for a piece of a run of this shard, which outlives the call.
task<result<chunk_handle>> chunk_fetcher::outcome_of(
  layer_ptr source, run& r, chunk_number wanted, deadline patience, std::stop_token stop) {
    auto& mine = *std::ranges::find(r.pieces, wanted, &piece::number);
    while (!mine.outcome) {
        const auto left = patience.left();
        if (stop.stop_requested()) {
            co_return fault(
              errc::interrupted,
              "layer " + source->blob().to_string() + ": nobody waits for the chunk any more");
        }
        if (left == left.zero()) {
            co_return fault(
              errc::timed_out, "layer " + source->blob().to_string() +
                                 ": the chunk did not arrive within the read's deadline");
        }
        co_await r.changed.wait_for(left, stop);
    }
    co_return *mine.outcome;
}

task<bool> chunk_fetcher::prefetch(layer_ptr source, std::vector<chunk_number> wanted, lane l) {
    const auto asked = with_stream_mates(*source, wanted);
    auto found = co_await cache_.lookup(keys_of(*source, asked), l);
    if (!found) {
        co_return false;
    }
    std::vector<piece> missing;
    for (std::size_t i = 0; i < asked.size(); ++i) {
        if ((*found)[i].what() == lookup_answer::kind::mine) {
            missing.emplace_back(
              asked[i], source->toc().all_chunks()[asked[i]], (*found)[i].take_ticket());
        }
    }
    bool all_there = true;
    for (const auto& r : begin(source, std::move(missing), l)) {
        while (r->settled < r->pieces.size()) {
            co_await r->changed.wait();
        }
        const auto failed = [](const piece& p) { return !*p.outcome; };
        all_there = all_there && std::ranges::none_of(r->pieces, failed);
    }
    co_return all_there;
}

// Sorts what is missing into runs and starts a fetch for each.
std::vector<std::shared_ptr<chunk_fetcher::run>>
chunk_fetcher::begin(const layer_ptr& source, std::vector<piece> missing, lane l) {
    std::ranges::sort(missing, {}, [](const piece& p) {
        return std::pair(p.record.blob_offset, p.record.inner_offset);
    });
    std::vector<std::shared_ptr<run>> runs;
    for (auto& p : missing) {
        auto* last = runs.empty() ? nullptr : runs.back().get();
        const bool same_stream =
          last && p.record.blob_offset == last->pieces.back().record.blob_offset;
        const bool adjacent = last && p.record.blob_offset <= last->end() &&
                              p.record.compressed_end - last->begin() <= longest_run;
        if (!same_stream && !adjacent) {
            last = runs.emplace_back(std::make_shared<run>()).get();
        }
        last->pieces.push_back(std::move(p));
    }
    for (const auto& r : runs) {
        fills_.spawn(
          "fetch chunks", l, [this, source, r, l](std::stop_token) { return fill(source, r, l); });
    }
    return runs;
}

task<void> chunk_fetcher::fill(layer_ptr source, std::shared_ptr<run> r, lane l) {
    auto done = co_await fetch(source, r, l, deadline::after(fetch_patience));
    while (r->decoding > 0) {
        co_await r->changed.wait();
    }
    if (done) {
        co_return;
    }
    const auto why = done.error().in("layer " + source->blob().to_string());
    if (why.code() != errc::stopping) {
        log::warn(
          "cannot fetch chunks", {{"layer", source->blob().to_string()},
                                  {"begin", r->begin()},
                                  {"end", r->end()},
                                  {"error", why.context()}});
        errors_.record(source->number(), why.context());
    }
    for (std::size_t i = r->received; i < r->pieces.size(); ++i) {
        settle(*source, *r, i, why);
    }
}

// Opens the range anew where a source breaks off, and tries every source.
task<result<void>>
chunk_fetcher::fetch(layer_ptr source, std::shared_ptr<run> r, lane l, deadline patience) {
    fault last(errc::unavailable, "the layer has no source");
    const request_lane priority(l, [r, l] { return r->urgency(l); });
    for (const auto& from : source->sources()) {
        const byte_range range(r->pieces[r->received].record.blob_offset, r->end());
        auto stream = co_await registry_.open(from, range, priority, patience);
        if (!stream) {
            last = stream.error();
            continue;
        }
        auto done = co_await receive(source, r, **stream, l, patience);
        if (done) {
            co_return done;
        }
        last = done.error();
    }
    co_return last;
}

task<result<void>> chunk_fetcher::receive(
  layer_ptr source, std::shared_ptr<run> r, blob_stream& from, lane l, deadline patience) {
    (void)patience; // the stream has it
    while (r->received < r->pieces.size()) {
        const auto first = r->received;
        const auto next = r->stream_end(first);
        const auto& record = r->pieces[first].record;
        buffer compressed(record.compressed_end - record.blob_offset);
        auto filled = co_await from.fill(compressed.span());
        if (!filled) {
            co_return filled.error();
        }
        source->fetched().add(compressed.size());
        counted_.bytes_fetched.add(compressed.size());
        r->received = next;
        while (r->decoding >= decodes_ahead) {
            co_await r->changed.wait();
        }
        ++r->decoding;
        auto compressed_here = std::make_shared<buffer>(std::move(compressed));
        fills_.spawn(
          "decode chunks", r->urgency(l),
          [this, source, r, first, next, compressed_here](std::stop_token) {
              return decode(source, r, first, next, std::move(*compressed_here));
          });
    }
    co_return result<void>();
}

task<void> chunk_fetcher::decode(
  layer_ptr source, std::shared_ptr<run> r, std::size_t from, std::size_t to, buffer compressed) {
    std::vector<const chunk_record*> records;
    std::uint64_t size = 0;
    for (auto i = from; i < to; ++i) {
        records.push_back(&r->pieces[i].record);
        size = std::max(size, records.back()->inner_offset + records.back()->size);
    }
    std::vector<result<buffer>> contents;
    if (size <= inline_decode) {
        contents = decode_and_verify(compressed.span(), records);
    } else {
        auto work = [&compressed, &records]() -> result<std::vector<result<buffer>>> {
            return decode_and_verify(compressed.span(), records);
        };
        auto done = co_await shards_.cpu().run(r->urgency(lane::background), std::move(work));
        if (done) {
            contents = std::move(*done);
        } else {
            for (std::size_t i = 0; i < records.size(); ++i) {
                contents.emplace_back(done.error());
            }
        }
    }
    --r->decoding;
    for (auto i = from; i < to; ++i) {
        settle(*source, *r, i, std::move(contents[i - from]));
    }
}

// Hands a piece's content to the cache and to those who wait for it, or the fault.
void chunk_fetcher::settle(const layer& source, run& r, std::size_t i, result<buffer> content) {
    auto& p = r.pieces[i];
    if (content) {
        counted_.chunks_fetched.add();
        p.outcome = cache_.fulfil(std::move(p.ticket), std::move(*content));
    } else {
        const auto& why = content.error();
        if (why.code() == errc::corrupt && p.ticket) {
            counted_.chunks_corrupt.add();
            log::error(
              "chunk does not match its digest", {{"layer", source.blob().to_string()},
                                                  {"path", source.path_of(p.record.owner)},
                                                  {"offset", p.record.file_offset},
                                                  {"blob_offset", p.record.blob_offset},
                                                  {"error", why.context()}});
            errors_.record(source.number(), why.context());
        }
        if (p.ticket) {
            cache_.abandon(std::move(p.ticket), why);
        }
        p.outcome = why;
    }
    ++r.settled;
    r.changed.notify_all();
}

} // namespace firstlight
