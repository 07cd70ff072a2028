#include "test/fs/snapshotter_rig.h"

#include <doctest/doctest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include <thread>

using namespace firstlight;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

using rig = test::snapshotter_rig;

// What containerd passes for a layer: where it is to go, and which it is.
snapshot_labels lazily(const std::string& target, const std::string& layer) {
    return {{snapshot_label::target, target}, {"test/layer", layer}};
}

template <class T>
errc code(const result<T>& r) {
    REQUIRE(r.has_error());
    return r.error().code();
}

// What containerd asks after an ALREADY_EXISTS; see core/metadata/snapshot.go.
std::vector<snapshot_info>
found_by_containerd(rig& r, const std::string& target, const std::string& parent) {
    return r.list(
      {"labels.\"containerd.io/snapshot.ref\"==" + target + ",parent==\"" + parent + "\""});
}

mode_t mode_of(const std::string& path) {
    struct stat st{};
    REQUIRE(::stat(path.c_str(), &st) == 0);
    return st.st_mode & 07777;
}

std::uint64_t fallbacks(rig& r, const char* reason) {
    return r.p->counts.counted("firstlight_snapshot_fallbacks_total", {{"reason", reason}});
}

template <class Condition>
bool soon(Condition holds) {
    for (int i = 0; i < 500 && !holds(); ++i) {
        std::this_thread::sleep_for(2ms);
    }
    return holds();
}

} // namespace

// Ordinary snapshots

TEST_CASE_FIXTURE(rig, "an ordinary chain: directories, modes and mounts") {
    const auto before = ::umask(077); // must not matter
    const auto bottom = prepare("a1");
    ::umask(before);
    REQUIRE(bottom.has_value());
    CHECK(*bottom == std::vector{mount_spec{"bind", base() + "/1/fs", {"rw", "rbind"}}});
    CHECK(mode_of(base() + "/1") == 0700);
    CHECK(mode_of(base() + "/1/fs") == 0755);
    CHECK(mode_of(base() + "/1/work") == 0711);
    commit("c1", "a1");

    const auto top = prepare("a2", "c1");
    REQUIRE(top.has_value());
    CHECK(
      top->at(0).options == std::vector<std::string>{
                              "workdir=" + base() + "/2/work", "upperdir=" + base() + "/2/fs",
                              "lowerdir=" + base() + "/1/fs"});
    CHECK(*run(snapshots().mounts("a2")) == *top);

    const auto view = run(snapshots().view("v", "c1", {}));
    REQUIRE(view.has_value());
    CHECK(*view == std::vector{mount_spec{"bind", base() + "/1/fs", {"ro", "rbind"}}});
    CHECK_FALSE(fs::exists(base() + "/3/work"));
    CHECK(code(run(snapshots().mounts("c1"))) == errc::failed_precondition);
    CHECK(directories() == std::set<std::string>{"1", "2", "3"});
}

TEST_CASE_FIXTURE(rig, "a new tree belongs to whom its parent's belongs") {
    have("c1");
    if (::geteuid() == 0) {
        REQUIRE(::chown((base() + "/1/fs").c_str(), 1000, 1001) == 0);
    }
    struct stat parent{};
    REQUIRE(::stat((base() + "/1/fs").c_str(), &parent) == 0);
    REQUIRE(prepare("a2", "c1").has_value());
    struct stat child{};
    REQUIRE(::stat((base() + "/2/fs").c_str(), &child) == 0);
    CHECK(child.st_uid == parent.st_uid);
    CHECK(child.st_gid == parent.st_gid);
}

TEST_CASE_FIXTURE(rig, "what is refused leaves no directory and no record") {
    have("c1");
    CHECK(code(prepare("x", "none")) == errc::not_found);
    CHECK(code(prepare("c1")) == errc::already_exists);
    CHECK(code(prepare("", "c1")) == errc::invalid_argument);
    CHECK(code(prepare("x", "c1", {{"k", std::string(5000, 'v')}})) == errc::invalid_argument);
    fs::remove_all(base() + "/1"); // the parent's tree, behind our back
    const auto lost = prepare("x", "c1");
    CHECK(lost.error().context().find(base() + "/1/fs") != std::string::npos);
    CHECK_FALSE(exists("x"));
    CHECK(directories().empty());
}

