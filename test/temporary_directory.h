#pragma once
// A directory that lives as long as its test.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

namespace firstlight::test {

inline void write_file(const std::string& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
}

class temporary_directory {
public:
    temporary_directory() {
        std::string path = (std::filesystem::temp_directory_path() / "firstlight-XXXXXX").string();
        if (::mkdtemp(path.data()) == nullptr) {
            throw std::runtime_error("mkdtemp " + path);
        }
        path_ = path;
    }
    ~temporary_directory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    temporary_directory(const temporary_directory&) = delete;
    temporary_directory& operator=(const temporary_directory&) = delete;

    const std::string& path() const noexcept { return path_; }
    std::string operator/(const std::string& name) const { return path_ + '/' + name; }
    /// A file in it, in directories that are made where they are not there. Its path.
    std::string write(const std::string& name, const std::string& text) const {
        const auto file = *this / name;
        std::filesystem::create_directories(std::filesystem::path(file).parent_path());
        write_file(file, text);
        return file;
    }

private:
    std::string path_;
};

} // namespace firstlight::test
