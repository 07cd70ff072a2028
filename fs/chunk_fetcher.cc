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

/// What a lookup found, and the pieces that fell to this shard: at the places of the
/// chunks asked for, null where somebody else has them.
struct chunk_fetcher::claim {
    std::vector<lookup_answer> answers;
    pieces mine;
};

/// A compressed stream that is here, or comes, and what it takes while it is in flight.
struct chunk_fetcher::arrival {
    pieces stream;
    buffer compressed;
    memory_budget::hold memory;
};

chunk_fetcher::chunk_fetcher(
  runtime& shards, shard& home, chunk_cache& cache, registry_client& registry, layer_errors& errors,
  fs_metrics& counted, std::uint64_t memory_bytes)
  : shards_(shards)
  , home_(home)
  , cache_(cache)
  , registry_(registry)
  , errors_(errors)
  , counted_(counted)
  , listener_(std::make_shared<const raise_listener>([this](const chunk_key& key) {
      asio::post(home_.on(lane::demand), [this, key] { raised(key); });
  }))
  , memory_(memory_bytes)
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

// Fetches of what is missing have begun when it returns.
task<result<chunk_fetcher::claim>>
chunk_fetcher::look_up(layer_ptr source, std::vector<chunk_number> asked, lane l) {
    auto found = co_await cache_.lookup(keys_of(*source, asked), l, listener_);
    if (!found) {
        co_return found.error();
    }
    claim got;
    got.answers = std::move(*found);
    got.mine.resize(asked.size());
    pieces missing;
    for (std::size_t i = 0; i < asked.size(); ++i) {
        if (got.answers[i].what() == lookup_answer::kind::mine) {
            const auto& record = source->toc().all_chunks()[asked[i]];
            got.mine[i] =
              std::make_shared<fetch_piece>(asked[i], record, got.answers[i].take_ticket());
            missing.push_back(got.mine[i]);
        }
    }
    begin(source, std::move(missing), l);
    co_return std::move(got);
}

task<result<chunk_handle>> chunk_fetcher::landed(
  layer_ptr source, fetch_piece_ptr mine, deadline patience, std::stop_token stop) {
    while (!mine->outcome) {
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
        co_await mine->settled.wait_for(left, stop);
    }
    co_return *mine->outcome;
}

task<result<std::vector<chunk_handle>>> chunk_fetcher::get_once(
  layer_ptr source, std::vector<chunk_number> wanted, lane l, deadline patience,
  std::stop_token stop) {
    const auto asked = with_stream_mates(*source, wanted);
    auto got = co_await look_up(source, asked, l);
    if (!got) {
        co_return got.error();
    }
    const auto awaited = [](const lookup_answer& a) {
        return a.what() != lookup_answer::kind::hit;
    };
    if (
      l == lane::demand &&
      std::any_of(got->answers.begin(), got->answers.begin() + wanted.size(), awaited)) {
        counted_.reads_missed.add();
    }
    const auto keys = keys_of(*source, wanted);
    std::vector<chunk_handle> handles;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        auto& answer = got->answers[i];
        result<chunk_handle> handle = answer.handle();
        if (answer.what() == lookup_answer::kind::joined) {
            handle = co_await cache_.wait(keys[i], l, patience, stop);
        } else if (answer.what() == lookup_answer::kind::mine) {
            handle = co_await landed(source, got->mine[i], patience, stop);
        }
        if (!handle) {
            co_return handle.error();
        }
        handles.push_back(std::move(*handle));
    }
    co_return handles;
}

task<bool> chunk_fetcher::prefetch(layer_ptr source, std::vector<chunk_number> wanted, lane l) {
    const auto asked = with_stream_mates(*source, wanted);
    auto got = co_await look_up(source, asked, l);
    if (!got) {
        co_return false;
    }
    bool all_there = true;
    for (const auto& p : got->mine) {
        while (p && !p->outcome) {
            co_await p->settled.wait();
        }
        all_there = all_there && (!p || *p->outcome);
    }
    co_return all_there;
}

task<bool>
chunk_fetcher::prefetch_from_elsewhere(layer_ptr source, std::vector<chunk_number> wanted, lane l) {
    auto here = [this, source, wanted = std::move(wanted), l]() -> task<result<bool>> {
        co_return co_await prefetch(source, wanted, l);
    };
    const auto done = co_await call_on(home_, l, std::move(here));
    co_return done && *done;
}

namespace {

// Into runs of what lies side by side.
std::vector<std::vector<fetch_piece_ptr>> side_by_side_in_blob(std::vector<fetch_piece_ptr> all) {
    std::ranges::sort(all, {}, [](const fetch_piece_ptr& p) {
        return std::pair(p->record.blob_offset, p->record.inner_offset);
    });
    std::vector<std::vector<fetch_piece_ptr>> runs;
    for (auto& p : all) {
        const auto* before = runs.empty() ? nullptr : &runs.back();
        const auto offset = p->record.blob_offset;
        const bool same_stream = before && offset == before->back()->record.blob_offset;
        const bool adjacent =
          before && offset <= before->back()->record.compressed_end &&
          p->record.compressed_end - before->front()->record.blob_offset <= longest_run;
        if (!same_stream && !adjacent) {
            runs.emplace_back();
        }
        runs.back().push_back(std::move(p));
    }
    return runs;
}

} // namespace

