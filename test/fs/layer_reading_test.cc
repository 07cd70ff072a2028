// Reading files of a layer: registry, fetcher, cache and reader together, without
// the kernel.

#include "actors/call.h"
#include "fs/layer_filler.h"
#include "fs/layer_reader.h"
#include "fs/learned_prefetch.h"
#include "fs/state_file.h"
#include "net/registry_hub.h"
#include "test/estargz_builder.h"
#include "test/fs/layer_rig.h"
#include "test/imposter/registry_imposter.h"
#include "test/noise.h"
#include "test/result_text.h"
#include "test/rig.h"
#include "test/temporary_directory.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <future>
#include <numeric>
#include <optional>
#include <thread>

using namespace firstlight;
using namespace std::chrono_literals;
using test::estargz_builder;
using test::noise;

namespace {

task<result<void>> stop_client(registry_client& c) {
    co_await c.stop();
    co_return result<void>();
}
task<result<void>> stop_fetcher(chunk_fetcher& f) {
    co_await f.stop();
    co_return result<void>();
}
task<result<void>> stop_cache(chunk_cache& c) {
    co_await c.stop();
    co_return result<void>();
}
task<result<void>> stop_hub(registry_hub& h) {
    co_await h.stop();
    co_return result<void>();
}
task<result<void>> stop_filler(layer_filler& f) {
    co_await f.stop();
    co_return result<void>();
}
task<result<void>> begin_fill(layer_filler& f, layer_ptr l, std::uint64_t ahead, bool whole) {
    f.fill(std::move(l), ahead, whole);
    co_return result<void>();
}
task<result<void>> forget_layer(layer_filler& f, std::uint32_t number) {
    f.forget(number);
    co_return result<void>();
}
task<result<bool>> wait_prefetched(
  layer_filler& f, std::uint32_t number, std::chrono::milliseconds patience,
  std::stop_token stop = {}) {
    co_return co_await f.prefetched(number, deadline::after(patience), std::move(stop));
}
task<result<void>> stop_reader(layer_reader& r) {
    co_await r.stop();
    co_return result<void>();
}

task<result<std::string>> read_text(
  layer_reader& reader, layer_ptr l, entry_id file, std::uint64_t offset, std::size_t size,
  std::chrono::milliseconds patience, std::stop_token stop = {}) {
    auto got = co_await reader.read(l, file, offset, size, deadline::after(patience), stop);
    if (!got) {
        co_return got.error();
    }
    co_return std::string(as_text(got->bytes.span()));
}

task<result<bool>>
fetch_ahead(chunk_fetcher& fetcher, layer_ptr l, std::vector<std::uint32_t> chunks, lane in) {
    co_return co_await fetcher.prefetch(std::move(l), std::move(chunks), in);
}

task<result<void>> request_stop(std::stop_source source) {
    source.request_stop();
    co_return result<void>();
}

task<result<bool>> is_here(layer_reader& reader, layer_ptr l, entry_id file, std::size_t size) {
    buffer room(size);
    co_return reader.read_now(l, file, 0, room.span()).has_value();
}

void imposter_refusal(test::registry_imposter& registry, unsigned status, unsigned times) {
    test::imposter_fault refuse;
    refuse.status = status;
    for (unsigned i = 0; i < times; ++i) {
        registry.fail(refuse, i);
    }
}

/// A node with two shards, and one layer mounted from an imposter.
struct layer_rig {
    test::temporary_directory disk;
    test::registry_imposter registry;
    runtime shards{{.shards = 2, .pin = false, .io_threads = 2, .cpu_threads = 2}};
    metrics counted{2};
    net_metrics net_counted{counted};
    fs_metrics fs_counted{counted};
    no_credentials nobody;
    std::optional<registry_hub> hub;
    std::optional<chunk_cache> cache;
    std::optional<layer_errors> errors;
    std::vector<std::unique_ptr<registry_client>> clients;
    std::vector<std::unique_ptr<chunk_fetcher>> fetchers;
    std::optional<layer_reader> reader;
    std::optional<layer_filler> filler;
    layer_ptr mounted;

    explicit layer_rig(
      std::uint64_t read_ahead = 0, std::uint64_t memory = chunk_fetcher::default_memory,
      std::uint64_t background_rate = 0) {
        registry_config quick;
        quick.max_retries = 1;
        quick.min_wait = 1ms;
        quick.circuit.first_rest = quick.circuit.longest_rest = 5ms;
        quick.background_bytes_per_second = background_rate;
        hub.emplace(shards.at(0), quick, nobody, net_counted);
        chunk_cache_options o;
        o.directory = disk.path();
        cache.emplace(shards, counted, o);
        errors.emplace(shards);
        for (unsigned id = 0; id < 2; ++id) {
            clients.push_back(std::make_unique<registry_client>(shards.at(id), *hub));
            fetchers.push_back(std::make_unique<chunk_fetcher>(
              shards, shards.at(id), *cache, *clients[id], *errors, fs_counted, memory));
        }
        layer_reader::options reading;
        reading.read_ahead_most = read_ahead;
        reading.waited = [this](std::uint32_t layer, std::uint64_t offset) {
            auto attend = [this, layer, offset] { filler->attend(layer, offset); };
            asio::post(shards.at(0).on(lane::background), attend);
        };
        reader.emplace(shards, *cache, fetchers, reading);
        layer_filler::options filling; // a chunk at a time
        filling.prefetch_stretch = filling.background_stretch = 1;
        filling.prefetch_at_once = filling.background_at_once = 1;
        filler.emplace(shards, fetchers, fs_counted, filling);
        shards.start();
        REQUIRE(run(cache->start()).has_value());
    }
    ~layer_rig() {
        for (unsigned id = 0; id < 2; ++id) {
            auto work = [&c = *clients[id]] { return stop_client(c); };
            run(call_on(shards.at(id), lane::demand, std::move(work)));
        }
        run(stop_filler(*filler));
        run(stop_reader(*reader));
        for (unsigned id = 0; id < 2; ++id) {
            auto work = [&f = *fetchers[id]] { return stop_fetcher(f); };
            run(call_on(shards.at(id), lane::demand, std::move(work)));
        }
        run(stop_cache(*cache));
        run(stop_hub(*hub));
        shards.stop();
    }

