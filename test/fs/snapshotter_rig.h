#pragma once
// A snapshotter over fake layers in a directory of its own, called from the test's thread.

#include "actors/runtime.h"
#include "fs/snapshotter.h"
#include "test/fs/fake_layers.h"
#include "test/rig.h"
#include "test/temporary_directory.h"

#include <doctest/doctest.h>

#include <memory>

namespace firstlight::test {

class snapshotter_rig {
public:
    temporary_directory dir;

    // One life of the process: everything but the directory.
    struct process {
        runtime rt{{.shards = 1, .pin = false, .io_threads = 3, .cpu_threads = 2}};
        metrics counts{1};
        store_writer store;
        fake_layers layers{store};
        snapshotter snapshots;

        explicit process(const std::string& root)
          : store(rt.io(), snapshot_store::open(root + "/metadata.sqlite").value())
          , snapshots(rt.at(0), rt.io(), store, layers, counts, {root, {}}) {
            rt.start();
        }
        ~process() {
            run(snapshots.stop());
            run(store.stop());
            rt.stop();
        }
        template <class T>
        std::future<T> start(task<T> t) {
            return test::start(rt.at(0), std::move(t));
        }
        template <class T>
        T run(task<T> t) {
            return start(std::move(t)).get();
        }
    };

    std::unique_ptr<process> p = begin();

    void restart() {
        p.reset();
        p = begin();
    }
    snapshotter& snapshots() { return p->snapshots; }

    template <class T>
    T run(task<T> t) {
        return p->run(std::move(t));
    }
    // Runs `f` on the shard.
    void on_shard(std::function<void()> f) { run(call(std::move(f))); }

    snapshotter::mounts_result
    prepare(const std::string& key, const std::string& parent = "", snapshot_labels labels = {}) {
        return run(snapshots().prepare(key, parent, std::move(labels)));
    }
    void commit(const std::string& name, const std::string& key, snapshot_labels labels = {}) {
        const auto done = run(snapshots().commit(name, key, "", std::move(labels)));
        REQUIRE_MESSAGE(done.has_value(), done.error().context());
    }
    // A committed ordinary snapshot.
    void have(const std::string& name, const std::string& parent = "") {
        REQUIRE(prepare(name + "-active", parent).has_value());
        commit(name, name + "-active");
    }
    snapshot_info stat(const std::string& key) {
        auto info = run(snapshots().stat(key));
        REQUIRE_MESSAGE(info.has_value(), info.error().context());
        return std::move(*info);
    }
    bool exists(const std::string& key) { return run(snapshots().stat(key)).has_value(); }
    std::vector<snapshot_info> list(std::vector<std::string> filters = {}) {
        return *run(snapshots().list(std::move(filters)));
    }
    std::string base() { return dir / "snapshots"; }
    std::set<std::string> directories() {
        std::set<std::string> names;
        for (const auto& entry : std::filesystem::directory_iterator(base())) {
            names.insert(entry.path().filename());
        }
        return names;
    }

private:
    std::unique_ptr<process> begin() {
        auto next = std::make_unique<process>(dir.path());
        const auto started = next->run(next->snapshots.start());
        REQUIRE_MESSAGE(started.has_value(), started.error().context());
        return next;
    }
    static task<void> call(std::function<void()> f) {
        f();
        co_return;
    }
};

} // namespace firstlight::test
