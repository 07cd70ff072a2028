#include "fs/layer_filler.h"

#include "actors/call.h"
#include "actors/log.h"

#include <algorithm>

namespace firstlight {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds first_pause{500};
constexpr milliseconds longest_pause{60'000};

task<result<bool>>
prefetch_on(chunk_fetcher& fetcher, layer_ptr l, std::vector<std::uint32_t> chunks, lane la) {
    co_return co_await fetcher.prefetch(std::move(l), std::move(chunks), la);
}

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

void layer_filler::fill(layer_ptr l, std::uint64_t prefetch_end, bool whole) {
    const auto same = [&l](const job_ptr& j) { return j->of->number() == l->number(); };
    if (std::ranges::any_of(jobs_, same)) {
        return;
    }
    auto j = std::make_shared<job>();
    j->of = std::move(l);
    j->end = prefetch_end;
    j->whole = whole;
    jobs_.push_back(j);
    enter(std::move(j));
}

void layer_filler::forget(std::uint32_t number) {
    for (const auto& j : jobs_) {
        j->forgotten = j->forgotten || j->of->number() == number;
    }
    std::erase_if(jobs_, [](const job_ptr& j) { return j->forgotten; });
    prefetch_over_.notify_all();
}

bool layer_filler::prefetching(std::uint32_t number) const noexcept {
    return std::ranges::any_of(jobs_, [number](const job_ptr& j) {
        return j->of->number() == number && j->in == lane::prefetch && !j->failed;
    });
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

// Workers come and go with the work.
void layer_filler::serve(lane l) {
    const auto most = l == lane::prefetch ? options_.prefetch_at_once : options_.background_at_once;
    auto& working = working_[index_of(l)];
    if (working >= most) {
        return;
    }
    ++working;
    tasks_.spawn(
      "fetch layers ahead", l, [this, l](std::stop_token stop) { return work(l, stop); });
}

task<void> layer_filler::work(lane l, std::stop_token stop) {
    while (!stop.stop_requested()) {
        auto j = next(l);
        if (!j) {
            break;
        }
        co_await fetch_stretch(std::move(j), stop);
    }
    --working_[index_of(l)];
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
    auto& fetcher = *fetchers_[next_fetcher_++ % fetchers_.size()];
    auto fetch = [&fetcher, of = j->of, chunks = std::move(chunks), l] {
        return prefetch_on(fetcher, of, chunks, l);
    };
    const auto done = co_await call_on(fetcher.home(), l, std::move(fetch));
    --j->under_way;
    if (stop.stop_requested() || j->forgotten) {
        co_return;
    }
    const bool all_there = done && *done;
    if (!all_there) {
        retry_later(j, from);
    } else if (j->under_way == 0 && j->exhausted() && !j->pausing) {
        end(j);
    }
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
