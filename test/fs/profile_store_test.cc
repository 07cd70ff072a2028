#include "fs/profile_store.h"

#include "test/result_text.h"
#include "test/temporary_directory.h"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

namespace firstlight {

namespace {

struct store_rig {
    test::temporary_directory root;
    std::string directory = root / "some/profiles";

    profile_store store(profile_store::limits l = {}) const {
        auto opened = profile_store::open(directory, l);
        REQUIRE_MESSAGE(opened, opened.error().context());
        return *opened;
    }
    static digest name(int i) { return digest::of(as_bytes("toc " + std::to_string(i))); }
    static read_profile profile(int i, std::size_t reads = 3) {
        read_profile p(name(i), digest::of(as_bytes("blob " + std::to_string(i))));
        std::vector<first_read> seen;
        for (std::size_t n = 0; n < reads; ++n) {
            seen.push_back({n * 100, static_cast<std::uint32_t>(n)});
        }
        p.learn(seen, "image-" + std::to_string(i));
        return p;
    }
    std::string path_of(const digest& toc) const { return directory + "/" + toc.hex(); }
    void used_at(const digest& toc, std::int64_t seconds) const {
        const timespec times[2] = {{seconds, 0}, {seconds, 0}};
        REQUIRE(::utimensat(AT_FDCWD, path_of(toc).c_str(), times, 0) == 0);
    }
    std::size_t files() const {
        std::size_t n = 0;
        for ([[maybe_unused]] const auto& f : std::filesystem::directory_iterator(directory)) {
            ++n;
        }
        return n;
    }
};

} // namespace

TEST_CASE_FIXTURE(store_rig, "profile store: what was put is there after a restart") {
    REQUIRE(store().put(profile(1)));
    CHECK(store().get(name(1)).value() == profile(1));
    CHECK(store().get(name(2)).error().code() == errc::not_found);
    CHECK(files() == 1);
}

TEST_CASE_FIXTURE(
  store_rig, "profile store: leftovers of a crash are removed, by the daemon alone") {
    REQUIRE(store().put(profile(1)));
    test::write_file(directory + "/.new-abcdef", "half a profile");
    CHECK(profile_store::beside_daemon(directory).list().value().size() == 1);
    CHECK(files() == 2);
    (void)store();
    CHECK(files() == 1);
}

TEST_CASE_FIXTURE(store_rig, "profile store: a damaged file is told once, and gone") {
    auto s = store();
    REQUIRE(s.put(profile(1)));
    SUBCASE("torn") {
        std::filesystem::resize_file(path_of(name(1)), 100);
    }
    SUBCASE("empty") {
        std::filesystem::resize_file(path_of(name(1)), 0);
    }
    SUBCASE("too long") {
        std::filesystem::resize_file(path_of(name(1)), 10 << 20);
    }
    SUBCASE("another layer's") {
        const auto bytes = profile(2).encode();
        test::write_file(path_of(name(1)), std::string(as_text(bytes.span())));
    }
    CHECK(s.read(name(1)).error().code() == errc::corrupt);
    CHECK(files() == 1);
    const auto damaged = s.get(name(1));
    REQUIRE_FALSE(damaged);
    CHECK(damaged.error().code() == errc::corrupt);
    CHECK(damaged.error().context().find(name(1).hex()) != std::string::npos);
    CHECK(s.get(name(1)).error().code() == errc::not_found);
}

TEST_CASE_FIXTURE(store_rig, "profile store: one of another format is as good as none") {
    auto s = store();
    auto bytes = profile(1).encode();
    bytes.span()[8] = std::byte{99};
    test::write_file(path_of(name(1)), std::string(as_text(bytes.span())));
    CHECK(s.read(name(1)).error().code() == errc::unsupported);
    CHECK(s.get(name(1)).error().code() == errc::not_found);
    CHECK(files() == 0);
}

TEST_CASE_FIXTURE(store_rig, "profile store: the longest unused go when there are too many") {
    const auto s = store({.bytes = 1 << 20, .files = 3});
    for (int i = 1; i <= 3; ++i) {
        REQUIRE(s.put(profile(i)));
        used_at(name(i), i);
    }
    s.mark_used(name(1));
    REQUIRE(s.put(profile(4)));
    CHECK(files() == 3);
    CHECK(s.get(name(1)).has_value());
    CHECK(s.get(name(2)).error().code() == errc::not_found);
}

TEST_CASE_FIXTURE(store_rig, "profile store: or too large, but never the one just learned") {
    const auto s = store({.bytes = 5000, .files = 100});
    REQUIRE(s.put(profile(1, 100)));
    REQUIRE(s.put(profile(2, 100)));
    used_at(name(1), 1);
    used_at(name(2), 2);
    REQUIRE(s.put(profile(3, 8000)));
    CHECK(files() == 1);
    CHECK(s.get(name(3)).has_value());
}

TEST_CASE_FIXTURE(store_rig, "profile store: a start is added to what was known, or to nothing") {
    const auto s = store();
    const std::vector<first_read> seen{{700, 1}};
    const auto learn = [&seen](read_profile& p) { p.learn(seen, "image"); };
    for (std::uint32_t starts = 1; starts <= 2; ++starts) {
        REQUIRE(s.update(name(1), name(9), learn));
        const auto p = s.get(name(1)).value();
        CHECK(p.starts() == starts);
        CHECK(p.blob() == name(9));
        CHECK(p.reads().size() == 1);
    }
    test::write_file(path_of(name(1)), "damaged");
    REQUIRE(s.update(name(1), name(9), learn));
    CHECK(s.get(name(1)).value().starts() == 1);
}

} // namespace firstlight
