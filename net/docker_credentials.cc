#include "net/docker_credentials.h"

#include "net/auth_documents.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>

namespace firstlight {

namespace {

constexpr std::size_t largest_file = 1 << 20;

struct file_closer {
    void operator()(std::FILE* f) const noexcept { std::fclose(f); }
};

// not_found if there is no such file.
result<std::string> read_file(const std::string& path) {
    const std::unique_ptr<std::FILE, file_closer> file(std::fopen(path.c_str(), "re"));
    if (!file) {
        return errno_fault(errno, path);
    }
    std::string text(largest_file + 1, '\0');
    text.resize(std::fread(text.data(), 1, text.size(), file.get()));
    if (std::ferror(file.get())) {
        return errno_fault(EIO, path);
    }
    if (text.size() > largest_file) {
        return fault(errc::invalid_argument, path + ": larger than 1 MiB");
    }
    return text;
}

result<std::optional<credentials>> look_up(const std::string& path, const std::string& host) {
    auto text = read_file(path);
    if (!text && text.error().code() == errc::not_found) {
        return std::optional<credentials>();
    }
    if (!text) {
        return text.error();
    }
    auto found = find_docker_credentials(*text, host);
    if (!found) {
        return found.error().in(path);
    }
    return found;
}

std::string from_environment(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

} // namespace

docker_credentials::docker_credentials(worker_pool& pool, std::string path)
  : pool_(pool)
  , path_(std::move(path)) {
}

std::string docker_credentials::default_path() {
    const auto folder = from_environment("DOCKER_CONFIG");
    if (!folder.empty()) {
        return folder + "/config.json";
    }
    return from_environment("HOME") + "/.docker/config.json";
}

task<result<std::optional<credentials>>> docker_credentials::find(std::string host) {
    auto work = [path = path_, host] { return look_up(path, host); };
    co_return co_await pool_.run(lane::demand, std::move(work));
}

task<result<std::optional<credentials>>> no_credentials::find(std::string) {
    co_return std::optional<credentials>();
}

} // namespace firstlight
