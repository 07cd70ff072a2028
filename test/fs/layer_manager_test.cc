// Mounting layers from a registry: what a new container waits for, and what not.

#include "fs/layer_manager.h"

#include "actors/call.h"
#include "net/registry_hub.h"
#include "test/estargz_builder.h"
#include "test/fs/layer_rig.h"
#include "test/imposter/registry_imposter.h"
#include "test/noise.h"
#include "test/rig.h"
#include "test/temporary_directory.h"

#include <doctest/doctest.h>

#include <future>
#include <optional>

using namespace firstlight;
using namespace std::chrono_literals;
using test::estargz_builder;
using test::noise;

namespace {

task<bool> await_prefetch(layer_manager& m, std::vector<std::uint32_t> numbers) {
    co_await m.await_prefetch(std::move(numbers), std::stop_token());
    co_return true;
}

task<bool> close_layer(layer_manager& m, std::uint32_t number) {
    co_await m.close(number);
    co_return true;
}

/// A node with one shard, whose manager mounts one layer: a prefetch landmark after
/// `a`, which is one chunk, and then `b`.
struct manager_rig {
    test::temporary_directory disk;
    test::registry_imposter registry;
    runtime shards{{.shards = 1, .pin = false, .io_threads = 2, .cpu_threads = 2}};
    metrics counted{1};
    net_metrics net_counted{counted};
    fs_metrics fs_counted{counted};
    no_credentials nobody;
    registry_hub hub{shards.at(0), registry_config(), nobody, net_counted};
    layer_errors errors{shards};
    layer_table layers{shards};
    std::optional<chunk_cache> cache;
    std::vector<std::unique_ptr<layer_services>> services;
    std::vector<std::unique_ptr<chunk_fetcher>> fetchers;
    std::optional<layer_filler> filler;
    std::optional<profile_store> profiles;
    std::optional<learned_prefetch> learned;
    std::optional<store_writer> store;
    std::optional<layer_manager> manager;
    snapshot_labels labels;

