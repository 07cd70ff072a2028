#include "fs/learned_prefetch.h"

#include "actors/log.h"

#include <algorithm>
#include <utility>

namespace firstlight {

namespace {

// One request may fail for reasons of its own; more of them are the registry's.
constexpr unsigned failures_at_most = 3;

} // namespace

struct learned_prefetch::job {
    layer_ptr of;
    std::vector<replay_stretch> plan;
    std::size_t next = 0; // in plan
    unsigned under_way = 0;
    unsigned failed = 0;
    event changed;

    bool over() const { return next == plan.size() && under_way == 0; }
    void give_up() {
        next = plan.size();
        changed.notify_all();
    }
};

learned_prefetch::learned_prefetch(
  runtime& shards, profile_store profiles, std::vector<std::unique_ptr<chunk_fetcher>>& fetchers,
  fs_metrics& counted, options o)
  : shards_(shards)
  , profiles_(std::move(profiles))
  , fetchers_(fetchers)
  , counted_(counted)
  , options_(o)
  , tasks_(shards.at(0))
  , recorder_(shards, o.recording, [this](read_recorder::recording r) { keep(std::move(r)); }) {
}

learned_prefetch::~learned_prefetch() = default;

task<void> learned_prefetch::begin(layer_ptr l, std::string image) {
    co_await recorder_.watch(l, image);
    if (!options_.replay) {
        co_return;
    }
    auto known = co_await recall(l);
    if (known.plan.empty() || stopping_) {
        co_return;
    }
    auto& last_read = last_reads_[image];
    last_read = std::max(last_read, known.last_read);
    counted_.profiles_replayed.add();
    const auto j = std::make_shared<job>();
    j->of = std::move(l);
    j->plan = std::move(known.plan);
    jobs_.push_back(j);
    serve();
    while (!j->over()) {
        co_await j->changed.wait();
    }
    std::erase(jobs_, j);
}

// Of a layer that nobody has read yet, there is none; a damaged profile is as good as none.
task<learned_prefetch::recalled> learned_prefetch::recall(layer_ptr l) {
    auto work = [this, l]() -> result<recalled> {
        const auto profile = profiles_.get(l->toc().toc_digest());
        if (!profile) {
            return profile.error();
        }
        profiles_.mark_used(profile->toc());
        recalled known;
        known.plan = plan_replay(l->toc(), *profile, options_.plan);
        if (!profile->reads().empty()) {
            known.last_read = std::chrono::microseconds(profile->reads().back().at_us);
        }
        return known;
    };
    auto known = co_await shards_.io().run(lane::prefetch, std::move(work));
    if (known) {
        log::debug(
          "layer is prefetched as its profile says",
          {{"layer", l->blob().to_string()}, {"requests", known->plan.size()}});
        co_return std::move(*known);
    }
    if (known.error().code() != errc::not_found) {
        log::warn(
          "read profile is of no use",
          {{"layer", l->blob().to_string()}, {"error", known.error().context()}});
    }
    co_return recalled();
}

task<void> learned_prefetch::calm(std::string image, std::stop_token stop) {
    if (!last_reads_.contains(image)) {
        co_return;
    }
    const auto until = deadline::after(options_.longest_calm);
    const auto start = co_await recorder_.started(image, until, stop);
    const auto known = last_reads_.find(image);
    if (start && known != last_reads_.end()) {
        const auto over =
          *start + std::min<deadline::clock::duration>(known->second, options_.longest_calm);
        (void)co_await sleep_for(over - deadline::clock::now(), stop);
    }
    last_reads_.erase(image);
}

task<void> learned_prefetch::end(std::uint32_t number) {
    for (const auto& j : jobs_) {
        if (j->of->number() == number) {
            j->give_up();
        }
    }
    co_await recorder_.finish(number);
}

task<void> learned_prefetch::stop() {
    stopping_ = true;
    for (const auto& j : jobs_) {
        j->give_up();
    }
    co_await recorder_.stop();
    co_await tasks_.stop();
}

void learned_prefetch::keep(read_recorder::recording r) {
    tasks_.spawn(
      "keep a read profile", lane::background, [this, r](std::stop_token) { return write(r); });
}

task<void> learned_prefetch::write(read_recorder::recording r) {
    auto work = [this, r]() -> result<void> {
        return profiles_.update(
          r.of->toc().toc_digest(), r.of->blob(),
          [&r](read_profile& profile) { profile.learn(r.reads, r.image); });
    };
    const auto done = co_await shards_.io().run(lane::background, std::move(work));
    if (!done) {
        log::warn(
          "cannot keep what a start has read",
          {{"layer", r.of->blob().to_string()}, {"error", done.error().context()}});
        co_return;
    }
    counted_.profiles_learned.add();
    log::debug(
      "learned what a start reads",
      {{"layer", r.of->blob().to_string()}, {"image", r.image}, {"reads", r.reads.size()}});
}

learned_prefetch::job_ptr learned_prefetch::most_urgent() const {
    job_ptr best;
    for (const auto& j : jobs_) {
        const bool waits = j->next < j->plan.size();
        if (waits && (!best || j->plan[j->next].at_us < best->plan[best->next].at_us)) {
            best = j;
        }
    }
    return best;
}

// Starts as many requests as may be under way; each that ends starts more.
void learned_prefetch::serve() {
    while (!stopping_) {
        const auto j = most_urgent();
        if (!j || under_way_ >= options_.requests_at_once) {
            return;
        }
        auto& s = j->plan[j->next];
        if (under_way_ > 0 && bytes_under_way_ + s.bytes > options_.bytes_at_once) {
            return;
        }
        ++j->next;
        ++j->under_way;
        ++under_way_;
        bytes_under_way_ += s.bytes;
        tasks_.spawn(
          "fetch what a start reads", lane::prefetch,
          [this, j, s = std::move(s)](std::stop_token) { return fetch(j, s); });
    }
}

task<void> learned_prefetch::fetch(job_ptr j, replay_stretch s) {
    counted_.chunks_replayed.add(s.chunks.size());
    auto& fetcher = *fetchers_[next_fetcher_++ % fetchers_.size()];
    const bool all_there =
      co_await fetcher.prefetch_from_elsewhere(j->of, std::move(s.chunks), lane::prefetch);
    --j->under_way;
    --under_way_;
    bytes_under_way_ -= s.bytes;
    if (!all_there && ++j->failed == failures_at_most) {
        j->give_up();
    }
    j->changed.notify_all();
    serve();
}

} // namespace firstlight
