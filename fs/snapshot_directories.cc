#include "fs/snapshot_directories.h"

#include "actors/log.h"
#include "fs/remove_tree.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <memory>
#include <string_view>

namespace firstlight {

namespace {

constexpr std::string_view aside_prefix = "removed-";

// The mode as given, whatever the umask.
result<void> make(const std::string& path, mode_t mode) {
    if (::mkdir(path.c_str(), mode) != 0 || ::chmod(path.c_str(), mode) != 0) {
        return errno_fault(errno, "cannot make " + path);
    }
    return {};
}

result<void>
fill(const std::string& directory, snapshot_kind kind, const std::optional<tree_owner>& owner) {
    const auto tree = directory + "/fs";
    if (auto made = make(tree, 0755); !made) {
        return made;
    }
    if (owner && ::lchown(tree.c_str(), owner->uid, owner->gid) != 0) {
        return errno_fault(errno, "cannot give " + tree + " its parent's owner");
    }
    if (kind == snapshot_kind::active) {
        return make(directory + "/work", 0711);
    }
    return {};
}

result<std::vector<std::string>> names_in(const std::string& directory) {
    const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(directory.c_str()), ::closedir);
    if (!dir) {
        return errno_fault(errno, "cannot read " + directory);
    }
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(dir.get())) {
        const std::string_view name = entry->d_name;
        if (name != "." && name != "..") {
            names.emplace_back(name);
        }
        errno = 0;
    }
    if (errno != 0) {
        return errno_fault(errno, "cannot read " + directory);
    }
    return names;
}

std::optional<std::int64_t> id_in(const std::string& name) {
    std::int64_t id = 0;
    const auto* end = name.data() + name.size();
    const auto [stopped, failed] = std::from_chars(name.data(), end, id);
    // Only the canonical spelling is a snapshot's.
    if (failed != std::errc() || stopped != end || std::to_string(id) != name) {
        return std::nullopt;
    }
    return id;
}

std::string aside_name(const std::string& name) {
    const auto now = std::chrono::system_clock::now().time_since_epoch().count();
    return std::string(aside_prefix) + name + '-' + std::to_string(now);
}

} // namespace

result<void> snapshot_directories::make_base() const {
    const auto root = std::filesystem::path(base_).parent_path();
    std::error_code failed;
    std::filesystem::create_directories(root.parent_path(), failed);
    for (const auto& path : {root.string(), base_}) {
        if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
            return errno_fault(errno, "cannot make " + path);
        }
    }
    return {};
}

result<void> snapshot_directories::add(
  std::int64_t id, snapshot_kind kind, const std::optional<tree_owner>& owner) const {
    std::string made = base_ + "/new-XXXXXX";
    if (::mkdtemp(made.data()) == nullptr) {
        return errno_fault(errno, "cannot make a directory in " + base_);
    }
    auto filled = fill(made, kind, owner);
    if (filled && ::rename(made.c_str(), directory_of(id).c_str()) != 0) {
        filled = errno_fault(errno, "cannot rename " + made + " to " + directory_of(id));
    }
    if (!filled) {
        if (auto removed = remove_tree(made); !removed) {
            log::warn("a temporary directory is left", {{"reason", removed.error().context()}});
        }
    }
    return filled;
}

result<tree_owner> snapshot_directories::owner_of(std::int64_t id) const {
    struct stat st{};
    if (::lstat(tree_of(id).c_str(), &st) != 0) {
        return errno_fault(errno, "cannot look at the parent's directory " + tree_of(id));
    }
    return tree_owner{st.st_uid, st.st_gid};
}

result<snapshot_directories::leftovers>
snapshot_directories::set_aside(const std::vector<std::int64_t>& live) const {
    const auto names = names_in(base_);
    if (!names) {
        return names.error();
    }
    leftovers found;
    std::vector<std::int64_t> present;
    for (const auto& name : *names) {
        const auto path = base_ + '/' + name;
        if (const auto id = id_in(name); id && std::binary_search(live.begin(), live.end(), *id)) {
            present.push_back(*id);
        } else if (name.starts_with(aside_prefix)) {
            found.paths.push_back(path);
        } else if (const auto to = base_ + '/' + aside_name(name);
                   ::rename(path.c_str(), to.c_str()) == 0) {
            found.paths.push_back(to);
        } else {
            const auto why = errno_fault(errno, "cannot set aside " + path);
            log::warn("a leftover directory stays", {{"reason", why.context()}});
        }
    }
    std::sort(present.begin(), present.end());
    std::set_difference(
      live.begin(), live.end(), present.begin(), present.end(), std::back_inserter(found.missing));
    return found;
}

} // namespace firstlight
