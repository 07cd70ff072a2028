#include "fs/layer_filler.h"

#include "actors/log.h"

#include <algorithm>
#include <array>

namespace firstlight {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds first_pause{500};
constexpr milliseconds longest_pause{60'000};
// What is near is fetched, and remembered, in blocks of this many bytes.
constexpr std::uint64_t block = 256 << 10;
// Beyond this many the oldest are left to their turn.
constexpr std::size_t most_vicinities = 128;
constexpr std::size_t reads_remembered = 16;

} // namespace

struct layer_filler::job {
    layer_ptr of;
    lane in = lane::prefetch;
    std::uint64_t end = 0; // blob offset
    bool whole = false;    // goes on in the background lane
    std::size_t next = 0;  // in the index's by_offset()
    unsigned under_way = 0;
    milliseconds pause = first_pause; // before the next try after a failure
    bool pausing = false;
    bool failed = false; // at least once
    bool forgotten = false;
    // By block of the blob.
    per_lane<std::vector<bool>> attended;
    std::array<std::uint64_t, reads_remembered> reads{}; // blob offsets + 1
    std::size_t next_read = 0;

    // Whether one of the latest reads was within `distance` bytes of this one.
    bool reads_around(std::uint64_t offset, std::uint64_t distance) {
        const auto close = [&](std::uint64_t r) {
            return r != 0 && r - 1 + distance > offset && r - 1 < offset + distance;
        };
        const bool again = std::ranges::any_of(reads, close);
        reads[next_read++ % reads.size()] = offset + 1;
        return again;
    }
    bool exhausted() const {
        const auto order = of->toc().by_offset();
        return next >= order.size() || of->toc().all_chunks()[order[next]].blob_offset >= end;
    }
    // The chunks of the next `bytes` compressed bytes, at least one.
    std::vector<std::uint32_t> take(std::uint64_t bytes) {
        const auto order = of->toc().by_offset();
        const auto all = of->toc().all_chunks();
        std::vector<std::uint32_t> chunks;
        const auto begin = all[order[next]].blob_offset;
        while (!exhausted() &&
               (chunks.empty() || all[order[next]].compressed_end - begin <= bytes)) {
            chunks.push_back(order[next++]);
        }
        return chunks;
    }
};

/// A block near to what was read.
struct layer_filler::vicinity {
    job_ptr of;
    std::uint64_t begin = 0; // blob offsets
    std::uint64_t end = 0;

