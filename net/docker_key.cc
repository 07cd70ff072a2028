#include "net/docker_key.h"

#include <algorithm>

namespace firstlight {

namespace {

std::string_view without_scheme(std::string_view key) noexcept {
    const auto scheme = key.find("://");
    return scheme == key.npos ? key : key.substr(scheme + 3);
}

// "/v1/team/" → "team"
std::string_view repository_of(std::string_view path) noexcept {
    for (const std::string_view api : {"/v1", "/v2"}) {
        if (path == api || (path.starts_with(api) && path.substr(api.size()).starts_with('/'))) {
            path.remove_prefix(api.size());
            break;
        }
    }
    while (path.starts_with('/')) {
        path.remove_prefix(1);
    }
    while (path.ends_with('/')) {
        path.remove_suffix(1);
    }
    return path;
}

bool begins(std::string_view repository, std::string_view path) noexcept {
    return path.empty() || repository == path ||
           (repository.starts_with(path) && repository[path.size()] == '/');
}

// The one star that may still take more characters is the last one met.
bool fits(std::string_view pattern, std::string_view text) noexcept {
    std::size_t p = 0, t = 0, star = pattern.npos, resume = 0;
    while (t < text.size()) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            resume = t;
        } else if (p < pattern.size() && pattern[p] == text[t]) {
            ++p;
            ++t;
        } else if (star != pattern.npos && text[resume] != '.') {
            p = star + 1;
            t = ++resume;
        } else {
            return false;
        }
    }
    return pattern.find_first_not_of('*', p) == pattern.npos;
}

} // namespace

bool is_docker_hub(std::string_view host) noexcept {
    return host == "docker.io" || host == "index.docker.io" || host == "registry-1.docker.io";
}

std::size_t docker_key_rank(std::string_view key, const credential_query& what) noexcept {
    const auto whole = without_scheme(key);
    const auto slash = std::min(whole.find('/'), whole.size());
    const auto host = whole.substr(0, slash);
    const auto path = repository_of(whole.substr(slash));
    const bool same = host == what.host() || (is_docker_hub(host) && is_docker_hub(what.host()));
    const bool like = host.find('*') != host.npos && fits(host, what.host());
    if (host.empty() || (!same && !like) || !begins(what.repository(), path)) {
        return 0;
    }
    return 2 * path.size() + (same ? 2 : 1);
}

} // namespace firstlight