    template <class T>
    T run(task<T> t) {
        return test::start(shards.at(0), std::move(t)).get();
    }
    // `served`: what the registry has, if not the blob that the TOC is of.
    void mount(
      const test::estargz_blob& blob, std::optional<std::string> served = {},
      std::uint32_t number = 1) {
        registry.put_blob(blob.layer, served.value_or(blob.bytes));
        std::vector<blob_address> sources{{registry.host(), "library/thing", blob.layer}};
        mounted = std::make_shared<const layer>(
          number, blob.layer, blob.bytes.size(), test::opened(blob), sources,
          std::make_shared<counter>(2));
    }
    entry_id file(std::string_view name) const { return *mounted->toc().find(0, name); }
    std::future<result<std::string>> reading(
      std::string_view name, std::uint64_t offset, std::size_t size, unsigned shard = 0,
      std::chrono::milliseconds patience = 5s, std::stop_token stop = {}) {
        return test::start(
          shards.at(shard), read_text(*reader, mounted, file(name), offset, size, patience, stop));
    }
    // As the reader's own shard does it.
    void interrupt(const std::stop_source& source, unsigned shard = 0) {
        REQUIRE(test::start(shards.at(shard), request_stop(source)).get().has_value());
    }
    void asked_for(std::size_t requests) {
        for (int i = 0; i < 1000 && blob_requests() < requests; ++i) {
            std::this_thread::sleep_for(2ms);
        }
        REQUIRE(blob_requests() == requests);
    }
    /// All chunks of the layer as one run, whose response begins after `delay`.
    std::future<result<bool>> fetching_all_late(lane in, std::chrono::milliseconds delay) {
        test::imposter_fault late;
        late.delay = delay;
        registry.fail(late);
        std::vector<std::uint32_t> chunks(mounted->toc().all_chunks().size());
        std::iota(chunks.begin(), chunks.end(), 0);
        auto done =
          test::start(shards.at(1), fetch_ahead(*fetchers[1], mounted, std::move(chunks), in));
        while (blob_requests() == 0) {
            std::this_thread::sleep_for(1ms);
        }
        return done;
    }
    std::size_t blob_requests() { return registry.count("/blobs/"); }
    void fill(const layer_ptr& l, std::uint64_t ahead, bool whole) {
        run(begin_fill(*filler, l, ahead, whole));
    }
    std::future<result<bool>> prefetched(
      std::chrono::milliseconds patience, std::stop_token stop = {}, std::uint32_t number = 1) {
        return test::start(shards.at(0), wait_prefetched(*filler, number, patience, stop));
    }
    bool complete(std::uint64_t layers) {
        for (int i = 0; i < 1000 && fs_counted.layers_complete.value() < layers; ++i) {
            std::this_thread::sleep_for(5ms);
        }
        return fs_counted.layers_complete.value() == layers;
    }
};

task<result<void>> begin_learned(learned_prefetch& p, layer_ptr l, std::string image) {
    co_await p.begin(std::move(l), std::move(image));
    co_return result<void>();
}
task<result<void>> end_learned(learned_prefetch& p, std::uint32_t number) {
    co_await p.end(number);
    co_return result<void>();
}
task<result<void>> calm_of(learned_prefetch& p, std::string image, std::stop_token stop) {
    co_await p.calm(std::move(image), stop);
    co_return result<void>();
}
task<result<void>> stop_learned(learned_prefetch& p) {
    co_await p.stop();
    co_return result<void>();
}

/// A node that learns what is read, with an empty cache; profiles outlive it.
struct learning_rig : layer_rig {
    profile_store profiles;
    std::optional<learned_prefetch> learned;

    static learned_prefetch::options one_at_a_time() {
        learned_prefetch::options o;
        o.requests_at_once = 1;
        o.plan.gap = 0;
        o.recording.window = 1h; // ends when the layer goes
        return o;
    }
    explicit learning_rig(
      const std::string& directory, learned_prefetch::options o = one_at_a_time())
      : profiles(profile_store::open(directory).value()) {
        learned.emplace(shards, profiles, fetchers, fs_counted, o);
        layer_reader::options reading;
        reading.read_ahead_most = 0;
        reading.recorder = &learned->recorder();
        reader.emplace(shards, *cache, fetchers, reading);
    }
    ~learning_rig() { run(stop_learned(*learned)); }