// Sorts what is missing into runs and starts a fetch for each.
void chunk_fetcher::begin(const layer_ptr& source, pieces missing, lane l) {
    for (auto& each : side_by_side_in_blob(std::move(missing))) {
        const auto r = std::make_shared<fetch_run>(each, l);
        for (const auto& p : each) {
            flying_[p->ticket.key()] = flying(source, r);
        }
        fetch_urgent_apart(source, r); // somebody may have joined already
        if (!r->exhausted()) {
            fills_.spawn(
              "fetch chunks", l, [this, source, r](std::stop_token) { return fill(source, r); });
        }
    }
}

void chunk_fetcher::raised(const chunk_key& key) {
    if (const auto at = flying_.find(key); at != flying_.end()) {
        const auto [source, r] = at->second;
        fetch_urgent_apart(source, r);
        memory_.look_again();
    }
}

void chunk_fetcher::fetch_urgent_apart(const layer_ptr& source, const run_ptr& r) {
    auto urgent = r->take_urgent();
    if (urgent.empty()) {
        return;
    }
    counted_.fetches_split.add();
    const auto l = urgency_of(urgent);
    begin(source, std::move(urgent), l);
}

task<void> chunk_fetcher::fill(layer_ptr source, run_ptr r) {
    auto done = co_await fetch(source, r, deadline::after(fetch_patience));
    while (r->decoding > 0) {
        co_await r->decoded.wait();
    }
    if (done || r->exhausted()) { // what failed may be fetched apart by now
        co_return;
    }
    const auto why = done.error().in("layer " + source->blob().to_string());
    if (why.code() != errc::stopping) {
        log::warn(
          "cannot fetch chunks", {{"layer", source->blob().to_string()},
                                  {"begin", r->range().begin()},
                                  {"end", r->range().end()},
                                  {"error", why.context()}});
        errors_.record(source->number(), why.context());
    }
    for (const auto& p : r->take_rest()) {
        settle(*source, *p, why);
    }
}

// Opens the range anew where a source breaks off, and tries every source.
task<result<void>> chunk_fetcher::fetch(layer_ptr source, run_ptr r, deadline patience) {
    fault last(errc::unavailable, "the layer has no source");
    for (const auto& from : source->sources()) {
        if (r->exhausted()) { // all of it is fetched apart by now
            co_return result<void>();
        }
        const auto range = r->range();
        auto stream = co_await registry_.open(from, range, r->priority(), patience);
        if (!stream) {
            last = stream.error();
            continue;
        }
        r->reads(stream->get(), range.begin());
        auto done = co_await receive(source, r, **stream);
        r->reads(nullptr, 0);
        if (done) {
            co_return done;
        }
        last = done.error();
    }
    co_return last;
}

namespace {

// What a compressed stream takes up until its chunks are handed on.
std::uint64_t memory_for(const std::vector<fetch_piece_ptr>& stream) {
    const auto& first = stream.front()->record;
    auto bytes = first.compressed_end - first.blob_offset;
    for (const auto& p : stream) {
        bytes += p->record.size;
    }
    return bytes;
}

} // namespace

task<result<void>> chunk_fetcher::receive(layer_ptr source, run_ptr r, blob_stream& from) {
    while (!r->exhausted()) {
        const auto gap = r->range().begin() - r->position();
        const auto next = std::make_shared<arrival>();
        next->stream = r->take_stream();
        const auto urgency = [next] { return urgency_of(next->stream); };
        next->memory = co_await memory_.take(memory_for(next->stream), urgency);
        const auto& record = next->stream.front()->record;
        next->compressed = buffer(record.compressed_end - record.blob_offset);
        auto came = co_await from.skip(gap);
        if (came) {
            came = co_await from.fill(next->compressed.span());
        }
        if (!came) {
            r->give_back(next->stream);
            co_return came.error();
        }
        source->fetched().add(next->compressed.size());
        counted_.bytes_fetched.add(next->compressed.size());
        while (r->decoding >= decodes_ahead) {
            co_await r->decoded.wait();
        }
        ++r->decoding;
        fills_.spawn("decode chunks", urgency(), [this, source, r, next](std::stop_token) {
            return decode(source, r, next);
        });
    }
    co_return result<void>();
}

task<void> chunk_fetcher::decode(layer_ptr source, run_ptr r, std::shared_ptr<arrival> came) {
    const auto& stream = came->stream;
    const auto compressed = came->compressed.span();
    std::vector<const chunk_record*> records;
    std::uint64_t size = 0;
    for (const auto& p : stream) {
        records.push_back(&p->record);
        size = std::max(size, p->record.inner_offset + p->record.size);
    }
    std::vector<result<buffer>> contents;
    if (size <= inline_decode) {
        contents = decode_and_verify(compressed, records);
    } else {
        auto work = [compressed, &records]() -> result<std::vector<result<buffer>>> {
            return decode_and_verify(compressed, records);
        };
        auto done = co_await shards_.cpu().run(urgency_of(stream), std::move(work));
        if (done) {
            contents = std::move(*done);
        } else {
            while (contents.size() < records.size()) {
                contents.emplace_back(done.error());
            }
        }
    }
    --r->decoding;
    for (std::size_t i = 0; i < stream.size(); ++i) {
        settle(*source, *stream[i], std::move(contents[i]));
    }
    r->decoded.notify_all();
}

// Hands a piece's content to the cache and to those who wait for it, or the fault.
void chunk_fetcher::settle(const layer& source, fetch_piece& p, result<buffer> content) {
    if (p.ticket) {
        flying_.erase(p.ticket.key());
    }
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
    p.settled.notify_all();
}

} // namespace firstlight