    void start(std::chrono::milliseconds wait, std::uint64_t async) {
        chunk_cache_options caching;
        caching.directory = disk / "cache";
        cache.emplace(shards, counted, caching);
        const auto indexes = index_store::open(disk / "index").value();
        auto& home = shards.at(0);
        auto client = std::make_unique<registry_client>(home, hub);
        auto resolver = std::make_unique<layer_resolver>(shards, *client, indexes);
        fetchers.push_back(
          std::make_unique<chunk_fetcher>(shards, home, *cache, *client, errors, fs_counted));
        services.push_back(
          std::make_unique<layer_services>(std::move(client), std::move(resolver)));
        filler.emplace(shards, fetchers, fs_counted, layer_filler::options());
        profiles.emplace(profile_store::open(disk / "profiles").value());
        learned.emplace(shards, *profiles, fetchers, fs_counted, learned_prefetch::options());
        store.emplace(shards.io(), snapshot_store::open(disk / "metadata.sqlite").value());
        layer_manager::options o;
        o.mountpoint = "/m";
        o.background_fetch = false;
        o.prefetch_wait = wait;
        o.prefetch_async_bytes = async;
        auto forget = [](const std::string&) { return result<void>(); };
        manager.emplace(
          shards, layers, *store, indexes, services, *filler, &*learned, errors, fs_counted, forget,
          o);
        shards.start();
        REQUIRE(run(cache->start()).has_value());
    }
    ~manager_rig() {
        run(services[0]->registry->stop());
        run(manager->stop());
        run(fetchers[0]->stop());
        run(cache->stop());
        run(store->stop());
        run(hub.stop());
        shards.stop();
    }
    template <class T>
    T run(task<T> t) {
        return test::start(shards.at(0), std::move(t)).get();
    }
    static test::estargz_blob layer_blob() {
        return estargz_builder({.chunk_size = 1 << 20})
          .file("a", noise(20'000, 7))
          .prefetch_landmark()
          .file("b", noise(50'000, 7))
          .build();
    }
    // Earlier starts have read "b".
    void know_of_b() {
        const auto blob = layer_blob();
        const auto toc = test::opened(blob);
        read_profile profile(blob.toc, blob.layer);
        const first_read b{toc->chunks(*toc->find(0, "b"))[0].blob_offset, 0};
        profile.learn({&b, 1}, "image");
        REQUIRE(profiles->put(profile).has_value());
    }
    // Everything but the layer's end, which is asked for first, stalls if `stalled`.
    std::uint32_t mount(bool stalled) {
        const auto blob = layer_blob();
        registry.put_blob(blob.layer, blob.bytes);
        for (unsigned nth = 1; stalled && nth < 20; ++nth) {
            test::imposter_fault stall;
            stall.stall_after = 0;
            registry.fail(stall, nth);
        }
        labels["containerd.io/snapshot/remote/stargz.reference"] =
          registry.host() + "/some/thing:1";
        labels["containerd.io/snapshot/remote/stargz.digest"] = blob.layer.to_string();
        labels["containerd.io/snapshot/stargz/toc.digest"] = blob.toc.to_string();
        const auto opened = run(manager->open(labels, deadline::after(20s)));
        REQUIRE_MESSAGE(opened.has_value(), opened.error().context());
        return opened->number();
    }
    std::future<bool> awaiting(std::uint32_t number) {
        return test::start(shards.at(0), await_prefetch(*manager, {number}));
    }
    std::uint64_t waits() { return fs_counted.prefetch_wait.read().total(); }
};

} // namespace

TEST_CASE_FIXTURE(manager_rig, "a new container waits for its layers' prefetch if it is to") {
    start(1h, 0);
    const auto number = mount(false);
    CHECK(awaiting(number).get());
    CHECK(waits() == 1);
    CHECK(fs_counted.chunks_fetched.value() == 1); // up to the landmark, and not "b"
    CHECK(awaiting(number + 1).get());             // of which nothing is known
}

TEST_CASE_FIXTURE(manager_rig, "it waits no longer than it is to") {
    start(30ms, 0);
    CHECK(awaiting(mount(true)).get());
    CHECK(waits() == 1);
}

TEST_CASE_FIXTURE(manager_rig, "it does not wait by default") {
    start(layer_manager::options().prefetch_wait, 0);
    CHECK(awaiting(mount(true)).get());
    CHECK(waits() == 0);
}

TEST_CASE_FIXTURE(manager_rig, "it does not wait for a prefetch of more than so many bytes") {
    start(1h, 10'000);
    CHECK(awaiting(mount(true)).get());
    CHECK(waits() == 0);
}

TEST_CASE_FIXTURE(manager_rig, "it waits for a prefetch of less than that") {
    start(30ms, 30'000);
    CHECK(awaiting(mount(true)).get());
    CHECK(waits() == 1);
}

TEST_CASE_FIXTURE(manager_rig, "what earlier starts have read comes before the landmark's part") {
    start(1h, 0);
    know_of_b();
    const auto number = mount(false);
    CHECK(awaiting(number).get());
    CHECK(fs_counted.chunks_fetched.value() == 2);
    const auto log = registry.log();
    REQUIRE(log.size() == 3); // the layer's end, and the two
    const auto first = std::stoull(log[1].range.substr(6));
    const auto last = std::stoull(log[2].range.substr(6));
    CHECK(first > last);
}

TEST_CASE_FIXTURE(
  manager_rig, "who waits for the landmark's part waits no longer because of them") {
    start(30ms, 0);
    know_of_b();
    CHECK(awaiting(mount(true)).get());
    CHECK(waits() == 1);
    CHECK(fs_counted.chunks_fetched.value() == 0);
}

TEST_CASE_FIXTURE(manager_rig, "a layer that is unmounted while it is prefetched is let go") {
    start(1h, 0);
    know_of_b();
    const auto number = mount(true);
    auto waiting = awaiting(number);
    run(close_layer(*manager, number));
    CHECK(waiting.get());
}
