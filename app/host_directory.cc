#include "app/host_directory.h"

#include "app/hosts_file.h"
#include "net/small_file.h"
#include "net/url.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>

namespace firstlight {

namespace {

using kind = file_stamps::kind;

std::vector<std::string> directories_of(const std::string& root, const std::string& registry) {
    std::vector<std::string> all;
    if (const auto colon = registry.rfind(':'); colon != registry.npos && colon > 0) {
        all.push_back(
          root + "/" + registry.substr(0, colon) + "_" + registry.substr(colon + 1) + "_");
    }
    all.push_back(root + "/" + registry);
    all.push_back(root + "/_default");
    return all;
}

// It becomes part of a path.
bool safe(const std::string& registry) {
    return split_host(registry) && registry.find_first_not_of('.') != registry.npos;
}

void find_directory(
  host_directory& to, const std::vector<std::string>& roots, const std::string& registry) {
    for (const auto& root : roots) {
        for (const auto& path : directories_of(root, registry)) {
            const auto is = to.stamps.note(path);
            if (is == kind::unknown) {
                to.bad = errno_fault(errno, path);
                return;
            }
            if (is == kind::directory) {
                to.path = path;
                return;
            }
        }
    }
}

// Names ending so, in order.
result<std::vector<std::string>> files_in(const std::string& directory) {
    std::vector<std::string> names;
    std::error_code failed;
    std::filesystem::directory_iterator each(directory, failed);
    for (; !failed && each != std::filesystem::directory_iterator(); each.increment(failed)) {
        names.push_back(each->path().filename().string());
    }
    if (failed) {
        return errno_fault(failed.value(), directory);
    }
    std::ranges::sort(names);
    return names;
}

result<tls_files> docker_files(host_directory& to) {
    tls_files files;
    const auto names = files_in(to.path);
    if (!names) {
        return names.error();
    }
    for (const auto& name : *names) {
        const auto path = to.path + "/" + name;
        if (name.ends_with(".crt") && to.stamps.note(path) == kind::file) {
            files.authorities.push_back(path);
        }
        if (name.ends_with(".cert") && to.stamps.note(path) == kind::file) {
            const auto key = path.substr(0, path.size() - 5) + ".key";
            const bool apart = to.stamps.note(key) == kind::file;
            files.clients.push_back({path, apart ? key : ""});
        }
    }
    return files;
}

void note(file_stamps& stamps, const tls_files& files) {
    for (const auto& path : files.authorities) {
        stamps.note(path);
    }
    for (const auto& each : files.clients) {
        stamps.note(each.certificate);
        if (!each.key.empty()) { // else it is in the same file
            stamps.note(each.key);
        }
    }
}

result<void> add(host_directory& to, registry_endpoint settings) {
    note(to.stamps, settings.tls);
    auto material = tls_material::read(settings.tls);
    if (!material) {
        return material.error();
    }
    to.hosts.push_back({std::move(settings), std::move(*material)});
    return {};
}

result<void> read_docker_layout(host_directory& to, const std::string& registry) {
    auto files = docker_files(to);
    if (!files) {
        return files.error();
    }
    return add(to, registry_itself(registry, std::move(*files)));
}

result<void>
read_hosts_file(host_directory& to, const std::string& file, const std::string& registry) {
    const auto text = read_small_file(file);
    if (!text) {
        return text.error();
    }
    if (text->empty()) {
        return read_docker_layout(to, registry);
    }
    auto parsed = parse_hosts_file(*text, file, registry);
    if (!parsed) {
        return parsed.error();
    }
    to.warnings = std::move(parsed->warnings);
    for (auto& each : parsed->hosts) {
        if (auto added = add(to, std::move(each)); !added) {
            return added.error().in(file);
        }
    }
    if (to.hosts.empty()) {
        return fault(errc::failed_precondition, file + ": no host has the capability \"pull\"");
    }
    return {};
}

} // namespace

host_directory
read_host_directory(const std::vector<std::string>& roots, const std::string& registry) {
    host_directory to;
    if (!safe(registry)) {
        return to;
    }
    find_directory(to, roots, registry);
    if (to.path.empty()) {
        return to;
    }
    const auto file = to.path + "/hosts.toml";
    const bool there = to.stamps.note(file) != kind::nothing;
    auto read = there ? read_hosts_file(to, file, registry) : read_docker_layout(to, registry);
    if (!read) {
        to.bad = read.error();
    }
    return to;
}

} // namespace firstlight
