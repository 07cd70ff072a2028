#include "actors/buffer.h"
#include "fs/snapshot_store.h"
#include "test/temporary_directory.h"

#include <doctest/doctest.h>

#include <sqlite3.h>

using namespace firstlight;
namespace fs = std::filesystem;

namespace {

const digest blob_a = digest::of(as_bytes("a"));
const digest blob_b = digest::of(as_bytes("b"));
const digest toc_1 = digest::of(as_bytes("1"));
const digest toc_2 = digest::of(as_bytes("2"));

const snapshot_store::arrange nothing = [](const snapshot_chain&) { return result<void>(); };

struct opened {
    test::temporary_directory dir;
    std::string path = dir / "metadata.sqlite";
    std::unique_ptr<snapshot_store> store = open(path);

    static std::unique_ptr<snapshot_store> open(const std::string& path) {
        auto s = snapshot_store::open(path);
        REQUIRE_MESSAGE(s.has_value(), s.error().context());
        return std::move(*s);
    }
    void reopen() {
        store.reset();
        store = open(path);
    }
    result<snapshot_chain>
    active(const std::string& key, const std::string& parent = "", snapshot_labels labels = {}) {
        return store->create(snapshot_kind::active, key, parent, labels, nothing);
    }
    result<snapshot_chain> view(const std::string& key, const std::string& parent = "") {
        return store->create(snapshot_kind::view, key, parent, {}, nothing);
    }
    result<void> commit(
      const std::string& name, const std::string& key, snapshot_labels labels = {},
      const std::string& parent = "") {
        snapshot_store::commit_request request;
        request.name = name;
        request.key = key;
        request.parent = parent;
        request.labels = std::move(labels);
        request.use = {4096, 3};
        return store->commit(request);
    }
    // A committed snapshot `name` on `parent`.
    void have(const std::string& name, const std::string& parent = "") {
        REQUIRE(active(name + "-active", parent).has_value());
        REQUIRE(commit(name, name + "-active").has_value());
    }
    std::vector<std::string> names() {
        std::vector<std::string> all;
        for (const auto& info : *store->list({})) {
            all.push_back(info.name);
        }
        return all;
    }
};

template <class T>
errc code(const result<T>& r) {
    REQUIRE(r.has_error());
    return r.error().code();
}

void run_sql(const std::string& path, const std::string& sql) {
    sqlite3* db = nullptr;
    REQUIRE(sqlite3_open(path.c_str(), &db) == SQLITE_OK);
    CHECK(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK);
    sqlite3_close(db);
}

} // namespace

TEST_CASE_FIXTURE(opened, "a snapshot's life: active, committed, parent, removed") {
    const auto made = active("a", "", {{"k", "v"}, {"empty", ""}});
    REQUIRE(made.has_value());
    CHECK(made->parents.empty());
    auto record = store->get("a");
    REQUIRE(record.has_value());
    CHECK(record->id == made->own.id);
    CHECK(record->info.kind == snapshot_kind::active);
    CHECK(record->info.created == record->info.updated);
    CHECK(record->info.labels == snapshot_labels{{"k", "v"}}); // an empty one is none

    REQUIRE(commit("c", "a", {{"l", "w"}}).has_value());
    CHECK(code(store->get("a")) == errc::not_found);
    record = store->get("c");
    REQUIRE(record.has_value());
    CHECK(record->id == made->own.id); // and so keeps its directory
    CHECK(record->info.kind == snapshot_kind::committed);
    CHECK(record->info.labels == snapshot_labels{{"l", "w"}}); // not inherited
    CHECK(record->use == disk_use{4096, 3});

    const auto child = view("v", "c");
    REQUIRE(child.has_value());
    CHECK(child->parents == std::vector{snapshot_link{made->own.id, {}}});
    CHECK(store->get("v")->info.parent == "c");
    CHECK(code(store->remove("c")) == errc::failed_precondition);
    CHECK(store->remove("v").has_value());
    CHECK(store->remove("c")->id == made->own.id);
    CHECK(code(store->remove("c")) == errc::not_found);
    CHECK(names().empty());
}

