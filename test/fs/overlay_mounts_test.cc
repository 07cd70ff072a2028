#include "fs/overlay_mounts.h"
#include "fs/overlay_probe.h"
#include "test/temporary_directory.h"

#include <doctest/doctest.h>

#include <unistd.h>

using namespace firstlight;

namespace {

using options = std::vector<std::string>;

std::vector<mount_spec>
mounts(snapshot_kind kind, std::vector<std::string> lowers, overlay_options o = {}) {
    return overlay_mounts(kind, "/r/snapshots/9", lowers, o);
}

} // namespace

TEST_CASE("without a parent the own tree is bound") {
    CHECK(
      mounts(snapshot_kind::active, {}) ==
      std::vector{mount_spec{"bind", "/r/snapshots/9/fs", {"rw", "rbind"}}});
    CHECK(
      mounts(snapshot_kind::view, {}) ==
      std::vector{mount_spec{"bind", "/r/snapshots/9/fs", {"ro", "rbind"}}});
}

TEST_CASE("a view of one parent binds the parent, lazy or not") {
    CHECK(
      mounts(snapshot_kind::view, {"/r/m/3"}, {true, true}) ==
      std::vector{mount_spec{"bind", "/r/m/3", {"ro", "rbind"}}});
}

TEST_CASE("an overlay's options stand in a fixed order, the nearest parent first") {
    const options active{
      "workdir=/r/snapshots/9/work", "upperdir=/r/snapshots/9/fs",
      "lowerdir=/r/m/3:/r/snapshots/1/fs"};
    CHECK(
      mounts(snapshot_kind::active, {"/r/m/3", "/r/snapshots/1/fs"}) ==
      std::vector{mount_spec{"overlay", "overlay", active}});
    auto more = active;
    more.push_back("userxattr");
    more.push_back("index=off");
    CHECK(
      mounts(snapshot_kind::active, {"/r/m/3", "/r/snapshots/1/fs"}, {true, true}) ==
      std::vector{mount_spec{"overlay", "overlay", more}});
    CHECK(
      mounts(snapshot_kind::active, {"/r/m/3"})[0].options ==
      options{"workdir=/r/snapshots/9/work", "upperdir=/r/snapshots/9/fs", "lowerdir=/r/m/3"});
    CHECK(
      mounts(snapshot_kind::view, {"/r/m/3", "/r/m/2"}) ==
      std::vector{mount_spec{"overlay", "overlay", {"lowerdir=/r/m/3:/r/m/2"}}});
}

TEST_CASE("a root that overlay options cannot name is refused") {
    const test::temporary_directory dir;
    for (const auto* name : {"a,b", "a:b", "a\\b"}) {
        CHECK(probe_overlay(dir / name).error().code() == errc::invalid_argument);
    }
}

TEST_CASE("the probe leaves nothing behind, whether overlayfs works or not") {
    const test::temporary_directory dir;
    const auto found = probe_overlay(dir / "root");
    if (!found) {
        CHECK(found.error().code() == errc::unsupported);
        CHECK(found.error().context().find(dir / "root") != std::string::npos);
    }
    CHECK(std::filesystem::is_empty(dir / "root"));
}
