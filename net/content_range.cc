#include "net/content_range.h"

#include <charconv>
#include <limits>

namespace firstlight {

namespace {

std::optional<std::uint64_t> take_number(std::string_view& text) noexcept {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || number == std::numeric_limits<std::uint64_t>::max()) {
        return std::nullopt;
    }
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return number;
}

bool take(std::string_view& text, char c) noexcept {
    if (text.empty() || text.front() != c) {
        return false;
    }
    text.remove_prefix(1);
    return true;
}

// Range units are compared without case, RFC 9110, section 14.1.
bool take_unit(std::string_view& text) noexcept {
    constexpr std::string_view unit = "bytes";
    if (text.size() < unit.size()) {
        return false;
    }
    for (std::size_t i = 0; i < unit.size(); ++i) {
        if ((text[i] | 0x20) != unit[i]) {
            return false;
        }
    }
    text.remove_prefix(unit.size());
    return true;
}

std::string_view trimmed(std::string_view text) noexcept {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) {
        text.remove_prefix(1);
    }
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) {
        text.remove_suffix(1);
    }
    return text;
}

} // namespace

std::optional<content_range> parse_content_range(std::string_view text) noexcept {
    text = trimmed(text);
    // Some servers write "bytes=0-1/2".
    if (!take_unit(text) || !(take(text, ' ') || take(text, '='))) {
        return std::nullopt;
    }
    text = trimmed(text);
    content_range parsed;
    if (!take(text, '*')) {
        const auto first = take_number(text);
        if (!first || !take(text, '-')) {
            return std::nullopt;
        }
        const auto last = take_number(text);
        if (!last || *last < *first) {
            return std::nullopt;
        }
        parsed.range.emplace(*first, *last + 1);
    }
    if (!take(text, '/')) {
        return std::nullopt;
    }
    if (!take(text, '*')) {
        parsed.size = take_number(text);
        if (!parsed.size || (parsed.range && parsed.range->end() > *parsed.size)) {
            return std::nullopt;
        }
    }
    if (!text.empty() || (!parsed.range && !parsed.size)) {
        return std::nullopt;
    }
    return parsed;
}

} // namespace firstlight
