#include "fs/read_recorder.h"

#include "actors/call.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace firstlight {

read_recorder::read_recorder(runtime& shards, options o, sink to)
  : shards_(shards)
  , options_(o)
  , sink_(std::move(to))
  , tasks_(shards.at(0)) {
    for (unsigned id = 0; id < shards.size(); ++id) {
        state_.push_back(std::make_unique<per_shard>(shards.at(id)));
    }
}

read_recorder::~read_recorder() = default;

void read_recorder::note_watched(
  per_shard& local, const layer& l, std::span<const chunk_record> chunks) {
    const auto found = local.watched.find(l.number());
    if (found == local.watched.end()) {
        return;
    }
    auto& w = found->second;
    for (const auto& c : chunks) {
        const bool news =
          w.streams.size() < read_profile::max_reads && !w.streams.contains(c.blob_offset);
        if (news) {
            w.streams.emplace(c.blob_offset, clock::now());
        }
    }
    if (!w.told) {
        w.told = true;
        local.tasks.spawn(
          "tell of a first read", lane::background,
          [this, id = w.group, at = clock::now()](std::stop_token) { return tell(id, at); });
    }
}

task<void> read_recorder::tell(std::uint64_t id, clock::time_point at) {
    auto work = [this, id, at]() -> task<result<void>> {
        begin(id, at);
        co_return result<void>();
    };
    co_await call_on(shards_.at(0), lane::background, std::move(work));
}

void read_recorder::begin(std::uint64_t id, clock::time_point at) {
    const auto g = std::ranges::find(groups_, id, &group::id);
    if (g == groups_.end()) {
        return;
    }
    if (g->began) {
        g->start = std::min(g->start, at);
        return;
    }
    g->began = true;
    g->start = at;
    begun_.notify_all();
    tasks_.spawn("collect first reads", lane::background, [this, id](std::stop_token stop) {
        return end_later(id, stop);
    });
}

task<void> read_recorder::end_later(std::uint64_t id, std::stop_token stop) {
    (void)co_await sleep_for(options_.window, stop);
    const auto g = std::ranges::find(groups_, id, &group::id);
    if (g != groups_.end()) {
        auto ended = std::move(*g);
        groups_.erase(g);
        co_await collect(std::move(ended));
    }
}

task<void> read_recorder::collect(group g) {
    for (const auto& l : g.layers) {
        co_await collect_layer(g, l);
    }
}

task<void> read_recorder::collect_layer(const group& g, layer_ptr l) {
    const auto all = co_await take(l->number());
    recording made;
    for (const auto& n : all) {
        const auto after = std::max(n.at - g.start, clock::duration::zero());
        if (g.began && after <= options_.window) {
            const auto us = std::chrono::duration_cast<std::chrono::microseconds>(after).count();
            made.reads.push_back({n.stream, static_cast<std::uint32_t>(us)});
        }
    }
    if (made.reads.empty()) {
        co_return;
    }
    made.of = std::move(l);
    made.image = g.image;
    sink_(std::move(made));
}

// What every shard has noted of the layer, which is watched no more.
task<std::vector<read_recorder::noted>> read_recorder::take(std::uint32_t number) {
    std::vector<noted> all;
    for (unsigned id = 0; id < shards_.size(); ++id) {
        auto work = [&watched = state_[id]->watched, number]() -> task<result<std::vector<noted>>> {
            std::vector<noted> mine;
            if (const auto w = watched.extract(number)) {
                for (const auto& [stream, at] : w.mapped().streams) {
                    mine.push_back({stream, at});
                }
            }
            co_return mine;
        };
        auto mine = co_await call_on(shards_.at(id), lane::background, std::move(work));
        if (mine) {
            std::ranges::copy(*mine, std::back_inserter(all));
        }
    }
    co_return all;
}

bool read_recorder::in_a_group(std::uint32_t number) const {
    return std::ranges::any_of(groups_, [number](const group& g) {
        return std::ranges::any_of(
          g.layers, [number](const layer_ptr& l) { return l->number() == number; });
    });
}

task<void> read_recorder::watch(layer_ptr l, std::string image) {
    const auto number = l->number();
    if (tasks_.token().stop_requested() || in_a_group(number)) {
        co_return;
    }
    auto g = std::ranges::find(groups_, image, &group::image);
    if (g == groups_.end()) {
        g = groups_.insert(g, group());
        g->id = ++last_group_;
        g->image = std::move(image);
    }
    g->layers.push_back(std::move(l));
    const auto of = g->id;
    for (unsigned id = 0; id < shards_.size(); ++id) {
        auto work = [&watched = state_[id]->watched, number, of]() -> task<result<void>> {
            watched[number].group = of;
            co_return result<void>();
        };
        co_await call_on(shards_.at(id), lane::prefetch, std::move(work));
    }
    if (!in_a_group(number)) { // it went meanwhile
        (void)co_await take(number);
    }
}

task<std::optional<deadline::clock::time_point>>
read_recorder::started(std::string image, deadline until, std::stop_token stop) {
    for (;;) {
        const auto g = std::ranges::find(groups_, image, &group::image);
        if (g == groups_.end()) {
            co_return std::nullopt;
        }
        if (g->began) {
            co_return g->start;
        }
        const auto left = until.left();
        if (left == left.zero() || stop.stop_requested()) {
            co_return std::nullopt;
        }
        co_await begun_.wait_for(left, stop);
    }
}

task<void> read_recorder::finish(std::uint32_t number) {
    for (auto g = groups_.begin(); g != groups_.end(); ++g) {
        const auto has = [number](const layer_ptr& l) { return l->number() == number; };
        const auto found = std::ranges::find_if(g->layers, has);
        if (found == g->layers.end()) {
            continue;
        }
        auto l = *found;
        g->layers.erase(found);
        group of = *g; // it may be gone when the reads are here
        if (g->layers.empty()) {
            groups_.erase(g);
            begun_.notify_all();
        }
        co_await collect_layer(of, std::move(l));
        co_return;
    }
}

task<void> read_recorder::stop() {
    co_await tasks_.stop(); // ends windows early
    auto left = std::exchange(groups_, {});
    for (auto& g : left) {
        co_await collect(std::move(g));
    }
    for (const auto& each : state_) {
        co_await each->tasks.stop_from_elsewhere();
    }
}

} // namespace firstlight
