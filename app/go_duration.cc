#include "app/go_duration.h"

#include <array>
#include <charconv>
#include <cmath>
#include <utility>

namespace firstlight {

namespace {

constexpr double longest_ms = 366.0 * 24 * 3600 * 1000;

// Longer names before those they begin with. Micro may be written as either sign of it.
constexpr std::array<std::pair<std::string_view, double>, 8> units{{
  {"ns", 1e-6},
  {"us", 1e-3},
  {"\xc2\xb5s", 1e-3},
  {"\xce\xbcs", 1e-3},
  {"ms", 1},
  {"s", 1e3},
  {"m", 60e3},
  {"h", 3600e3},
}};

// Cuts a number off; digits on at least one side of the point.
std::optional<double> take_number(std::string_view& text) {
    const auto length = std::min(text.find_first_not_of("0123456789."), text.size());
    const auto digits = text.substr(0, length);
    double number = 0;
    const auto [end, failed] = std::from_chars(
      digits.data(), digits.data() + digits.size(), number, std::chars_format::fixed);
    if (failed != std::errc() || end != digits.data() + digits.size()) {
        return std::nullopt;
    }
    text.remove_prefix(length);
    return number;
}

std::optional<double> take_unit(std::string_view& text) {
    for (const auto& [name, milliseconds] : units) {
        if (text.starts_with(name)) {
            text.remove_prefix(name.size());
            return milliseconds;
        }
    }
    return std::nullopt;
}

} // namespace

std::optional<std::chrono::milliseconds> parse_go_duration(std::string_view text) {
    if (text.starts_with('+')) {
        text.remove_prefix(1);
    }
    if (text == "0") {
        return std::chrono::milliseconds(0);
    }
    if (text.empty()) {
        return std::nullopt;
    }
    double sum = 0;
    while (!text.empty()) {
        const auto number = take_number(text);
        const auto unit = number ? take_unit(text) : std::nullopt;
        if (!unit) {
            return std::nullopt;
        }
        sum += *number * *unit;
    }
    if (sum > longest_ms) {
        return std::nullopt;
    }
    return std::chrono::milliseconds(static_cast<std::int64_t>(std::ceil(sum)));
}

} // namespace firstlight
