#include "fs/remove_tree.h"
#include "test/temporary_directory.h"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace firstlight;
namespace fs = std::filesystem;

namespace {

// A tree too deep for any path, made as a container would.
void dig(const std::string& top, int depth) {
    fs::create_directory(top);
    int at = ::open(top.c_str(), O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < depth; ++i) {
        REQUIRE(::mkdirat(at, "down", 0755) == 0);
        const int below = ::openat(at, "down", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
        ::close(at);
        at = below;
    }
    ::close(at);
}

} // namespace

TEST_CASE("a tree with files, links and odd names is deleted, and nothing outside it") {
    const test::temporary_directory dir;
    fs::create_directories(dir / "tree/a/b/c");
    fs::create_directories(dir / "outside");
    test::write_file(dir / "outside/kept", "x");
    test::write_file(dir / "tree/a/file", "x");
    test::write_file(dir / "tree/removing-0", "a name that the deletion uses itself");
    fs::create_symlink(dir / "outside", dir / "tree/a/link");
    fs::create_symlink("nowhere", dir / "tree/dangling");
    CHECK(remove_tree(dir / "tree").has_value());
    CHECK_FALSE(fs::exists(dir / "tree"));
    CHECK(fs::exists(dir / "outside/kept"));
}

TEST_CASE("deleting nothing, a file and a symbolic link") {
    const test::temporary_directory dir;
    CHECK(remove_tree(dir / "nothing").has_value());
    test::write_file(dir / "file", "x");
    CHECK(remove_tree(dir / "file").has_value());
    fs::create_directory(dir / "target");
    fs::create_directory_symlink(dir / "target", dir / "link");
    CHECK(remove_tree(dir / "link").has_value());
    CHECK(fs::exists(dir / "target"));
    CHECK_FALSE(fs::is_symlink(dir / "link"));
}

TEST_CASE("a tree deeper than there are descriptors is deleted") {
    const test::temporary_directory dir;
    dig(dir / "deep", 3000);
    rlimit before{};
    ::getrlimit(RLIMIT_NOFILE, &before);
    rlimit few = before;
    few.rlim_cur = 200;
    ::setrlimit(RLIMIT_NOFILE, &few);
    const auto removed = remove_tree(dir / "deep");
    ::setrlimit(RLIMIT_NOFILE, &before);
    REQUIRE_MESSAGE(removed.has_value(), removed.error().context());
    CHECK_FALSE(fs::exists(dir / "deep"));
}

TEST_CASE("what cannot be deleted is named") {
    const auto removed = remove_tree("/proc/self/fd");
    REQUIRE(removed.has_error());
    CHECK(removed.error().context().find("/proc/self/fd") != std::string::npos);
}
