#include "net/image_reference.h"

#include "net/url.h"

#include <algorithm>

namespace firstlight {

namespace {

constexpr std::size_t longest_repository = 255;
constexpr std::size_t longest_tag = 128;

bool lower_or_digit(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool word(char c) noexcept {
    return lower_or_digit(c) || (c >= 'A' && c <= 'Z') || c == '_';
}

// path-component := alphanumeric (separator alphanumeric)*, where a separator is
// one '.', one or two '_', or any number of '-'.
bool is_component(std::string_view text) noexcept {
    if (text.empty() || !lower_or_digit(text.front()) || !lower_or_digit(text.back())) {
        return false;
    }
    for (std::size_t i = 0; i < text.size();) {
        const auto end = std::min(text.find_first_not_of("._-", i), text.size());
        const auto between = text.substr(i, end - i);
        const bool dashes = between.find_first_not_of('-') == between.npos;
        if (!dashes && between != "." && between != "_" && between != "__") {
            return false;
        }
        if (end < text.size() && !lower_or_digit(text[end])) {
            return false;
        }
        i = end + 1;
    }
    return true;
}

bool is_tag(std::string_view text) noexcept {
    const auto allowed = [](char c) { return word(c) || c == '.' || c == '-'; };
    return !text.empty() && text.size() <= longest_tag && word(text.front()) &&
           std::all_of(text.begin(), text.end(), allowed);
}

// Docker's rule: the first component is a host if it could not be a name.
bool looks_like_host(std::string_view first) noexcept {
    const auto upper = [](char c) { return c >= 'A' && c <= 'Z'; };
    return first.find_first_of(".:") != first.npos || first == "localhost" ||
           std::any_of(first.begin(), first.end(), upper);
}

} // namespace

std::string host_of(const std::string& registry) {
    return registry == "docker.io" ? "registry-1.docker.io" : registry;
}

bool is_repository(std::string_view text) noexcept {
    if (text.empty() || text.size() > longest_repository) {
        return false;
    }
    for (std::size_t begin = 0; begin <= text.size();) {
        const auto end = std::min(text.find('/', begin), text.size());
        if (!is_component(text.substr(begin, end - begin))) {
            return false;
        }
        begin = end + 1;
    }
    return true;
}

result<image_reference> image_reference::parse(std::string_view text) {
    const auto refuse = [&](std::string_view why) {
        // The start alone: it may be anything, of any length.
        return fault(
          errc::invalid_argument, "not an image reference (" + std::string(why) +
                                    "): " + std::string(text.substr(0, longest_repository)));
    };
    image_reference parsed;
    auto rest = text;
    if (const auto at = rest.find('@'); at != rest.npos) {
        parsed.digest_ = rest.substr(at + 1);
        rest = rest.substr(0, at);
        if (!digest::parse(parsed.digest_)) {
            return refuse("digest");
        }
    }
    if (const auto colon = rest.rfind(':');
        colon != rest.npos && rest.find('/', colon) == rest.npos) {
        parsed.tag_ = rest.substr(colon + 1);
        rest = rest.substr(0, colon);
        if (!is_tag(parsed.tag_)) {
            return refuse("tag");
        }
    }
    const auto slash = rest.find('/');
    if (slash != rest.npos && looks_like_host(rest.substr(0, slash))) {
        parsed.registry_ = rest.substr(0, slash);
        rest = rest.substr(slash + 1);
    }
    if (parsed.registry_.empty() || parsed.registry_ == "index.docker.io") {
        parsed.registry_ = "docker.io";
    }
    if (!split_host(parsed.registry_)) {
        return refuse("host");
    }
    parsed.repository_ = rest;
    if (parsed.registry_ == "docker.io" && rest.find('/') == rest.npos) {
        parsed.repository_.insert(0, "library/");
    }
    if (!is_repository(parsed.repository_)) {
        return refuse("repository");
    }
    return parsed;
}

} // namespace firstlight