TEST_CASE_FIXTURE(opened, "a chain runs from the nearest parent down") {
    have("1");
    have("2", "1");
    have("3", "2");
    REQUIRE(active("top", "3").has_value());
    const auto chain = store->chain_of("top");
    REQUIRE(chain.has_value());
    std::vector<std::int64_t> ids;
    for (const auto& link : chain->parents) {
        ids.push_back(link.id);
    }
    CHECK(ids == std::vector{store->get("3")->id, store->get("2")->id, store->get("1")->id});
    CHECK(code(store->chain_of("3")) == errc::failed_precondition);
    CHECK(code(store->chain_of("none")) == errc::not_found);
}

TEST_CASE_FIXTURE(opened, "what create refuses, in containerd's order") {
    have("c");
    REQUIRE(active("a").has_value());
    CHECK(code(active("x", "none")) == errc::not_found);
    CHECK(code(active("x", "a")) == errc::invalid_argument);
    CHECK(code(active("a", "c")) == errc::already_exists);
    CHECK(code(view("c")) == errc::already_exists);
    CHECK(code(active("a", "none")) == errc::not_found); // the parent comes first
    CHECK(code(active("")) == errc::invalid_argument);
    CHECK(code(active(std::string(40'000, 'k'))) == errc::invalid_argument);
    CHECK(code(store->check_new("a", "")) == errc::already_exists);
    CHECK(store->check_new("x", "c")->size() == 1);
}

TEST_CASE_FIXTURE(opened, "what commit refuses") {
    have("c");
    have("d");
    REQUIRE(active("a", "c").has_value());
    REQUIRE(active("free").has_value());
    REQUIRE(view("v", "c").has_value());
    CHECK(code(commit("x", "none")) == errc::not_found);
    CHECK(code(commit("c", "a")) == errc::already_exists);
    CHECK(code(commit("c", "v")) == errc::already_exists);
    CHECK(code(commit("x", "v")) == errc::failed_precondition);
    CHECK(code(commit("x", "c")) == errc::failed_precondition);
    CHECK(code(commit("", "a")) == errc::invalid_argument);
    CHECK(code(commit("x", "a", {}, "d")) == errc::invalid_argument);
    CHECK(code(commit("x", "free", {}, "none")) == errc::not_found);
    CHECK(code(commit("x", "free", {}, "a")) == errc::failed_precondition);
    snapshot_store::commit_request stale;
    stale.key = "a";
    stale.name = "x";
    stale.id = store->get("a")->id + 100;
    CHECK(code(store->commit(stale)) == errc::not_found);
    CHECK(store->get("a").has_value());           // none of them changed anything
    CHECK(commit("x", "a", {}, "c").has_value()); // the same parent is no change
}

TEST_CASE_FIXTURE(opened, "a snapshot prepared without a parent may get one at commit") {
    have("c");
    REQUIRE(active("a").has_value());
    REQUIRE(commit("x", "a", {}, "c").has_value());
    CHECK(store->get("x")->info.parent == "c");
    CHECK(code(store->remove("c")) == errc::failed_precondition);
}

TEST_CASE_FIXTURE(opened, "update changes what its mask names, and labels only") {
    REQUIRE(active("a", "", {{"l1", "v1"}, {"l2", "v2"}}).has_value());
    const auto before = store->get("a")->info;
    snapshot_info to;
    to.name = "a";
    to.parent = "nonsense";
    to.labels = {{"l1", "new"}, {"l4", "v4"}};

    SUBCASE("named labels, of which one goes") {
        const auto now = store->update(to, {"labels.l1", "labels.l2"});
        REQUIRE(now.has_value());
        CHECK(now->labels == snapshot_labels{{"l1", "new"}});
        CHECK(now->created == before.created);
        CHECK(now->updated > before.updated);
        CHECK(now->parent.empty());
        CHECK(*now == store->get("a")->info);
    }
    SUBCASE("all labels") {
        CHECK(store->update(to, {"labels"})->labels == to.labels);
    }
    SUBCASE("no mask is all labels") {
        CHECK(store->update(to, {})->labels == to.labels);
    }
    SUBCASE("a label with a dot in its key") {
        to.labels = {{"a.b/c", "x"}};
        CHECK(store->update(to, {"labels.a.b/c"})->labels.at("a.b/c") == "x");
    }
    SUBCASE("nothing else") {
        for (const auto* field : {"parent", "name", "kind", "created_at", "label", "labels."}) {
            CAPTURE(field);
            CHECK(code(store->update(to, {"labels", field})) == errc::invalid_argument);
        }
        CHECK(store->get("a")->info == before);
        to.name = "none";
        CHECK(code(store->update(to, {})) == errc::not_found);
    }
}

TEST_CASE_FIXTURE(opened, "labels end at 4096 bytes, everywhere") {
    const snapshot_labels fits{{"key", std::string(4093, 'v')}};
    const snapshot_labels over{{"key", std::string(4094, 'v')}};
    CHECK(code(active("a", "", over)) == errc::invalid_argument);
    REQUIRE(active("a", "", fits).has_value());
    CHECK(code(commit("c", "a", over)) == errc::invalid_argument);
    snapshot_info to;
    to.name = "a";
    to.labels = over;
    CHECK(code(store->update(to, {})) == errc::invalid_argument);
    CHECK(store->get("a")->info.labels == fits);
}

TEST_CASE_FIXTURE(opened, "list gives what matches, in order of making") {
    have("c");
    REQUIRE(active("z", "c", {{"l", "1"}}).has_value());
    REQUIRE(view("b", "c").has_value());
    CHECK(names() == std::vector<std::string>{"c", "z", "b"});
    const auto filter = snapshot_filter::parse({"kind==view", "labels.l==1"});
    const auto some = store->list(*filter);
    REQUIRE(some->size() == 2);
    CHECK(some->at(0).name == "z");
    CHECK(some->at(0).parent == "c");
    CHECK(some->at(1).name == "b");
}

TEST_CASE_FIXTURE(opened, "everything is still there after a restart") {
    have("c");
    REQUIRE(active("a", "c", {{"k", "v"}}).has_value());
    const auto before = *store->list({});
    reopen();
    CHECK(*store->list({}) == before);
}

TEST_CASE_FIXTURE(opened, "what was answered survives kill -9, what was not leaves no trace") {
    have("c");
    const auto killed = [this](const std::string& to) {
        fs::create_directory(dir / to);
        for (const auto* suffix : {"", "-wal"}) {
            fs::copy_file(path + suffix, dir / to + "/metadata.sqlite" + suffix);
        }
    };
    // The files as they are at each moment are what a killed process leaves.
    const auto made =
      store->create(snapshot_kind::active, "a", "c", {{"k", "v"}}, [&](const snapshot_chain&) {
          killed("during");
          return result<void>();
      });
    REQUIRE(made.has_value());
    killed("after");

    const auto during = open(dir / "during/metadata.sqlite");
    CHECK(code(during->get("a")) == errc::not_found);
    CHECK(during->get("c").has_value());
    const auto after = open(dir / "after/metadata.sqlite");
    CHECK(after->get("a")->info == store->get("a")->info);
}

TEST_CASE_FIXTURE(opened, "a fault on disk undoes the record, and its id is free again") {
    std::int64_t id = 0;
    const auto made = store->create(
      snapshot_kind::active, "a", "", {{"k", "v"}},
      [&](const snapshot_chain& chain) -> result<void> {
          id = chain.own.id;
          return fault(errc::no_space, "disk full");
      });
    CHECK(code(made) == errc::no_space);
    CHECK(names().empty());
    CHECK(active("a")->own.id == id);
}

TEST_CASE_FIXTURE(opened, "ids of removed snapshots are not used again, also after a restart") {
    const auto id = active("a")->own.id;
    REQUIRE(store->remove("a").has_value());
    reopen();
    CHECK(active("a")->own.id > id);
}

TEST_CASE_FIXTURE(opened, "a layer keeps its number by its two digests, and nobody else gets it") {
    const auto first = store->find_or_add_layer(blob_a, toc_1, 100, "reg/x:1");
    REQUIRE(first.has_value());
    CHECK(*first >= 1);
    CHECK(*store->find_or_add_layer(blob_a, toc_1, 100, "reg/y:1") == *first);
    CHECK(*store->find_or_add_layer(blob_a, toc_2, 100, "reg/x:1") != *first);
    CHECK(*store->find_or_add_layer(blob_b, toc_1, 100, "reg/x:1") != *first);
    CHECK(*store->sources_of(*first) == std::vector<std::string>{"reg/y:1", "reg/x:1"});
    const auto last = *store->find_or_add_layer(blob_b, toc_2, 7, "reg/x:1");
    REQUIRE(store->forget_layer(last).has_value());
    CHECK(store->sources_of(last)->empty());
    reopen();
    CHECK(*store->find_or_add_layer(blob_b, toc_2, 7, "reg/x:1") > last);
}

TEST_CASE_FIXTURE(opened, "the latest sixteen sources of a layer are kept") {
    std::uint32_t number = 0;
    for (int i = 0; i < 20; ++i) {
        number = *store->find_or_add_layer(blob_a, toc_1, 1, "reg/x:" + std::to_string(i));
    }
    REQUIRE(store->find_or_add_layer(blob_a, toc_1, 1, "reg/x:5").has_value());
    const auto sources = *store->sources_of(number);
    CHECK(sources.size() == 16);
    CHECK(sources[0] == "reg/x:5");
    CHECK(sources[1] == "reg/x:19");
    CHECK(sources.back() == "reg/x:4");
}

TEST_CASE_FIXTURE(opened, "a layer is in use while a snapshot refers to it") {
    const auto used = *store->find_or_add_layer(blob_a, toc_1, 100, "reg/x:1");
    const auto unused = *store->find_or_add_layer(blob_b, toc_1, 200, "reg/x:1");
    const auto made = store->create_remote("sha256:c1", "", {{"k", "v"}}, used);
    REQUIRE(made.has_value());
    CHECK(made->layer == used);
    CHECK(store->get("sha256:c1")->info.kind == snapshot_kind::committed);
    CHECK(store->get("sha256:c1")->layer == used);
    CHECK(store->get("sha256:c1")->use == disk_use{});
    CHECK(active("a", "sha256:c1")->parents == std::vector{*made});

    REQUIRE(store->layers_in_use()->size() == 1);
    const auto layer = store->layers_in_use()->front();
    CHECK(layer.number == used);
    CHECK(layer.blob == blob_a);
    CHECK(layer.toc == toc_1);
    CHECK(layer.blob_size == 100);
    REQUIRE(store->layers_unused()->size() == 1);
    CHECK(store->layers_unused()->front().number == unused);
    CHECK(code(store->forget_layer(used)) == errc::failed_precondition);
    REQUIRE(store->remove("a").has_value());
    CHECK(store->remove("sha256:c1")->layer == used);
    CHECK(store->forget_layer(used).has_value());
    CHECK(store->forget_layer(used).has_value()); // twice is once
}

TEST_CASE_FIXTURE(opened, "what create_remote refuses") {
    const auto layer = *store->find_or_add_layer(blob_a, toc_1, 100, "reg/x:1");
    REQUIRE(store->create_remote("t", "", {}, layer).has_value());
    CHECK(code(store->create_remote("t", "", {}, layer)) == errc::already_exists);
    CHECK(code(store->create_remote("u", "none", {}, layer)) == errc::not_found);
    CHECK(code(store->create_remote("u", "", {}, layer + 1)) == errc::not_found);
    CHECK(names() == std::vector<std::string>{"t"});
}

TEST_CASE_FIXTURE(opened, "a second process is kept out, with advice") {
    const auto second = snapshot_store::open(path);
    CHECK(code(second) == errc::unavailable);
    CHECK(second.error().context().find("in use by another process") != std::string::npos);
}

TEST_CASE_FIXTURE(opened, "a damaged file is refused by name") {
    for (int i = 0; i < 200; ++i) {
        REQUIRE(
          active("snapshot-" + std::to_string(i), "", {{"k", std::string(900, 'v')}}).has_value());
    }
    store.reset();
    SUBCASE("pages overwritten") {
        std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(8192);
        file << std::string(40'000, '\x5a');
    }
    SUBCASE("something else altogether") {
        test::write_file(path, std::string(8192, 'x'));
    }
    SUBCASE("a record that refers to nothing") {
        run_sql(path, "UPDATE snapshots SET parent = 123456 WHERE name = 'snapshot-7'");
    }
    const auto again = snapshot_store::open(path);
    CHECK(code(again) == errc::corrupt);
    CHECK(again.error().context().find(path) != std::string::npos);
}

TEST_CASE_FIXTURE(opened, "a file of a newer version is left alone") {
    store.reset();
    run_sql(path, "PRAGMA user_version = 99");
    CHECK(code(snapshot_store::open(path)) == errc::unsupported);
}

TEST_CASE("a file in a missing directory is an error that names it") {
    const auto none = snapshot_store::open("/nonexistent/metadata.sqlite");
    REQUIRE(none.has_error());
    CHECK(none.error().context().find("/nonexistent/metadata.sqlite") != std::string::npos);
}
