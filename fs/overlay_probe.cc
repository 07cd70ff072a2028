#include "fs/overlay_probe.h"

#include "fs/remove_tree.h"

#include <dirent.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>

namespace firstlight {

namespace {

constexpr std::array<const char*, 5> names{"lower1", "lower2", "upper", "work", "merged"};

// The whole range of ids mapped to itself is the first namespace. Source:
// user_namespaces(7), /proc/PID/uid_map.
bool in_user_namespace() {
    std::ifstream map("/proc/self/uid_map");
    unsigned long inside = 0;
    unsigned long outside = 0;
    unsigned long count = 0;
    return (map >> inside >> outside >> count) &&
           !(inside == 0 && outside == 0 && count == 4294967295UL);
}

bool on_tmpfs(const std::string& path) {
    struct statfs st{};
    return ::statfs(path.c_str(), &st) == 0 && st.f_type == TMPFS_MAGIC;
}

// Known only once the module is loaded, which the trial mount does.
bool index_by_default() {
    std::ifstream parameter("/sys/module/overlay/parameters/index");
    char value = 'N';
    return (parameter >> value) && (value == 'Y' || value == '1');
}

result<std::string> make_trial(const std::string& root) {
    std::string path = root + "/overlay-probe-XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) {
        return errno_fault(errno, "cannot make a directory in " + root);
    }
    for (const char* name : names) {
        if (::mkdir((path + '/' + name).c_str(), 0755) != 0) {
            return errno_fault(errno, "cannot make a directory in " + path);
        }
    }
    return path;
}

// overlayfs needs d_type to tell whiteouts apart without a stat each.
bool tells_types(const std::string& directory) {
    const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(directory.c_str()), ::closedir);
    while (dir != nullptr) {
        const dirent* entry = ::readdir(dir.get());
        if (entry == nullptr) {
            break;
        }
        if (entry->d_type == DT_UNKNOWN) {
            return false;
        }
    }
    return true;
}

int try_mount(const std::string& trial, const char* more) {
    const std::string data = "lowerdir=" + trial + "/lower2:" + trial +
                             "/lower1,upperdir=" + trial + "/upper,workdir=" + trial + "/work" +
                             more;
    const auto merged = trial + "/merged";
    if (::mount("overlay", merged.c_str(), "overlay", 0, data.c_str()) != 0) {
        return errno;
    }
    if (::umount2(merged.c_str(), MNT_DETACH) != 0) {
        return errno;
    }
    return 0;
}

result<overlay_options> probe_in(const std::string& trial, const std::string& root) {
    if (!tells_types(trial)) {
        return fault(
          errc::unsupported,
          "the file system of " + root +
            " does not tell file types in directory entries (d_type), which overlayfs needs; "
            "on XFS, format it with ftype=1");
    }
    overlay_options found;
    const bool namespaced = in_user_namespace() && !on_tmpfs(root);
    found.userxattr = namespaced && try_mount(trial, ",userxattr") == 0;
    const int error = found.userxattr ? 0 : try_mount(trial, "");
    if (error != 0) {
        return fault(
          errc::unsupported,
          errno_fault(error, "overlayfs with two lower directories does not work in " + root)
            .context());
    }
    found.index_off = index_by_default();
    return found;
}

} // namespace

result<overlay_options> probe_overlay(const std::string& root) {
    if (root.find_first_of(",:\\") != root.npos) {
        return fault(
          errc::invalid_argument,
          "root " + root + ": commas, colons and backslashes have a meaning in overlay options");
    }
    std::error_code failed;
    std::filesystem::create_directories(std::filesystem::path(root).parent_path(), failed);
    if (::mkdir(root.c_str(), 0700) != 0 && errno != EEXIST) {
        return errno_fault(errno, "cannot make " + root);
    }
    const auto trial = make_trial(root);
    if (!trial) {
        return trial.error();
    }
    auto found = probe_in(*trial, root);
    if (auto removed = remove_tree(*trial); found && !removed) {
        return removed.error();
    }
    return found;
}

} // namespace firstlight
