#include "fs/overlay_mounts.h"

namespace firstlight {

namespace {

mount_spec bind_of(const std::string& tree, const char* access) {
    return {"bind", tree, {access, "rbind"}};
}

std::string joined(const std::vector<std::string>& lowers) {
    std::string text;
    for (const auto& lower : lowers) {
        if (!text.empty()) {
            text += ':';
        }
        text += lower;
    }
    return text;
}

} // namespace

std::vector<mount_spec> overlay_mounts(
  snapshot_kind kind, const std::string& directory, const std::vector<std::string>& lowers,
  overlay_options options) {
    const bool active = kind == snapshot_kind::active;
    if (lowers.empty()) {
        return {bind_of(directory + "/fs", active ? "rw" : "ro")};
    }
    if (!active && lowers.size() == 1) {
        return {bind_of(lowers[0], "ro")};
    }
    mount_spec overlay{"overlay", "overlay", {}};
    if (active) {
        overlay.options.push_back("workdir=" + directory + "/work");
        overlay.options.push_back("upperdir=" + directory + "/fs");
    }
    overlay.options.push_back("lowerdir=" + joined(lowers));
    if (options.userxattr) {
        overlay.options.push_back("userxattr");
    }
    if (options.index_off) {
        overlay.options.push_back("index=off");
    }
    return {overlay};
}

} // namespace firstlight
