// The chunk cache: what a hit costs the reading shard, what a lookup costs, and how
// long a store takes to open.
//
//     build/release/bench/cache_bench [--benchmark_filter=…]
//
// The scratch directory is made below $TMPDIR; on tmpfs the reads cannot tell whether
// they would block, so use a real file system.

#include "cache/chunk_cache.h"

#include "actors/log.h"

#include <benchmark/benchmark.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_future.hpp>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <thread>

using namespace firstlight;

namespace {

buffer content_of(std::uint64_t n, std::size_t size) {
    buffer b(size);
    std::memset(b.data(), static_cast<int>(n), size);
    std::memcpy(b.data(), &n, sizeof n);
    return b;
}

chunk_key key_of(std::uint64_t n, std::size_t size) {
    return chunk_key(digest::of(content_of(n, size).span()), size);
}

class scratch {
public:
    scratch() {
        auto name = (std::filesystem::temp_directory_path() / "firstlight-bench-XXXXXX").string();
        if (::mkdtemp(name.data()) != nullptr) {
            path_ = name;
        }
    }
    ~scratch() { std::filesystem::remove_all(path_); }
    const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

runtime::options two_shards() {
    runtime::options o;
    o.shards = 2;
    return o;
}

class running {
public:
    explicit running(const std::filesystem::path& dir)
      : numbers(2)
      , cache(rt, numbers, options(dir)) {
        rt.start();
        const auto began = std::chrono::steady_clock::now();
        run(cache.start()).value();
        opened_in = std::chrono::steady_clock::now() - began;
    }
    ~running() { asio::co_spawn(rt.at(0).on(lane::demand), cache.stop(), asio::use_future).get(); }

    template <class T>
    T run(task<T> t) {
        return asio::co_spawn(rt.at(0).on(lane::demand), std::move(t), asio::use_future).get();
    }
    void settle() {
        while (cache.usage().flights + cache.usage().memory_bytes > 0) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    }

    runtime rt{two_shards()};
    metrics numbers;
    chunk_cache cache;
    std::chrono::duration<double> opened_in{};

private:
    static chunk_cache_options options(const std::filesystem::path& dir) {
        chunk_cache_options o;
        o.directory = dir;
        return o;
    }
};

task<bool> fill(chunk_cache& cache, std::uint64_t from, std::uint64_t to, std::size_t size) {
    std::vector<chunk_key> keys;
    for (auto n = from; n < to; ++n) {
        keys.push_back(key_of(n, size));
    }
    auto answers = co_await cache.lookup(std::move(keys), lane::demand);
    for (auto n = from; n < to; ++n) {
        auto& a = answers.value()[n - from];
        if (a.what() == lookup_answer::kind::mine) {
            cache.fulfil(a.take_ticket(), content_of(n, size)).value();
        }
    }
    co_return true;
}

task<bool> learn(chunk_cache& cache, std::vector<chunk_key> keys) {
    co_return (co_await cache.lookup(std::move(keys), lane::demand)).has_value();
}

task<bool>
read_hits(chunk_cache& cache, const std::vector<chunk_key>& keys, benchmark::State& state) {
    std::array<std::byte, 4096> out;
    std::uint64_t blocked = 0;
    std::size_t i = 0;
    for (auto _ : state) {
        const auto held = cache.find_here(keys[i++ % keys.size()]);
        blocked += held && held->read_now(4096, out) ? 0 : 1;
        benchmark::DoNotOptimize(out);
    }
    state.counters["blocked"] = static_cast<double>(blocked);
    co_return true;
}

void hit_4k(benchmark::State& state) {
    const scratch dir;
    running c(dir.path());
    c.run(fill(c.cache, 0, 1000, 64 << 10));
    c.settle();
    std::vector<chunk_key> keys;
    for (std::uint64_t n = 0; n < 1000; ++n) {
        keys.push_back(key_of(n, 64 << 10));
    }
    c.run(learn(c.cache, keys));
    c.run(read_hits(c.cache, keys, state));
}
BENCHMARK(hit_4k);

task<bool> look_up(chunk_cache& cache, const chunk_key& key, benchmark::State& state) {
    for (auto _ : state) {
        std::vector<chunk_key> keys{key};
        auto answers = co_await cache.lookup(std::move(keys), lane::demand);
        benchmark::DoNotOptimize(answers);
    }
    co_return true;
}

// 0: the key's owner is the asking shard; 1: it is the other one, so there are two hops.
void lookup_one(benchmark::State& state) {
    const scratch dir;
    running c(dir.path());
    std::uint64_t n = 0;
    while (c.cache.owner_of(key_of(n, 64 << 10).id()).id() != state.range(0)) {
        ++n;
    }
    c.run(fill(c.cache, n, n + 1, 64 << 10));
    c.settle();
    c.run(look_up(c.cache, key_of(n, 64 << 10), state));
}
BENCHMARK(lookup_one)->Arg(0)->Arg(1)->UseRealTime();

// Small chunks: the time to open depends on their number.
void open_store(benchmark::State& state) {
    const scratch dir;
    {
        running c(dir.path());
        for (std::int64_t n = 0; n < state.range(0); n += 1000) {
            c.run(fill(
              c.cache, static_cast<std::uint64_t>(n), static_cast<std::uint64_t>(n) + 1000, 200));
        }
    }
    for (auto _ : state) {
        const running c(dir.path());
        state.SetIterationTime(c.opened_in.count());
    }
}
BENCHMARK(open_store)
  ->Arg(400'000)
  ->Iterations(3)
  ->MeasureProcessCPUTime()
  ->UseManualTime()
  ->Unit(benchmark::kMillisecond);

} // namespace

int main(int argc, char** argv) {
    firstlight::log::start(firstlight::log::level::warn);
    benchmark::Initialize(&argc, argv);
    benchmark::RunSpecifiedBenchmarks();
    firstlight::log::stop();
}
