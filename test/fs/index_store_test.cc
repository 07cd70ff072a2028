#include "fs/index_store.h"

#include "test/fs/layer_rig.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

namespace firstlight {

namespace {

namespace files = std::filesystem;

struct store_rig {
    std::string root = files::temp_directory_path() / "firstlight-index-XXXXXX";
    std::string directory;

    store_rig() {
        REQUIRE(::mkdtemp(root.data()) != nullptr);
        directory = root + "/some/index";
    }
    ~store_rig() { files::remove_all(root); }

    index_store store() const {
        auto opened = index_store::open(directory);
        REQUIRE_MESSAGE(opened, opened.error().context());
        return *opened;
    }
    /// An index of a layer with `files` files.
    static compiled_index layer(int files) {
        test::estargz_builder builder;
        for (int i = 0; i < files; ++i) {
            builder.file("f" + std::to_string(i), "x");
        }
        auto compiled = test::compile(builder.build());
        REQUIRE(compiled);
        return std::move(*compiled);
    }
    std::string path_of(const digest& toc) const { return directory + "/" + toc.hex(); }
    void used_at(const digest& toc, std::int64_t seconds) const {
        const timespec times[2] = {{seconds, 0}, {seconds, 0}};
        REQUIRE(::utimensat(AT_FDCWD, path_of(toc).c_str(), times, 0) == 0);
    }
};

bool never(const digest&) {
    return false;
}

} // namespace

TEST_CASE_FIXTURE(store_rig, "an index that was put is there after a restart") {
    const auto made = layer(3);
    REQUIRE(store().put(made.toc, made.bytes.span()));
    auto again = store().get(made.toc);
    REQUIRE_MESSAGE(again, again.error().context());
    CHECK((*again)->toc_digest() == made.toc);
    CHECK((*again)->child_count(0) == 3);
    CHECK((*again)->file_bytes() == made.bytes.size());
    REQUIRE(store().put(made.toc, made.bytes.span())); // once more
    CHECK(store().list()->size() == 1);
}

TEST_CASE_FIXTURE(store_rig, "what is not there is not_found") {
    CHECK(store().get(digest()).error().code() == errc::not_found);
    CHECK(store().remove(digest()));
    CHECK(store().list()->empty());
}

TEST_CASE_FIXTURE(store_rig, "a damaged index is reported once and gone") {
    const auto made = layer(3);
    const auto s = store();
    REQUIRE(s.put(made.toc, made.bytes.span()));
    SUBCASE("a byte") {
        std::fstream file(path_of(made.toc), std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(400);
        file.put('\x55');
    }
    SUBCASE("cut short") {
        files::resize_file(path_of(made.toc), 300);
    }
    SUBCASE("empty") {
        files::resize_file(path_of(made.toc), 0);
    }
    SUBCASE("another TOC's") {
        const auto other = layer(1);
        REQUIRE(s.put(made.toc, other.bytes.span()));
    }
    auto damaged = s.get(made.toc);
    REQUIRE_FALSE(damaged);
    CHECK(damaged.error().code() == errc::corrupt);
    CHECK(damaged.error().context().find(made.toc.hex()) != std::string::npos);
    CHECK(s.get(made.toc).error().code() == errc::not_found);
}

TEST_CASE_FIXTURE(store_rig, "an index of another version is compiled anew") {
    auto made = layer(1);
    made.bytes.data()[offsetof(index_format::header, version)] = std::byte{99};
    const auto s = store();
    REQUIRE(s.put(made.toc, made.bytes.span()));
    CHECK(s.get(made.toc).error().code() == errc::not_found);
    CHECK(s.list()->empty());
}

TEST_CASE_FIXTURE(store_rig, "leftovers of a crash are removed, and only those") {
    const auto made = layer(1);
    REQUIRE(store().put(made.toc, made.bytes.span()));
    std::ofstream(directory + "/.new-abc123") << "half an index";
    std::ofstream(directory + "/readme") << "not ours";
    const auto s = store();
    CHECK_FALSE(files::exists(directory + "/.new-abc123"));
    CHECK(files::exists(directory + "/readme"));
    CHECK(s.list()->size() == 1);
}

TEST_CASE_FIXTURE(store_rig, "trimming takes the longest unused first, and none that is kept") {
    const auto s = store();
    std::vector<digest> tocs;
    std::uint64_t sum = 0;
    std::uint64_t largest = 0;
    for (int i = 1; i <= 4; ++i) {
        const auto made = layer(i);
        REQUIRE(s.put(made.toc, made.bytes.span()));
        used_at(made.toc, 1000 * i);
        tocs.push_back(made.toc);
        sum += made.bytes.size();
        largest = made.bytes.size();
    }
    REQUIRE(s.get(tocs[0])); // now the latest
    CHECK(s.list()->front().toc == tocs[1]);
    CHECK(s.list()->back().toc == tocs[0]);

    CHECK(*s.trim(sum, never) == sum);
    const auto keep_second = [&](const digest& toc) { return toc == tocs[1]; };
    CHECK(*s.trim(sum - 1, keep_second) < sum);
    CHECK(s.get(tocs[1]));
    CHECK(s.get(tocs[2]).error().code() == errc::not_found);
    CHECK(s.get(tocs[3]));
    CHECK(*s.trim(largest, never) <= largest);
    CHECK(*s.trim(0, never) == 0);
    CHECK(s.list()->empty());
}

TEST_CASE_FIXTURE(store_rig, "a mapped index outlives its file") {
    const auto made = layer(2);
    const auto s = store();
    REQUIRE(s.put(made.toc, made.bytes.span()));
    auto mapped = s.get(made.toc);
    REQUIRE(mapped);
    REQUIRE(s.remove(made.toc));
    CHECK(test::at(**mapped, "f1") == 2);
}

TEST_CASE_FIXTURE(store_rig, "a full disk or a missing directory is told, and leaves nothing") {
    const auto made = layer(1);
    const auto s = store();
    files::remove_all(directory);
    auto put = s.put(made.toc, made.bytes.span());
    REQUIRE_FALSE(put);
    CHECK(put.error().code() == errc::not_found);
    CHECK_FALSE(s.list());

    std::ofstream(root + "/file") << "x";
    CHECK_FALSE(index_store::open(root + "/file/index"));
}

TEST_CASE_FIXTURE(store_rig, "threads may put, get and remove at once") {
    const auto made = layer(2);
    const auto s = store();
    std::vector<std::thread> threads;
    std::atomic<int> wrong = 0;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < 20; ++i) {
                if (t == 0) {
                    wrong += s.remove(made.toc) ? 0 : 1;
                } else if (t == 1) {
                    wrong += s.put(made.toc, made.bytes.span()) ? 0 : 1;
                } else {
                    auto got = s.get(made.toc);
                    const bool fine =
                      got ? (*got)->size() == 3 : got.error().code() == errc::not_found;
                    wrong += fine ? 0 : 1;
                }
            }
        });
    }
    for (auto& t : threads) {
        t.join();
    }
    CHECK(wrong == 0);
}

} // namespace firstlight