TEST_CASE_FIXTURE(rig, "usage is scanned while active and stored when committed") {
    REQUIRE(prepare("a").has_value());
    const auto empty = *run(snapshots().usage("a"));
    test::write_file(base() + "/1/fs/file", std::string(100'000, 'x'));
    const auto active = *run(snapshots().usage("a"));
    CHECK(active.inodes == empty.inodes + 1);
    CHECK(active.size >= empty.size + 100'000);
    commit("c", "a");
    test::write_file(base() + "/1/fs/more", std::string(100'000, 'x'));
    CHECK(*run(snapshots().usage("c")) == active);
    CHECK(code(run(snapshots().usage("a"))) == errc::not_found);
}

TEST_CASE_FIXTURE(rig, "removal forgets at once, cleanup deletes") {
    have("c1");
    REQUIRE(prepare("a2", "c1").has_value());
    CHECK(code(run(snapshots().remove("c1"))) == errc::failed_precondition);
    REQUIRE(run(snapshots().remove("a2")).has_value());
    CHECK_FALSE(exists("a2"));
    CHECK(directories().contains("2"));
    REQUIRE(prepare("a2", "c1").has_value()); // the key is free, its directory another
    REQUIRE(run(snapshots().cleanup()).has_value());
    CHECK(directories() == std::set<std::string>{"1", "3"});
}

TEST_CASE_FIXTURE(rig, "a start removes what a crash left, and nothing else") {
    have("c1");
    REQUIRE(prepare("a2", "c1").has_value());
    for (const auto* left : {"new-Ab3dEf", "77", "removed-5-1", "02", "notes"}) {
        fs::create_directories(base() + '/' + left + "/fs/deep");
        test::write_file(base() + '/' + left + "/fs/file", "x");
    }
    const auto before = list();
    restart();
    CHECK(soon([this] { return directories() == std::set<std::string>{"1", "2"}; }));
    CHECK(list() == before);
    CHECK(run(snapshots().mounts("a2")).has_value());
}

TEST_CASE_FIXTURE(rig, "a directory of an unrecorded snapshot does not block the next one") {
    // A crash after the rename and before the record: the id will be used again.
    fs::create_directories(base() + "/1/fs/stale");
    restart();
    REQUIRE(prepare("a").has_value());
    CHECK(fs::exists(base() + "/1/fs"));
    CHECK_FALSE(fs::exists(base() + "/1/fs/stale"));
}

TEST_CASE_FIXTURE(rig, "concurrent calls on one key: one wins, the rest are told") {
    std::vector<std::future<snapshotter::mounts_result>> calls;
    for (int i = 0; i < 20; ++i) {
        calls.push_back(p->start(snapshots().prepare("same", "", {})));
    }
    int made = 0;
    for (auto& call : calls) {
        const auto outcome = call.get();
        made += outcome ? 1 : 0;
        CHECK((outcome || outcome.error().code() == errc::already_exists));
    }
    CHECK(made == 1);
    CHECK(directories().size() == 1);

    auto first = p->start(snapshots().commit("c", "same", "", {}));
    auto second = p->start(snapshots().commit("d", "same", "", {}));
    auto third = p->start(snapshots().remove("same"));
    const int won = (first.get() ? 1 : 0) + (second.get() ? 1 : 0) + (third.get() ? 1 : 0);
    CHECK(won == 1);
    CHECK_FALSE(exists("same"));
}

// Lazy layers

TEST_CASE_FIXTURE(rig, "a lazy layer is recorded as its target and answered with already exists") {
    const auto answer = prepare("ns/1/extract-1 sha256:c1", "", lazily("sha256:c1", "L1"));
    CHECK(code(answer) == errc::already_exists);
    CHECK(answer.error().context() == "target snapshot \"sha256:c1\": already exists");
    CHECK_FALSE(exists("ns/1/extract-1 sha256:c1"));
    CHECK(directories().empty());

    const auto found = found_by_containerd(*this, "sha256:c1", "");
    REQUIRE(found.size() == 1);
    CHECK(found[0].name == "sha256:c1");
    CHECK(found[0].kind == snapshot_kind::committed);
    CHECK(found[0].labels.at(snapshot_label::remote) == "remote snapshot");
    CHECK(found[0].labels.at("test/layer") == "L1");
    CHECK(p->counts.counted("firstlight_remote_snapshots_total") == 1);
    CHECK(*run(snapshots().usage("sha256:c1")) == disk_use{100, 1});
}

TEST_CASE_FIXTURE(rig, "snapshots above lazy layers use the layers' directories and owner") {
    CHECK(code(prepare("x1", "", lazily("sha256:c1", "L1"))) == errc::already_exists);
    CHECK(code(prepare("x2", "sha256:c1", lazily("sha256:c2", "L2"))) == errc::already_exists);
    CHECK(stat("sha256:c2").parent == "sha256:c1");

    const auto view = run(snapshots().view("v1", "sha256:c1", {}));
    CHECK(*view == std::vector{mount_spec{"bind", "/lazy/1", {"ro", "rbind"}}});
    const auto views = run(snapshots().view("v2", "sha256:c2", {}));
    CHECK(views->at(0).options == std::vector<std::string>{"lowerdir=/lazy/2:/lazy/1"});
    if (::geteuid() != 0) {
        return; // only root may give a directory away
    }
    const auto container = prepare("box", "sha256:c2");
    REQUIRE_MESSAGE(container.has_value(), container.error().context());
    const auto own = base() + '/' + *directories().rbegin();
    CHECK(
      container->at(0).options ==
      std::vector<std::string>{
        "workdir=" + own + "/work", "upperdir=" + own + "/fs", "lowerdir=/lazy/2:/lazy/1"});
    struct stat st{};
    REQUIRE(::stat((own + "/fs").c_str(), &st) == 0);
    CHECK(st.st_uid == 1234);
    CHECK(st.st_gid == 5678);
    CHECK((st.st_mode & 07777) == 0755);
}

TEST_CASE_FIXTURE(rig, "a layer that cannot be lazy becomes an ordinary writable snapshot") {
    p->layers.failure = fault(errc::corrupt, "no footer");
    const auto mounts = prepare("x1", "", lazily("sha256:c1", "L1"));
    REQUIRE(mounts.has_value());
    CHECK(*mounts == std::vector{mount_spec{"bind", base() + "/1/fs", {"rw", "rbind"}}});
    CHECK(fallbacks(*this, "corrupt") == 1);
    CHECK(fallbacks(*this, "unavailable") == 0);
    // As overlayfs would: unpacked by containerd and committed under its own name.
    commit("ns/2/sha256:c1", "x1", {{snapshot_label::target, "sha256:c1"}});
    CHECK(stat("ns/2/sha256:c1").kind == snapshot_kind::committed);
    CHECK_FALSE(stat("ns/2/sha256:c1").labels.contains(snapshot_label::remote));
    p->layers.failure.reset();
    CHECK(code(prepare("x2", "ns/2/sha256:c1", lazily("sha256:c2", "L2"))) == errc::already_exists);
}

TEST_CASE_FIXTURE(rig, "a wrong key or parent is refused before any layer is opened") {
    have("c");
    REQUIRE(prepare("a").has_value());
    CHECK(code(prepare("x", "none", lazily("t", "L"))) == errc::not_found);
    CHECK(code(prepare("x", "a", lazily("t", "L"))) == errc::invalid_argument);
    CHECK(code(prepare("a", "c", lazily("t", "L"))) == errc::already_exists);
    auto labels = lazily("t", "L");
    labels["k"] = std::string(5000, 'v');
    CHECK(code(prepare("x", "c", labels)) == errc::invalid_argument);
    CHECK(p->layers.opens == 0);
}

TEST_CASE_FIXTURE(rig, "a second namespace gets the snapshot that the first one made") {
    CHECK(code(prepare("one/1/x", "", lazily("sha256:c1", "L1"))) == errc::already_exists);
    const auto before = list();
    CHECK(code(prepare("two/1/x", "", lazily("sha256:c1", "L1"))) == errc::already_exists);
    CHECK(p->layers.opens == 1);
    CHECK(list() == before); // no orphan
    CHECK(found_by_containerd(*this, "sha256:c1", "").size() == 1);
}

TEST_CASE_FIXTURE(rig, "a target on another parent is not the one asked for") {
    have("one/sha256:c1"); // ordinary there
    CHECK(
      code(prepare("one/x", "one/sha256:c1", lazily("sha256:c2", "L2"))) == errc::already_exists);
    CHECK(code(prepare("two/x", "", lazily("sha256:c1", "L1"))) == errc::already_exists);
    const auto mounts = prepare("two/y", "sha256:c1", lazily("sha256:c2", "L2"));
    if (::geteuid() == 0) {
        CHECK(mounts.has_value()); // containerd would find no match: it must unpack
    }
    CHECK(fallbacks(*this, "already_exists") == 1);
}

TEST_CASE_FIXTURE(rig, "concurrent prepares of one target: all are told it exists, once recorded") {
    on_shard([this] { p->layers.held = true; });
    std::vector<std::future<snapshotter::mounts_result>> calls;
    for (int i = 0; i < 10; ++i) {
        calls.push_back(
          p->start(snapshots().prepare(fmt::format("x{}", i), "", lazily("sha256:c1", "L1"))));
    }
    CHECK(soon([this] {
        unsigned opens = 0;
        on_shard([&] { opens = p->layers.opens; });
        return opens == 10;
    }));
    on_shard([this] {
        p->layers.held = false;
        p->layers.released.notify_all();
    });
    for (auto& call : calls) {
        CHECK(code(call.get()) == errc::already_exists);
    }
    CHECK(list().size() == 1);
    CHECK(directories().empty());
    CHECK(p->counts.counted("firstlight_remote_snapshots_total") == 10);
}

TEST_CASE_FIXTURE(
  rig, "a parent that only Commit will tell is never answered with already exists") {
    auto labels = lazily("sha256:c2", "L2");
    labels[snapshot_label::parent_chain] = "sha256:c1";
    have("sha256:c1");
    const auto mounts = prepare("x", "", labels);
    REQUIRE(mounts.has_value());
    CHECK(mounts->back().options.front() == "rw"); // read-only would mean "staged"
    CHECK(p->layers.opens == 0);
    CHECK(fallbacks(*this, "unsupported") == 1);
    REQUIRE(run(snapshots().commit("sha256:c2", "x", "sha256:c1", {})).has_value());
    CHECK(stat("sha256:c2").parent == "sha256:c1");
    // With a parent the label says nothing new.
    CHECK(code(prepare("y", "sha256:c1", lazily("sha256:d2", "L2"))) == errc::already_exists);
}

TEST_CASE_FIXTURE(rig, "nothing above an unmounted layer is available, until it is mounted again") {
    CHECK(code(prepare("x1", "", lazily("sha256:c1", "L1"))) == errc::already_exists);
    REQUIRE(run(snapshots().view("v", "sha256:c1", {})).has_value());
    const auto before = list();
    on_shard([this] { p->layers.mounted.clear(); });

    const auto mounts = run(snapshots().mounts("v"));
    CHECK(code(mounts) == errc::unavailable);
    CHECK(mounts.error().context().starts_with("layer \"1\" unavailable"));
    CHECK(code(prepare("box", "sha256:c1")) == errc::unavailable);
    CHECK(code(run(snapshots().view("w", "sha256:c1", {}))) == errc::unavailable);
    CHECK(list() == before); // nothing half made
    CHECK(stat("sha256:c1").name == "sha256:c1");

    SUBCASE("a new pull mounts it") {
        CHECK(code(prepare("x2", "", lazily("sha256:c1", "L1"))) == errc::already_exists);
        CHECK(p->layers.opens == 2);
        CHECK(run(snapshots().mounts("v")).has_value());
    }
    SUBCASE("a pull that cannot is an ordinary snapshot") {
        p->layers.failure = fault(errc::unavailable, "registry gone");
        CHECK(prepare("x2", "", lazily("sha256:c1", "L1")).has_value());
        CHECK(fallbacks(*this, "unavailable") == 1);
    }
    SUBCASE("a pull of another blob does not take its place") {
        CHECK(prepare("x2", "", lazily("sha256:c1", "other")).has_value());
        CHECK(fallbacks(*this, "unavailable") == 1);
        CHECK(run(snapshots().mounts("v")).has_error());
    }
}

TEST_CASE_FIXTURE(rig, "a failure to record is an error, not an ordinary snapshot") {
    // Longer than any name may be: the store refuses it after the layer is open.
    const auto answer = prepare("x", "", lazily(std::string(4050, 't'), "L"));
    CHECK(code(answer) == errc::already_exists); // fits
    on_shard([this] { p->layers.held = true; });
    have("c");
    auto call = p->start(snapshots().prepare("y", "c", lazily("sha256:c2", "L2")));
    CHECK(soon([this] {
        unsigned opens = 0;
        on_shard([&] { opens = p->layers.opens; });
        return opens == 2;
    }));
    REQUIRE(run(snapshots().remove("c")).has_value()); // the parent goes meanwhile
    on_shard([this] {
        p->layers.held = false;
        p->layers.released.notify_all();
    });
    const auto failed = call.get();
    CHECK(code(failed) == errc::not_found);
    CHECK(failed.error().context().starts_with("cannot record the remote snapshot"));
    CHECK_FALSE(exists("y"));
}

TEST_CASE_FIXTURE(rig, "cleanup closes the layers that no snapshot refers to") {
    CHECK(code(prepare("x1", "", lazily("sha256:c1", "L1"))) == errc::already_exists);
    CHECK(code(prepare("x2", "sha256:c1", lazily("sha256:c2", "L2"))) == errc::already_exists);
    p->layers.failure = fault(errc::timed_out, "slow");
    REQUIRE(run(snapshots().view("v", "sha256:c1", {})).has_value());
    REQUIRE(prepare("x3", "", lazily("sha256:c3", "L3")).has_value()); // fell back
    p->layers.failure.reset();
    REQUIRE(run(snapshots().remove("sha256:c2")).has_value());
    REQUIRE(run(snapshots().cleanup()).has_value());
    CHECK(p->layers.closed == std::vector<std::uint32_t>{2, 3});
    CHECK(run(snapshots().mounts("v")).has_value());
    REQUIRE(run(snapshots().cleanup()).has_value());
    CHECK(p->layers.closed.size() == 2);
    // Pulled again, it is a new number: the kernel may remember things of the old one.
    CHECK(code(prepare("x4", "sha256:c1", lazily("sha256:c2", "L2"))) == errc::already_exists);
    CHECK(
      run(snapshots().view("v2", "sha256:c2", {}))->at(0).options.at(0) ==
      "lowerdir=/lazy/4:/lazy/1");
}

TEST_CASE_FIXTURE(rig, "a layer that is being opened is not closed; the cleanup comes back") {
    CHECK(code(prepare("x1", "", lazily("sha256:c1", "L1"))) == errc::already_exists);
    REQUIRE(run(snapshots().remove("sha256:c1")).has_value());
    on_shard([this] { p->layers.held = true; });
    auto call = p->start(snapshots().prepare("x2", "", lazily("sha256:c2", "L2")));
    CHECK(soon([this] {
        unsigned opens = 0;
        on_shard([&] { opens = p->layers.opens; });
        return opens == 2;
    }));
    REQUIRE(run(snapshots().cleanup()).has_value());
    CHECK(p->layers.closed.empty());
    on_shard([this] {
        p->layers.held = false;
        p->layers.released.notify_all();
    });
    CHECK(code(call.get()) == errc::already_exists);
    CHECK(soon([this] {
        bool done = false;
        on_shard([&] { done = p->layers.closed == std::vector<std::uint32_t>{1}; });
        return done;
    }));
    CHECK(p->layers.mounted.contains(2));
    CHECK_FALSE(p->layers.overlapped);
}

TEST_CASE_FIXTURE(rig, "after a restart lazy snapshots are there and wait for their layers") {
    CHECK(code(prepare("x1", "", lazily("sha256:c1", "L1"))) == errc::already_exists);
    REQUIRE(run(snapshots().view("v", "sha256:c1", {})).has_value());
    const auto before = list();
    restart();
    CHECK(list() == before);
    CHECK(code(run(snapshots().mounts("v"))) == errc::unavailable);
    on_shard([this] { p->layers.mounted.insert(1); }); // as the layers' owner would
    CHECK(run(snapshots().mounts("v")).has_value());
}

TEST_CASE_FIXTURE(rig, "after stop every call is refused") {
    run(snapshots().stop());
    CHECK(code(prepare("a")) == errc::stopping);
    CHECK(code(run(snapshots().stat("a"))) == errc::stopping);
    CHECK(code(run(snapshots().cleanup())) == errc::stopping);
}

// Waiting for a prefetch

TEST_CASE_FIXTURE(
  rig, "a container waits for what its lazy layers prefetch, and nobody else does") {
    CHECK(code(prepare("k1", "", lazily("t1", "one"))) == errc::already_exists);
    CHECK(code(prepare("k2", "t1", lazily("t2", "two"))) == errc::already_exists);
    have("plain", "t2");
    p->layers.failure = fault(errc::unavailable, "no such registry");
    CHECK(prepare("k3", "plain", lazily("t3", "three")).has_value()); // a layer, eagerly
    p->layers.awaited.clear();                                        // of "plain"
    CHECK(prepare("k4", "plain", lazily("t4", "four")).has_value());
    CHECK(p->layers.awaited.empty());

    const std::vector<std::uint32_t> both{2, 1};
    CHECK(prepare("container", "plain").has_value());
    CHECK(run(snapshots().view("view", "t2", {})).has_value());
    CHECK(p->layers.awaited == std::vector{both, both});
    CHECK(run(snapshots().mounts("container")).has_value());
    have("bottom");
    CHECK(prepare("eager", "bottom").has_value());
    CHECK(p->layers.awaited.size() == 2);
}

TEST_CASE_FIXTURE(rig, "while a container waits for a prefetch, other calls go on") {
    CHECK(code(prepare("k1", "", lazily("t1", "one"))) == errc::already_exists);
    p->layers.prefetching = true;
    std::vector<std::future<snapshotter::mounts_result>> waiting;
    for (int i = 0; i < 300; ++i) { // more than the calls that are accepted at once
        waiting.push_back(p->start(snapshots().prepare("c" + std::to_string(i), "t1", {})));
    }
    std::size_t made = 0;
    for (int tries = 0; tries < 5000 && made < 300; ++tries) {
        std::this_thread::sleep_for(2ms);
        on_shard([&] { made = p->layers.awaited.size(); });
    }
    CHECK(made == 300);
    CHECK(exists("c299"));
    CHECK(waiting[0].wait_for(0s) == std::future_status::timeout);
    on_shard([&] {
        p->layers.prefetching = false;
        p->layers.released.notify_all();
    });
    for (auto& w : waiting) {
        CHECK(w.get().has_value());
    }
}

TEST_CASE_FIXTURE(rig, "a container that waits for a prefetch does not hold up the end") {
    CHECK(code(prepare("k1", "", lazily("t1", "one"))) == errc::already_exists);
    p->layers.prefetching = true;
    auto waiting = p->start(snapshots().prepare("c", "t1", {}));
    CHECK(soon([&] {
        std::size_t waits = 0;
        on_shard([&] { waits = p->layers.awaited.size(); });
        return waits == 1;
    }));
    restart();
    CHECK(waiting.get().has_value());
}
