#include "bench/lanes/node.h"

#include "actors/call.h"
#include "bench/lanes/settings.h"
#include "fs/index_compiler.h"
#include "test/rig.h"

#include <algorithm>
#include <random>
#include <thread>

namespace firstlight::lanes {

namespace {

class nobody final : public credential_source {
public:
    task<result<std::optional<credentials>>> find(credential_query) override {
        co_return std::optional<credentials>();
    }
};

template <class T>
task<result<void>> stopping(T& part) {
    co_await part.stop();
    co_return result<void>();
}

} // namespace

cold_chunks::cold_chunks(const std::vector<layer_ptr>& layers, std::uint64_t seed) {
    for (const auto& l : layers) {
        for (std::uint32_t i = 0; i < l->toc().all_chunks().size(); ++i) {
            all_.emplace_back(l, i);
        }
    }
    std::ranges::shuffle(all_, std::mt19937_64(seed));
}

const cold_chunks::chunk* cold_chunks::next() noexcept {
    const auto i = used_.fetch_add(1, std::memory_order_relaxed);
    return i < all_.size() ? &all_[i] : nullptr;
}

template <class T>
T node::run(task<T> t) {
    return test::start(shards_.at(0), std::move(t)).get();
}

node::node(const std::string& cache_directory)
  : shards_(runtime::options{})
  , metrics_(shards_.size())
  , net_(metrics_)
  , fs_(metrics_)
  , nobody_(std::make_unique<nobody>())
  , hub_(shards_.at(0), registry_config{}, *nobody_, net_) {
    chunk_cache_options o;
    o.directory = cache_directory;
    o.max_bytes = 64ULL << 30;
    cache_.emplace(shards_, metrics_, o);
    errors_.emplace(shards_);
    for (unsigned id = 0; id < shards_.size(); ++id) {
        clients_.push_back(std::make_unique<registry_client>(shards_.at(id), hub_));
        fetchers_.push_back(std::make_unique<chunk_fetcher>(
          shards_, shards_.at(id), *cache_, *clients_[id], *errors_, fs_));
    }
    filler_.emplace(shards_, fetchers_, fs_, layer_filler::options{});
    shards_.start();
    if (!run(cache_->start())) {
        give_up("the cache does not start in " + cache_directory);
    }
}

node::~node() {
    for (unsigned id = 0; id < shards_.size(); ++id) {
        auto work = [&c = *clients_[id]] { return stopping(c); };
        run(call_on(shards_.at(id), lane::demand, std::move(work)));
    }
    run(stopping(*filler_));
    for (unsigned id = 0; id < shards_.size(); ++id) {
        auto work = [&f = *fetchers_[id]] { return stopping(f); };
        run(call_on(shards_.at(id), lane::demand, std::move(work)));
    }
    run(stopping(*cache_));
    run(stopping(hub_));
    shards_.stop();
}

layer_ptr
node::mount(const layer_outline& o, const std::string& host, const std::string& repository) {
    toc_input input;
    input.member = as_bytes(o.toc_member);
    input.payload_size = o.payload_size;
    auto compiled = compile_index(input);
    if (!compiled) {
        give_up(compiled.error().context());
    }
    std::vector<blob_address> sources{{host, repository, o.blob}};
    return std::make_shared<const layer>(
      ++mounted_, o.blob, o.size, *index::from_buffer(std::move(compiled->bytes)), sources,
      std::make_shared<counter>(shards_.size()));
}

void node::fill(const std::vector<layer_ptr>& layers) {
    auto begin = [this, layers]() -> task<result<void>> {
        for (const auto& l : layers) {
            filler_->fill(l, 0, true);
        }
        co_return result<void>();
    };
    run(call_on(shards_.at(0), lane::background, std::move(begin)));
}

void node::stop_filling(const std::vector<layer_ptr>& layers) {
    auto end = [this, layers]() -> task<result<void>> {
        for (const auto& l : layers) {
            filler_->forget(l->number());
        }
        co_return result<void>();
    };
    run(call_on(shards_.at(0), lane::demand, std::move(end)));
    std::uint64_t before = 0;
    do {
        before = received("background");
        std::this_thread::sleep_for(std::chrono::milliseconds(500));
    } while (received("background") != before);
}

std::future<readings> node::start_reader(reading_order o) {
    const auto id = readers_++ % shards_.size();
    return test::start(shards_.at(id), read_all(*fetchers_[id], std::move(o)));
}

std::vector<readings> node::read(const reading_order& o, unsigned readers) {
    std::vector<std::future<readings>> all;
    for (unsigned i = 0; i < readers; ++i) {
        all.push_back(start_reader(o));
    }
    std::vector<readings> got;
    for (auto& each : all) {
        got.push_back(each.get());
    }
    return got;
}

task<readings> node::read_all(chunk_fetcher& by, reading_order o) {
    using ms = std::chrono::duration<double, std::milli>;
    readings r;
    for (unsigned i = 0; i < o.most && !o.end.expired(); ++i) {
        const auto* next = o.from->next();
        if (next == nullptr) {
            give_up("the readers have read everything: more --files, or fewer --seconds");
        }
        const auto began = deadline::clock::now();
        std::vector<chunk_fetcher::chunk_number> wanted(1, next->second);
        const auto got = co_await by.get(
          next->first, std::move(wanted), lane::demand, deadline::after(o.patience));
        if (got) {
            r.took.push_back(ms(deadline::clock::now() - began).count());
        } else if (o.may_fail) {
            ++r.failed;
        } else {
            give_up(got.error().context());
        }
        if (o.think.count() > 0) {
            (void)co_await sleep_for(o.think);
        }
    }
    co_return r;
}

} // namespace firstlight::lanes
