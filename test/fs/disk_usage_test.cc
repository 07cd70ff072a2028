#include "fs/disk_usage.h"
#include "test/temporary_directory.h"

#include <doctest/doctest.h>

#include <sys/stat.h>

using namespace firstlight;
namespace fs = std::filesystem;

namespace {

std::int64_t allocated(const std::string& path) {
    struct stat st{};
    REQUIRE(::lstat(path.c_str(), &st) == 0);
    return st.st_blocks * 512;
}

} // namespace

TEST_CASE("usage counts allocated blocks, each inode once, and does not follow links") {
    const test::temporary_directory dir;
    fs::create_directories(dir / "root/a/b");
    fs::create_directories(dir / "elsewhere");
    test::write_file(dir / "elsewhere/big", std::string(1 << 20, 'x'));
    test::write_file(dir / "root/a/file", std::string(100'000, 'x'));
    fs::create_hard_link(dir / "root/a/file", dir / "root/a/b/same");
    fs::create_directory_symlink(dir / "elsewhere", dir / "root/a/link");
    test::write_file(dir / "root/sparse", "");
    fs::resize_file(dir / "root/sparse", 1 << 30);

    const auto use = measure_disk_use(dir / "root");
    REQUIRE(use.has_value());
    CHECK(use->inodes == 6); // root, a, b, file, link, sparse
    std::int64_t expected = 0;
    for (const auto* name : {"root", "root/a", "root/a/b", "root/a/file", "root/a/link"}) {
        expected += allocated(dir / name);
    }
    CHECK(use->size == expected + allocated(dir / "root/sparse"));
    CHECK(use->size < 1 << 20);
}

TEST_CASE("usage of a missing tree is not found, of a link no directory") {
    const test::temporary_directory dir;
    CHECK(measure_disk_use(dir / "none").error().code() == errc::not_found);
    fs::create_directory_symlink("/", dir / "link");
    CHECK(measure_disk_use(dir / "link").error().code() == errc::io_error);
}