    // The chunks that begin there.
    std::vector<std::uint32_t> chunks() const {
        const auto& toc = of->of->toc();
        const auto order = toc.by_offset();
        std::vector<std::uint32_t> those;
        for (auto i = toc.lower_bound(begin);
             i < order.size() && toc.all_chunks()[order[i]].blob_offset < end; ++i) {
            those.push_back(order[i]);
        }
        return those;
    }
};

layer_filler::layer_filler(
  runtime& shards, std::vector<std::unique_ptr<chunk_fetcher>>& fetchers, fs_metrics& counted,
  options o)
  : shards_(shards)
  , fetchers_(fetchers)
  , counted_(counted)
  , options_(o)
  , tasks_(shards.at(0)) {
}

layer_filler::~layer_filler() = default;

layer_filler::job_ptr layer_filler::job_of(std::uint32_t number) const noexcept {
    const auto found =
      std::ranges::find_if(jobs_, [number](const job_ptr& j) { return j->of->number() == number; });
    return found == jobs_.end() ? nullptr : *found;
}

void layer_filler::fill(layer_ptr l, std::uint64_t prefetch_end, bool whole) {
    if (const auto known = job_of(l->number())) {
        known->whole = known->whole || whole;
        return;
    }
    auto j = std::make_shared<job>();
    j->of = std::move(l);
    j->end = prefetch_end;
    j->whole = whole;
    jobs_.push_back(j);
    enter(std::move(j));
}

void layer_filler::attend(std::uint32_t number, std::uint64_t blob_offset) {
    const auto j = job_of(number);
    if (!j || !j->whole) {
        return;
    }
    const auto size = j->of->toc().payload_size();
    const auto at = std::min(blob_offset, size);
    const auto here = at / block;
    const auto first = here - std::min(here, options_.near_before / block);
    const auto last = std::min(at + options_.near_behind, size) / block;
    const bool again = j->reads_around(at, options_.near_behind);
    // The farthest to the front first, so that the nearest ends up there.
    for (auto b = first; b < here; ++b) {
        attend_block(j, b, lane::background);
    }
    for (auto b = last + 1; b-- > here;) {
        const bool expected = again && b <= (at + options_.expected_behind) / block;
        attend_block(j, b, expected ? lane::prefetch : lane::background);
    }
}

void layer_filler::attend_block(const job_ptr& j, std::uint64_t number, lane l) {
    auto& attended = j->attended[index_of(l)];
    attended.resize(j->of->toc().payload_size() / block + 1);
    if (attended[number]) {
        return;
    }
    attended[number] = true;
    auto& near = near_[index_of(l)];
    near.push_front({j, number * block, (number + 1) * block});
    near.resize(std::min(near.size(), most_vicinities));
    serve(l);
}

void layer_filler::forget(std::uint32_t number) {
    for (const auto& j : jobs_) {
        j->forgotten = j->forgotten || j->of->number() == number;
    }
    for (auto& near : near_) {
        std::erase_if(near, [](const vicinity& v) { return v.of->forgotten; });
    }
    std::erase_if(jobs_, [](const job_ptr& j) { return j->forgotten; });
    prefetch_over_.notify_all();
}

bool layer_filler::prefetching(std::uint32_t number) const noexcept {
    const auto j = job_of(number);
    return j && j->in == lane::prefetch && !j->failed;
}

task<bool> layer_filler::prefetched(std::uint32_t number, deadline until, std::stop_token stop) {
    while (prefetching(number)) {
        const auto left = until.left();
        if (left == left.zero() || stop.stop_requested()) {
            co_return false;
        }
        co_await prefetch_over_.wait_for(left, stop);
    }
    co_return true;
}

task<void> layer_filler::stop() {
    co_await tasks_.stop();
}

void layer_filler::enter(job_ptr j) {
    if (j->exhausted()) {
        end(j);
        return;
    }
    const auto l = j->in;
    waiting_[index_of(l)].push_back(std::move(j));
    serve(l);
}

unsigned layer_filler::most_at_once(lane l) const noexcept {
    const auto usual =
      l == lane::prefetch ? options_.prefetch_at_once : options_.background_at_once;
    return usual + (near_[index_of(l)].empty() ? 0 : options_.near_at_once);
}

// Workers come and go with the work.
void layer_filler::serve(lane l) {
    auto& working = working_[index_of(l)];
    if (working >= most_at_once(l)) {
        return;
    }
    ++working;
    tasks_.spawn(
      "fetch layers ahead", l, [this, l](std::stop_token stop) { return work(l, stop); });
}

task<void> layer_filler::work(lane l, std::stop_token stop) {
    while (!stop.stop_requested() && working_[index_of(l)] <= most_at_once(l)) {
        if (!near_[index_of(l)].empty()) {
            co_await fetch_near(l);
            continue;
        }
        auto j = next(l);
        if (!j) {
            break;
        }
        co_await fetch_stretch(std::move(j), stop);
    }
    --working_[index_of(l)];
}

// What fails is fetched in its turn.
task<void> layer_filler::fetch_near(lane l) {
    auto& near = near_[index_of(l)];
    const auto v = std::move(near.front());
    near.pop_front();
    auto chunks = v.chunks();
    (void)co_await fetch(v.of, std::move(chunks), l);
}

layer_filler::job_ptr layer_filler::next(lane l) {
    auto& queue = waiting_[index_of(l)];
    while (!queue.empty()) {
        auto j = std::move(queue.front());
        queue.pop_front();
        if (!j->forgotten) {
            return j;
        }
    }
    return nullptr;
}

// Back in the queue before its stretch is fetched: another worker may take the next.
task<void> layer_filler::fetch_stretch(job_ptr j, std::stop_token stop) {
    const auto l = j->in;
    const auto from = j->next;
    auto chunks =
      j->take(l == lane::prefetch ? options_.prefetch_stretch : options_.background_stretch);
    ++j->under_way;
    if (!j->exhausted()) {
        waiting_[index_of(l)].push_back(j);
        serve(l);
    }
    const bool all_there = co_await fetch(j, std::move(chunks), l);
    --j->under_way;
    if (stop.stop_requested() || j->forgotten) {
        co_return;
    }
    if (!all_there) {
        retry_later(j, from);
        co_return;
    }
    j->pause = first_pause;
    if (j->under_way == 0 && j->exhausted() && !j->pausing) {
        end(j);
    }
}

task<bool> layer_filler::fetch(const job_ptr& j, std::vector<std::uint32_t> chunks, lane l) {
    auto& fetcher = *fetchers_[next_fetcher_++ % fetchers_.size()];
    co_return co_await fetcher.prefetch_from_elsewhere(j->of, std::move(chunks), l);
}

// From the failed stretch on; what came meanwhile costs a look into the cache.
void layer_filler::retry_later(job_ptr j, std::size_t from) {
    j->next = std::min(j->next, from);
    std::erase(waiting_[index_of(j->in)], j);
    j->failed = true;
    prefetch_over_.notify_all();
    if (j->pausing) {
        return;
    }
    j->pausing = true;
    tasks_.spawn(
      "wait to fetch a layer again", j->in, [this, j](std::stop_token stop) -> task<void> {
          (void)co_await sleep_for(j->pause, stop);
          j->pausing = false;
          j->pause = std::min(2 * j->pause, longest_pause);
          if (!stop.stop_requested() && !j->forgotten) {
              enter(j);
          }
      });
}

void layer_filler::end(const job_ptr& j) {
    if (j->in == lane::prefetch && j->whole) {
        j->in = lane::background;
        j->end = j->of->toc().payload_size();
        prefetch_over_.notify_all();
        enter(j);
        return;
    }
    std::erase(jobs_, j);
    prefetch_over_.notify_all();
    if (j->whole) {
        counted_.layers_complete.add();
        log::info(
          "layer is complete: the registry is not needed for it any more",
          {{"layer", j->of->blob().to_string()}, {"number", j->of->number()}});
    }
}

} // namespace firstlight
