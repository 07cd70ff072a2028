#include "net/http_message.h"

#include <algorithm>

namespace firstlight {

namespace {

char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

} // namespace

bool same_name(std::string_view a, std::string_view b) noexcept {
    const auto equal = [](char x, char y) { return lower(x) == lower(y); };
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), equal);
}

bool http_request::has(std::string_view name) const noexcept {
    return std::ranges::any_of(
      fields_, [name](const auto& field) { return same_name(field.first, name); });
}

std::string_view http_head::find(std::string_view name) const noexcept {
    for (const auto& [key, value] : fields_) {
        if (same_name(key, name)) {
            return value;
        }
    }
    return {};
}

std::string http_head::join(std::string_view name) const {
    std::string all;
    for (const auto& [key, value] : fields_) {
        if (same_name(key, name)) {
            all += (all.empty() ? "" : ", ") + value;
        }
    }
    return all;
}

bool http_head::redirects() const noexcept {
    const bool code =
      status_ == 301 || status_ == 302 || status_ == 303 || status_ == 307 || status_ == 308;
    return code && !find("location").empty();
}

} // namespace firstlight