    void begin(const std::string& image = "image") { run(begin_learned(*learned, mounted, image)); }
    std::future<result<void>> beginning(layer_ptr l) {
        return test::start(shards.at(0), begin_learned(*learned, std::move(l), "image"));
    }
    std::future<result<void>> calm(const std::string& image, std::stop_token stop = {}) {
        return test::start(shards.at(0), calm_of(*learned, image, stop));
    }
    void know_of(const std::vector<std::size_t>& chunks) {
        read_profile known(mounted->toc().toc_digest(), mounted->blob());
        std::vector<first_read> seen;
        for (const auto offset : offsets(chunks)) {
            seen.push_back({offset, 0});
        }
        known.learn(seen, "image");
        REQUIRE(profiles.put(known).has_value());
    }
    void end(std::uint64_t profiles_learned) {
        run(end_learned(*learned, mounted->number()));
        REQUIRE(learns(profiles_learned));
    }
    bool learns(std::uint64_t layers) {
        for (int i = 0; i < 1000 && fs_counted.profiles_learned.value() < layers; ++i) {
            std::this_thread::sleep_for(5ms);
        }
        return fs_counted.profiles_learned.value() == layers;
    }
    result<read_profile> profile() { return profiles.get(mounted->toc().toc_digest()); }
    std::vector<std::uint64_t> streams() {
        std::vector<std::uint64_t> all;
        const auto known = profile().value();
        for (const auto& r : known.reads()) {
            all.push_back(r.stream);
        }
        return all;
    }
    // Where the chunks of file "f" with these numbers begin in the blob.
    std::vector<std::uint64_t> offsets(const std::vector<std::size_t>& chunks) {
        std::vector<std::uint64_t> all;
        for (const auto n : chunks) {
            all.push_back(mounted->toc().chunks(file("f"))[n].blob_offset);
        }
        return all;
    }
    std::vector<std::uint64_t> asked() {
        std::vector<std::uint64_t> all;
        for (const auto& r : registry.log()) {
            all.push_back(std::stoull(r.range.substr(std::string("bytes=").size())));
        }
        return all;
    }
};

test::estargz_blob ten_chunks() {
    return estargz_builder({.chunk_size = 1000}).file("f", noise(10'000, 40)).build();
}

} // namespace

TEST_CASE_FIXTURE(layer_rig, "a file is read right at any place, over chunk borders and its end") {
    const auto content = noise(10'000, 1);
    mount(estargz_builder({.chunk_size = 3000}).file("f", content).build());
    for (const std::size_t offset : {0, 1, 2999, 3000, 5999, 9999}) {
        CAPTURE(offset);
        CHECK(reading("f", offset, 4000).get().value() == content.substr(offset, 4000));
    }
    CHECK(reading("f", 10'000, 10).get().value().empty());
    CHECK(reading("f", 20'000, 10).get().value().empty());
}

TEST_CASE_FIXTURE(layer_rig, "neighbouring chunks of one read come in one request") {
    mount(estargz_builder({.chunk_size = 1000}).file("f", noise(8000, 2)).build());
    CHECK(reading("f", 0, 8000).get().value().size() == 8000);
    CHECK(blob_requests() == 1);
}

TEST_CASE_FIXTURE(layer_rig, "a lone read asks for its chunk and nothing else") {
    mount(estargz_builder({.chunk_size = 1000}).file("f", noise(8000, 2)).build());
    CHECK(reading("f", 4500, 1).get().has_value());
    CHECK(blob_requests() == 1);
    const auto& c = mounted->toc().chunks(file("f"))[4];
    const auto range =
      "bytes=" + std::to_string(c.blob_offset) + "-" + std::to_string(c.compressed_end - 1);
    CHECK(registry.log().back().range == range);
}

TEST_CASE_FIXTURE(layer_rig, "eight readers of a missing chunk, on two shards, cost one request") {
    const auto content = noise(100'000, 3);
    mount(estargz_builder({.chunk_size = 1 << 20}).file("f", content).build());
    std::vector<std::future<result<std::string>>> readers;
    for (unsigned i = 0; i < 8; ++i) {
        readers.push_back(reading("f", i * 1000, 500, i % 2));
    }
    for (unsigned i = 0; i < 8; ++i) {
        CHECK(readers[i].get().value() == content.substr(i * 1000, 500));
    }
    CHECK(blob_requests() == 1);
}

TEST_CASE_FIXTURE(layer_rig, "what was read is answered at once the next time") {
    mount(estargz_builder().file("f", noise(5000, 4)).build());
    CHECK_FALSE(run(is_here(*reader, mounted, file("f"), 100)).value());
    CHECK(reading("f", 0, 100).get().has_value());
    for (int i = 0; i < 1000 && !run(is_here(*reader, mounted, file("f"), 100)).value(); ++i) {
        CHECK(reading("f", 0, 100).get().has_value()); // stored meanwhile, and from then on at hand
        std::this_thread::sleep_for(2ms);
    }
    CHECK(run(is_here(*reader, mounted, file("f"), 100)).value());
    CHECK(blob_requests() == 1);
}

TEST_CASE_FIXTURE(layer_rig, "small files that share a stream come with one request") {
    estargz_builder b({.min_chunk_size = 1 << 20});
    for (int i = 0; i < 10; ++i) {
        b.file("f" + std::to_string(i), noise(700, 10 + i));
    }
    mount(b.build());
    for (int i = 9; i >= 0; --i) {
        CHECK(reading("f" + std::to_string(i), 0, 1000).get().value() == noise(700, 10 + i));
    }
    CHECK(blob_requests() == 1);
}

TEST_CASE_FIXTURE(layer_rig, "a chunk of the wrong bytes fails its reader and nobody else") {
    const auto content = noise(9000, 5);
    const auto blob = estargz_builder({.chunk_size = 3000})
                        .file("bad", content)
                        .file("good", noise(2000, 6))
                        .build();
    mount(blob);
    auto bytes = blob.bytes;
    const auto& c = mounted->toc().chunks(file("bad"))[1];
    bytes[(c.blob_offset + c.compressed_end) / 2] ^= 0x55;
    mount(blob, bytes);
    CHECK(reading("bad", 3000, 10).get().error().code() == errc::corrupt);
    CHECK(reading("bad", 0, 3000).get().value() == content.substr(0, 3000));
    CHECK(reading("bad", 6000, 3000).get().value() == content.substr(6000));
    CHECK(reading("good", 0, 2000).get().value() == noise(2000, 6));
    CHECK(counted.counted("firstlight_chunks_corrupt_total") >= 1);
    const auto error = run(errors->of(1)).value();
    CHECK_FALSE(error.empty());
    CHECK(state_file_content(*mounted, error).find("\"error\"") != std::string::npos);
}

TEST_CASE_FIXTURE(layer_rig, "a read that failed is tried again by the next reader") {
    const auto content = noise(4000, 7);
    mount(estargz_builder().file("f", content).build());
    test::imposter_fault gone;
    gone.drop_connection = true;
    registry.fail_always(gone);
    CHECK(reading("f", 0, 10).get().error().code() == errc::unavailable);
    registry.forgive();
    CHECK(reading("f", 0, 10).get().value() == content.substr(0, 10));
}

TEST_CASE_FIXTURE(layer_rig, "a read ends with its deadline when the registry stalls") {
    mount(estargz_builder().file("f", noise(4000, 8)).build());
    test::imposter_fault stalled;
    stalled.stall_after = 0;
    registry.fail_always(stalled);
    CHECK(reading("f", 0, 10, 0, 50ms).get().error().code() == errc::timed_out);
}

namespace {
test::imposter_fault stalled() {
    test::imposter_fault f;
    f.stall_after = 0;
    return f;
}
} // namespace

TEST_CASE_FIXTURE(layer_rig, "an interrupted read ends, and its chunk comes all the same") {
    const auto content = noise(1000, 20);
    mount(estargz_builder().file("f", content).build());
    registry.fail_always(stalled());
    std::stop_source stop;
    auto read = reading("f", 0, 10, 0, 1h, stop.get_token());
    asked_for(1);
    interrupt(stop);
    CHECK(read.get().error().code() == errc::interrupted);
    registry.forgive();
    registry.drop_connections();
    CHECK(reading("f", 0, 10).get().value() == content.substr(0, 10));
    CHECK(blob_requests() == 2); // the one that broke off, and the flight's next try
}

// Owners of chunks are on both shards, so that a reader who joins waits on his own
// shard, or on another.
TEST_CASE_FIXTURE(layer_rig, "one of two readers of a chunk is interrupted, the other unharmed") {
    const auto content = noise(16'000, 21);
    mount(estargz_builder({.chunk_size = 1000}).file("f", content).build());
    for (unsigned i = 0; i < 16; ++i) {
        CAPTURE(i);
        registry.clear_log();
        registry.fail_always(stalled());
        std::stop_source stop[2];
        std::future<result<std::string>> readers[2];
        readers[0] = reading("f", i * 1000, 10, 0, 1h, stop[0].get_token());
        asked_for(1);
        readers[1] = reading("f", i * 1000, 10, 1, 1h, stop[1].get_token());
        const auto joins = [&] {
            return counted.counted("firstlight_cache_lookups_total", {{"result", "joined"}});
        };
        for (int tries = 0; tries < 1000 && joins() <= i; ++tries) {
            std::this_thread::sleep_for(1ms);
        }
        std::this_thread::sleep_for(2ms); // from his answer to his wait; right without
        const auto goes = i % 2;
        interrupt(stop[goes], goes);
        CHECK(readers[goes].get().error().code() == errc::interrupted);
        CHECK(readers[1 - goes].wait_for(0s) == std::future_status::timeout);
        registry.forgive();
        registry.drop_connections(); // upon which the flight tries again
        CHECK(readers[1 - goes].get().value() == content.substr(i * 1000, 10));
    }
}

TEST_CASE_FIXTURE(layer_rig, "an interrupt that comes too late, or before the read, is harmless") {
    const auto content = noise(2000, 23);
    mount(estargz_builder().file("f", content).build());
    std::stop_source stop;
    CHECK(reading("f", 0, 10, 0, 5s, stop.get_token()).get().value() == content.substr(0, 10));
    interrupt(stop);
    CHECK(reading("f", 0, 2000).get().value() == content); // and what is here needs no wait:
    CHECK(reading("f", 0, 10, 0, 5s, stop.get_token()).get().value() == content.substr(0, 10));
}

TEST_CASE("who reads on gets what follows ahead of time") {
    layer_rig rig(1 << 20);
    const auto content = noise(200'000, 9);
    rig.mount(estargz_builder({.chunk_size = 4000}).file("f", content).build());
    std::size_t waited = 0;
    for (std::size_t at = 0; at < content.size(); at += 4000) {
        if (!rig.run(is_here(*rig.reader, rig.mounted, rig.file("f"), at + 4000)).value()) {
            ++waited;
        }
        CHECK(rig.reading("f", at, 4000).get().value() == content.substr(at, 4000));
    }
    CHECK(waited <= 50);
    CHECK(rig.blob_requests() < 25); // of 50 chunks
}

TEST_CASE_FIXTURE(
  layer_rig, "who waits for a part of a lower lane's fetch gets it by a request of its own") {
    const auto content = noise(3'000'000, 40);
    mount(estargz_builder({.chunk_size = 100'000}).file("f", content).build());
    auto ahead = fetching_all_late(lane::background, 1000ms);
    CHECK(reading("f", 2'500'000, 100).get().value() == content.substr(2'500'000, 100));
    CHECK(ahead.wait_for(0s) == std::future_status::timeout);
    CHECK(ahead.get().value());
    CHECK(blob_requests() == 2);
    CHECK(reading("f", 0, 3'000'000).get().value() == content);
    CHECK(blob_requests() == 2);
    CHECK(fs_counted.fetches_split.value() == 1);
}

TEST_CASE_FIXTURE(layer_rig, "what comes soon anyway is waited for and not asked for again") {
    const auto content = noise(30'000, 42);
    mount(estargz_builder({.chunk_size = 1000}).file("f", content).build());
    auto ahead = fetching_all_late(lane::background, 200ms);
    CHECK(reading("f", 20'000, 100).get().value() == content.substr(20'000, 100));
    CHECK(ahead.get().value());
    CHECK(blob_requests() == 1);
}

TEST_CASE("who waits for what the background is in the middle of does not wait at its pace") {
    layer_rig rig(0, chunk_fetcher::default_memory, 64 << 10);
    const auto content = noise(3'000'000, 46);
    rig.mount(estargz_builder({.chunk_size = 3'000'000}).file("f", content).build());
    auto ahead = rig.fetching_all_late(lane::background, 0ms);
    CHECK(rig.reading("f", 2'900'000, 100).get().value() == content.substr(2'900'000, 100));
    CHECK(ahead.get().value());
}

TEST_CASE_FIXTURE(layer_rig, "parts that are fetched apart keep their compressed streams whole") {
    estargz_builder b({.min_chunk_size = 100'000});
    for (int i = 0; i < 200; ++i) {
        b.file("f" + std::to_string(i), noise(10'000, 100 + i));
    }
    mount(b.build());
    auto ahead = fetching_all_late(lane::prefetch, 500ms);
    for (const int i : {150, 151, 190}) {
        CHECK(reading("f" + std::to_string(i), 0, 10'000).get().value() == noise(10'000, 100 + i));
    }
    CHECK(ahead.wait_for(0s) == std::future_status::timeout);
    CHECK(ahead.get().value());
    for (int i = 0; i < 200; ++i) {
        CHECK(reading("f" + std::to_string(i), 0, 10'000).get().value() == noise(10'000, 100 + i));
    }
    CHECK(blob_requests() <= 4);
}

TEST_CASE_FIXTURE(layer_rig, "a run whose parts were fetched apart fails only what is left") {
    const auto content = noise(3'000'000, 43);
    mount(estargz_builder({.chunk_size = 100'000}).file("f", content).build());
    test::imposter_fault late;
    late.delay = 300ms;
    late.drop_connection = true;
    registry.fail(late, 0);
    std::vector<std::uint32_t> chunks(30);
    std::iota(chunks.begin(), chunks.end(), 0);
    auto ahead =
      test::start(shards.at(1), fetch_ahead(*fetchers[1], mounted, chunks, lane::prefetch));
    while (blob_requests() == 0) {
        std::this_thread::sleep_for(1ms);
    }
    CHECK(reading("f", 2'900'000, 100).get().value() == content.substr(2'900'000, 100));
    registry.vanish();
    CHECK_FALSE(ahead.get().value());
    CHECK(reading("f", 2'900'000, 100).get().value() == content.substr(2'900'000, 100));
    CHECK(reading("f", 0, 100).get().error().code() == errc::unavailable);
}

TEST_CASE_FIXTURE(layer_rig, "a fetch that is taken over before it has begun asks for nothing") {
    const auto content = noise(100'000, 45);
    mount(estargz_builder({.chunk_size = 1000}).file("f", content).build());
    for (std::uint32_t n = 0; n < 100; ++n) {
        auto ahead =
          test::start(shards.at(1), fetch_ahead(*fetchers[1], mounted, {n}, lane::background));
        auto read = reading("f", n * 1000, 1000);
        CHECK(read.get().value() == content.substr(n * 1000, 1000));
        CHECK(ahead.get().has_value());
    }
    CHECK(blob_requests() <= 100);
}

TEST_CASE("with next to no memory everything is read all the same, one stream after the other") {
    layer_rig rig(0, 1);
    const auto content = noise(300'000, 44);
    rig.mount(estargz_builder({.chunk_size = 5000}).file("f", content).build());
    auto ahead = rig.fetching_all_late(lane::background, 20ms);
    std::vector<std::future<result<std::string>>> readers;
    for (unsigned i = 0; i < 20; ++i) {
        readers.push_back(rig.reading("f", i * 15'000, 15'000, i % 2));
    }
    for (unsigned i = 0; i < 20; ++i) {
        CHECK(readers[i].get().value() == content.substr(i * 15'000, 15'000));
    }
    CHECK(ahead.get().value());
}

TEST_CASE_FIXTURE(layer_rig, "the state file has what stargz-snapshotter's has, and no NaN") {
    mount(estargz_builder().file("f", "x").build());
    CHECK(state_file_name(*mounted) == mounted->blob().to_string() + ".json");
    const auto text = state_file_content(*mounted, "");
    CHECK(text.find("\"error\"") == std::string::npos);
    CHECK(text.find("\"digest\":\"" + mounted->blob().to_string() + "\"") != std::string::npos);
    CHECK(text.ends_with("}\n"));
    const layer empty(
      2, mounted->blob(), 0, mounted->shared_toc(), mounted->sources(),
      std::make_shared<counter>(1));
    CHECK(state_file_content(empty, "").find("\"fetchedPercent\":100.0") != std::string::npos);
}

TEST_CASE_FIXTURE(layer_rig, "a path is told for an entry deep down") {
    mount(estargz_builder().directory("a").directory("a/b").file("a/b/c", "x").build());
    const auto a = *mounted->toc().find(0, "a");
    const auto b = *mounted->toc().find(a, "b");
    CHECK(mounted->path_of(*mounted->toc().find(b, "c")) == "/a/b/c");
    CHECK(mounted->path_of(0) == "/");
}

TEST_CASE_FIXTURE(layer_rig, "a layer that was filled needs no registry") {
    const auto content = noise(50'000, 30);
    mount(estargz_builder({.chunk_size = 5000}).file("f", content).file("g", "small").build());
    fill(mounted, 0, true);
    REQUIRE(complete(1));
    registry.vanish();
    CHECK(reading("f", 0, 50'000).get().value() == content);
    CHECK(reading("g", 0, 10, 1).get().value() == "small");
}

TEST_CASE_FIXTURE(
  layer_rig, "layers are filled in turns: a small one is not stuck behind a big one") {
    registry.change([](auto& o) { o.latency = 5ms; });
    mount(estargz_builder({.chunk_size = 1000}).file("f", noise(60'000, 31)).build());
    const auto big = mounted;
    const auto blob = estargz_builder({.chunk_size = 1000}).file("s", noise(2000, 32)).build();
    mount(blob, {}, 2);
    fill(big, 0, true);
    fill(mounted, 0, true);
    REQUIRE(complete(2));
    const auto log = registry.log();
    const auto last = std::find_if(log.rbegin(), log.rend(), [&](const auto& r) {
        return r.path.find(blob.layer.to_string()) != std::string::npos;
    });
    REQUIRE(last != log.rend());
    CHECK(log.rend() - last < 10); // of more than sixty requests
    CHECK(log.size() > 60);
}

TEST_CASE_FIXTURE(layer_rig, "what lies near to what is read is fetched before the rest") {
    registry.change([](auto& o) { o.latency = 10ms; });
    mount(estargz_builder({.chunk_size = 50'000}).file("f", noise(5'000'000, 37)).build());
    fill(mounted, 0, true);
    const auto& read = mounted->toc().chunks(file("f"))[80]; // of 100
    CHECK(reading("f", read.file_offset, 100).get().has_value());
    const auto before = blob_requests();
    REQUIRE(before < 50);
    REQUIRE(complete(1));
    std::size_t nearby = 0;
    const auto log = registry.log();
    for (auto i = before; i < before + 12; ++i) {
        const auto begin = log[i].bytes().value().first;
        nearby +=
          begin > read.blob_offset - 600'000 && begin < read.blob_offset + 1'400'000 ? 1 : 0;
    }
    CHECK(nearby >= 6);
}

TEST_CASE_FIXTURE(layer_rig, "what could not be fetched ahead is tried again") {
    mount(estargz_builder({.chunk_size = 1000}).file("f", noise(3000, 33)).build());
    imposter_refusal(registry, 503, 4);
    fill(mounted, 0, true);
    CHECK(complete(1));
}

TEST_CASE_FIXTURE(
  layer_rig, "what is to be prefetched comes first, in order, and no more than that") {
    mount(estargz_builder({.chunk_size = 1000}).file("f", noise(10'000, 34)).build());
    const auto chunks = mounted->toc().chunks(file("f"));
    fill(mounted, chunks[3].blob_offset, false);
    for (int i = 0; i < 400 && blob_requests() < 3; ++i) {
        std::this_thread::sleep_for(5ms);
    }
    std::this_thread::sleep_for(50ms);
    const auto log = registry.log();
    REQUIRE(log.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
        CHECK(log[i].range.starts_with("bytes=" + std::to_string(chunks[i].blob_offset) + "-"));
    }
}

TEST_CASE_FIXTURE(layer_rig, "the rest may be asked for while the prefetch goes on, or after") {
    mount(estargz_builder({.chunk_size = 1000}).file("f", noise(5000, 42)).build());
    fill(mounted, mounted->toc().chunks(file("f"))[3].blob_offset, false);
    bool after = false;
    SUBCASE("while") {
    }
    SUBCASE("after") {
        after = true;
    }
    if (after) {
        CHECK(prefetched(1h).get().value());
    }
    fill(mounted, 0, true);
    CHECK(complete(1));
    CHECK(fs_counted.chunks_fetched.value() == 5);
}

TEST_CASE_FIXTURE(layer_rig, "nothing to prefetch, nothing asked for") {
    mount(estargz_builder({.chunk_size = 1000}).file("f", noise(5000, 35)).build());
    fill(mounted, 0, false);
    std::this_thread::sleep_for(50ms);
    CHECK(blob_requests() == 0);
}

TEST_CASE_FIXTURE(layer_rig, "a layer that has gone is not filled any more") {
    registry.change([](auto& o) { o.latency = 20ms; });
    mount(estargz_builder({.chunk_size = 1000}).file("f", noise(100'000, 36)).build());
    fill(mounted, 0, true);
    std::this_thread::sleep_for(50ms);
    run(forget_layer(*filler, 1));
    std::this_thread::sleep_for(100ms); // what was asked for arrives
    const auto asked = blob_requests();
    std::this_thread::sleep_for(100ms);
    CHECK(blob_requests() == asked);
    CHECK(asked < 20);
}

TEST_CASE_FIXTURE(layer_rig, "who waits for a prefetch has it, and does not wait for the rest") {
    mount(estargz_builder({.chunk_size = 1000}).file("f", noise(10'000, 37)).build());
    const auto chunks = mounted->toc().chunks(file("f"));
    registry.fail(stalled(), 3);
    fill(mounted, chunks[3].blob_offset, true);
    CHECK(prefetched(1h).get().value());
    CHECK(reading("f", 0, 3000, 0, 0s).get().has_value()); // no patience: it is here
    CHECK(prefetched(1h).get().value());
    CHECK(prefetched(1h, {}, 2).get().value()); // of what is not prefetched at all
}

TEST_CASE_FIXTURE(layer_rig, "nobody waits for a prefetch longer than he wants") {
    mount(estargz_builder({.chunk_size = 1000}).file("f", noise(5000, 38)).build());
    registry.fail_always(stalled());
    fill(mounted, mounted->toc().payload_size(), false);
    CHECK_FALSE(prefetched(20ms).get().value());
    std::stop_source stop;
    auto stopped = prefetched(1h, stop.get_token());
    interrupt(stop);
    CHECK_FALSE(stopped.get().value());
    auto gone = prefetched(1h);
    run(forget_layer(*filler, 1));
    CHECK(gone.get().value());
}

TEST_CASE_FIXTURE(layer_rig, "nobody waits for a prefetch that fails") {
    mount(estargz_builder({.chunk_size = 1000}).file("f", noise(5000, 39)).build());
    test::imposter_fault refuse;
    refuse.status = 503;
    registry.fail_always(refuse);
    fill(mounted, mounted->toc().payload_size(), false);
    CHECK(prefetched(1h).get().value());
}

TEST_CASE("what a start has read is fetched ahead of the next, that and in that order") {
    test::temporary_directory kept;
    const std::vector<std::size_t> order{7, 2, 9, 3, 0};
    {
        learning_rig first(kept / "profiles");
        first.mount(ten_chunks());
        first.begin();
        CHECK(first.blob_requests() == 0);
        for (std::size_t i = 0; i < order.size(); ++i) { // and once more: only the first counts
            CHECK(first.reading("f", order[i] * 1000 + 10, 20, i % 2).get().has_value());
            CHECK(first.reading("f", order[0] * 1000, 1000).get().has_value());
        }
        first.end(1);
        CHECK(first.streams() == first.offsets(order));
        CHECK(first.profile().value().images()[0] == "image");
        CHECK(first.profile().value().blob() == first.mounted->blob());
    }
    learning_rig second(kept / "profiles");
    second.mount(ten_chunks());
    second.begin();
    // 2 and 3 lie side by side, so they come together.
    CHECK(second.asked() == second.offsets({7, 2, 9, 0}));
    CHECK(second.fs_counted.profiles_replayed.value() == 1);
    CHECK(second.fs_counted.chunks_replayed.value() == 5);
    for (const auto n : order) {
        CHECK(second.reading("f", n * 1000, 1000, n % 2).get().has_value());
    }
    CHECK(second.fs_counted.reads_missed.value() == 0);
    CHECK(second.blob_requests() == 4);
    CHECK(second.reading("f", 5000, 10).get().has_value());
    CHECK(second.fs_counted.reads_missed.value() == 1);
    second.end(1);
    CHECK(second.profile().value().starts() == 2);
    CHECK(second.streams() == second.offsets({7, 2, 9, 3, 0, 5}));
}

TEST_CASE("what lies between two chunks that are read comes with them, if it is little") {
    test::temporary_directory kept;
    auto o = learning_rig::one_at_a_time();
    o.plan.gap = 2500;
    {
        learning_rig first(kept / "profiles", o);
        first.mount(ten_chunks());
        first.begin();
        for (const std::size_t n : {5, 0, 3}) {
            CHECK(first.reading("f", n * 1000, 10).get().has_value());
        }
        first.end(1);
    }
    learning_rig second(kept / "profiles", o);
    second.mount(ten_chunks());
    second.begin();
    CHECK(second.asked() == second.offsets({0}));
    CHECK(second.fs_counted.chunks_replayed.value() == 6);
    CHECK(second.reading("f", 0, 6000).get().value() == noise(10'000, 40).substr(0, 6000));
    CHECK(second.blob_requests() == 1);
}

TEST_CASE("of two layers, what is read first anywhere is fetched first") {
    test::temporary_directory kept;
    const auto other = estargz_builder({.chunk_size = 1000}).file("f", noise(4000, 41)).build();
    {
        learning_rig first(kept / "profiles");
        first.mount(ten_chunks());
        const auto a = first.mounted;
        first.begin();
        first.mount(other, {}, 2);
        const auto b = first.mounted;
        first.begin();
        for (const std::size_t n : {3, 1}) {
            first.mounted = a;
            CHECK(first.reading("f", n * 1000, 10).get().has_value());
            first.mounted = b;
            CHECK(first.reading("f", n * 1000, 10).get().has_value());
        }
        first.end(1);
        first.mounted = a;
        first.end(2);
    }
    learning_rig second(kept / "profiles");
    second.mount(ten_chunks());
    const auto a = second.mounted;
    second.mount(other, {}, 2);
    const auto b = second.mounted;
    test::imposter_fault stalled; // the first request, until both layers wait for their turn
    stalled.stall_after = 0;
    second.registry.fail(stalled);
    auto one = second.beginning(a);
    for (int i = 0; i < 1000 && second.blob_requests() < 1; ++i) {
        std::this_thread::sleep_for(2ms);
    }
    auto two = second.beginning(b);
    for (int i = 0; i < 1000 && second.fs_counted.profiles_replayed.value() < 2; ++i) {
        std::this_thread::sleep_for(2ms);
    }
    second.registry.drop_connections();
    CHECK(one.get().has_value());
    CHECK(two.get().has_value());
    std::vector<bool> of_b;
    for (const auto& r : second.registry.log()) {
        of_b.push_back(r.path.find(other.layer.to_string()) != std::string::npos);
    }
    CHECK(of_b == std::vector<bool>{false, false, true, false, true}); // the first one twice
}

TEST_CASE("a window ends by itself, and what is read afterwards is not noted") {
    test::temporary_directory kept;
    auto o = learning_rig::one_at_a_time();
    o.recording.window = 20ms;
    learning_rig rig(kept / "profiles", o);
    rig.mount(ten_chunks());
    rig.begin();
    std::this_thread::sleep_for(40ms); // it begins with the first read
    CHECK(rig.reading("f", 4000, 10).get().has_value());
    REQUIRE(rig.learns(1));
    CHECK(rig.reading("f", 6000, 10).get().has_value());
    rig.end(1);
    CHECK(rig.streams() == rig.offsets({4}));
}

TEST_CASE("what a start has read so far is kept when the daemon stops") {
    test::temporary_directory kept;
    {
        learning_rig rig(kept / "profiles");
        rig.mount(ten_chunks());
        rig.begin();
        CHECK(rig.reading("f", 4000, 10).get().has_value());
    }
    learning_rig rig(kept / "profiles");
    rig.mount(ten_chunks());
    CHECK(rig.streams() == rig.offsets({4}));
}

TEST_CASE("a layer that nobody reads leaves no profile") {
    test::temporary_directory kept;
    learning_rig rig(kept / "profiles");
    rig.mount(ten_chunks());
    rig.begin();
    rig.end(0);
    CHECK(rig.profile().error().code() == errc::not_found);
}

TEST_CASE("a damaged profile is dropped, and the layer is read as if there were none") {
    test::temporary_directory kept;
    learning_rig rig(kept / "profiles");
    rig.mount(ten_chunks());
    const auto path = kept / ("profiles/" + rig.mounted->toc().toc_digest().hex());
    test::write_file(path, "no profile");
    rig.begin();
    CHECK_FALSE(std::filesystem::exists(path));
    CHECK(rig.blob_requests() == 0);
    CHECK(rig.reading("f", 0, 10).get().has_value());
    rig.end(1);
    CHECK(rig.streams() == rig.offsets({0}));
}

TEST_CASE("a replay whose fetches fail is given up, and readers ask again") {
    test::temporary_directory kept;
    learning_rig rig(kept / "profiles");
    rig.mount(ten_chunks());
    rig.know_of({0, 2, 4, 6, 8});
    test::imposter_fault gone;
    gone.drop_connection = true;
    rig.registry.fail_always(gone);
    rig.begin();
    CHECK(rig.fs_counted.chunks_replayed.value() == 3); // of five
    rig.registry.forgive();
    CHECK(rig.reading("f", 0, 10).get().has_value());
}

TEST_CASE("the background waits for the start of an image with profiles, and no other") {
    test::temporary_directory kept;
    auto o = learning_rig::one_at_a_time();
    o.longest_calm = 1h;
    learning_rig rig(kept / "profiles", o);
    rig.mount(ten_chunks());
    rig.know_of({3});
    rig.begin();
    CHECK(rig.calm("another image").get().has_value());
    auto calm = rig.calm("image");
    CHECK(calm.wait_for(20ms) == std::future_status::timeout);
    CHECK(rig.reading("f", 3000, 10).get().has_value()); // the last one of the profile
    CHECK(calm.get().has_value());
    CHECK(rig.calm("image").get().has_value()); // that start is over
}

TEST_CASE("the background does not wait for long, and not when the daemon stops") {
    test::temporary_directory kept;
    auto o = learning_rig::one_at_a_time();
    std::stop_source stop;
    SUBCASE("for long") {
        o.longest_calm = 10ms;
    }
    SUBCASE("stopped") {
        o.longest_calm = 1h;
        stop.request_stop();
    }
    learning_rig rig(kept / "profiles", o);
    rig.mount(ten_chunks());
    rig.know_of({3});
    rig.begin();
    CHECK(rig.calm("image", stop.get_token()).get().has_value());
}

TEST_CASE("a profile of streams that the layer does not have does no harm") {
    test::temporary_directory kept;
    learning_rig rig(kept / "profiles");
    rig.mount(ten_chunks());
    read_profile lying(rig.mounted->toc().toc_digest(), rig.mounted->blob());
    const auto there = rig.offsets({3})[0];
    lying.learn(std::vector<first_read>{{there + 1, 0}, {~0ULL, 1}, {there, 2}}, "image");
    REQUIRE(rig.profiles.put(lying));
    rig.begin();
    CHECK(rig.asked() == rig.offsets({3}));
}
