#include "fs/layer.h"

#include <vector>

namespace firstlight {

namespace {

std::string_view name_in(const index& toc, entry_id directory, entry_id e) {
    for (std::uint32_t i = 0; i < toc.child_count(directory); ++i) {
        const auto child = toc.child(directory, i);
        if (child.id == e) {
            return child.name;
        }
    }
    return "?";
}

} // namespace

std::string layer::path_of(entry_id e) const {
    std::string path;
    while (e != 0 && index_->contains(e)) {
        const auto directory = index_->parent(e);
        path = "/" + std::string(name_in(*index_, directory, e)) + path;
        e = directory;
    }
    return path.empty() ? "/" : path;
}

} // namespace firstlight
