#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace firstlight {

/// Notices that one of some files has changed, appeared or gone, by what stat(2) says of
/// each, symbolic links followed. Its calls block.
class file_stamps {
public:
    /// What there is at a path.
    enum class kind { nothing, file, directory, unknown };

    /// Remembers the present state of `path`. Call it before reading the file, so that a
    /// change meanwhile is noticed. unknown if it cannot be told; errno says why.
    kind note(const std::string& path);
    /// All are as they were when they were noted.
    bool hold() const;

private:
    struct stamp {
        int error = 0;
        bool directory = false;
        std::uint64_t device = 0, inode = 0, size = 0;
        std::int64_t modified_ns = 0, changed_ns = 0;
        friend bool operator==(const stamp&, const stamp&) = default;
    };
    static stamp look(const std::string& path);

    std::vector<std::pair<std::string, stamp>> noted_;
};

} // namespace firstlight
