#include "app/toml_document.h"

// The only user of toml11. It compiles with 3.7 (Debian 12) and 4.x (Debian 13),
// which differ in how they say where something stands.
#include <toml.hpp>

#include <algorithm>
#include <array>
#include <sstream>

namespace firstlight {

namespace {

// toml11 descends the stack by one frame group a bracket.
constexpr int deepest = 100;

template <class Location>
unsigned line_of(const Location& where) {
    if constexpr (requires { where.first_line_number(); }) {
        return static_cast<unsigned>(where.first_line_number()); // 4.x
    } else {
        return static_cast<unsigned>(where.line()); // 3.x
    }
}

template <class Location>
unsigned column_of(const Location& where) {
    if constexpr (requires { where.first_column_number(); }) {
        return static_cast<unsigned>(where.first_column_number()); // 4.x
    } else {
        return static_cast<unsigned>(where.column()); // 3.x
    }
}

template <class Error>
unsigned line_of_error(const Error& e) {
    if constexpr (requires { e.errors(); }) { // 4.x
        if (e.errors().empty() || e.errors().front().locations().empty()) {
            return 0;
        }
        return line_of(e.errors().front().locations().front().first);
    } else {
        return line_of(e.location());
    }
}

// toml11 draws a picture of the place below the first line.
std::string first_line(std::string_view what) {
    constexpr std::string_view mark = "[error] ";
    if (what.starts_with(mark)) {
        what.remove_prefix(mark.size());
    }
    return std::string(what.substr(0, what.find('\n')));
}

// Whether `second` may follow `lead`: no overlong form, no surrogate, nothing beyond U+10FFFF.
bool follows(unsigned char lead, unsigned char second) {
    switch (lead) {
    case 0xe0:
        return second >= 0xa0;
    case 0xed:
        return second <= 0x9f;
    case 0xf0:
        return second >= 0x90;
    case 0xf4:
        return second <= 0x8f;
    default:
        return true;
    }
}

// Bytes of the UTF-8 sequence that begins `text`; 0 if it is none. RFC 3629, section 4.
std::size_t sequence_length(std::string_view text) {
    const auto lead = static_cast<unsigned char>(text[0]);
    std::size_t length = 0;
    if (lead < 0x80) {
        length = 1;
    } else if (lead >= 0xc2 && lead < 0xe0) {
        length = 2;
    } else if (lead >= 0xe0 && lead < 0xf0) {
        length = 3;
    } else if (lead >= 0xf0 && lead < 0xf5) {
        length = 4;
    }
    const auto tail = text.substr(1, length == 0 ? 0 : length - 1);
    const bool whole = tail.size() + 1 == length && std::ranges::all_of(tail, [](unsigned char c) {
                           return (c & 0xc0) == 0x80;
                       });
    const bool fits = tail.empty() || follows(lead, static_cast<unsigned char>(tail[0]));
    return whole && fits ? length : 0;
}

// The line of the first byte that no TOML document may hold, 0 if there is none.
// toml11 3.7 reads past the end of its buffer while it complains about such bytes.
unsigned line_of_bad_byte(std::string_view text) {
    unsigned line = 1;
    while (!text.empty()) {
        const auto c = static_cast<unsigned char>(text[0]);
        const auto length = sequence_length(text);
        if (length == 0 || (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f) {
            return line;
        }
        line += c == '\n' ? 1 : 0;
        text.remove_prefix(length);
    }
    return 0;
}

// Brackets in strings and comments count too: no document of ours has that many.
bool too_deep(std::string_view text) {
    int depth = 0;
    for (const char c : text) {
        if (c == '[' || c == '{') {
            ++depth;
        } else if (c == ']' || c == '}') {
            depth = std::max(0, depth - 1);
        }
        if (depth > deepest) {
            return true;
        }
    }
    return false;
}

toml_node convert(const toml::value& v);

toml_table convert_table(const toml::value& v) {
    toml_table all;
    for (const auto& [key, value] : v.as_table()) {
        all.push_back(toml_entry{key, convert(value)});
    }
    std::ranges::sort(all, {}, &toml_entry::key);
    return all;
}

toml_array convert_array(const toml::value& v) {
    toml_array all;
    for (const auto& value : v.as_array()) {
        all.push_back(convert(value));
    }
    return all;
}

toml_node convert(const toml::value& v) {
    toml_node n;
    n.line = line_of(v.location());
    n.column = column_of(v.location());
    if (v.is_boolean()) {
        n.value = v.as_boolean();
    } else if (v.is_integer()) {
        n.value = static_cast<std::int64_t>(v.as_integer());
    } else if (v.is_floating()) {
        n.value = static_cast<double>(v.as_floating());
    } else if (v.is_string()) {
        n.value = toml::get<std::string>(v);
    } else if (v.is_array()) {
        n.value = convert_array(v);
    } else if (v.is_table()) {
        n.value = convert_table(v);
    }
    return n;
}

fault syntax(const std::string& file, unsigned line, std::string_view what) {
    return fault(
      errc::invalid_argument,
      file + ":" + std::to_string(std::max(1U, line)) + ": " + first_line(what));
}

} // namespace

namespace {

using place = std::pair<unsigned, unsigned>;

// A table whose subtable is named before it stands where it is named itself.
place first_mention(const toml_node& n) {
    place first(n.line, n.column);
    if (const auto* table = std::get_if<toml_table>(&n.value)) {
        for (const auto& each : *table) {
            first = std::min(first, first_mention(each.node));
        }
    }
    return first;
}

} // namespace

std::vector<const toml_entry*> in_file_order(const toml_table& table) {
    std::vector<std::pair<place, const toml_entry*>> placed;
    for (const auto& each : table) {
        placed.emplace_back(first_mention(each.node), &each);
    }
    std::ranges::stable_sort(placed, {}, [](const auto& each) { return each.first; });
    std::vector<const toml_entry*> order;
    for (const auto& each : placed) {
        order.push_back(each.second);
    }
    return order;
}

std::string_view toml_node::kind() const noexcept {
    static constexpr std::array<std::string_view, 7> names{
      "a date or time", "a boolean", "an integer", "a floating-point number",
      "a string",       "an array",  "a table"};
    return names[value.index()];
}

result<toml_table> parse_toml(std::string_view text, const std::string& file) {
    if (const auto line = line_of_bad_byte(text)) {
        return syntax(file, line, "expected UTF-8 without control characters");
    }
    if (too_deep(text)) {
        return syntax(file, 1, "values nested too deep");
    }
    try {
        std::istringstream in{std::string(text)};
        return convert_table(toml::parse(in, file));
    } catch (const toml::syntax_error& e) {
        return syntax(file, line_of_error(e), e.what());
    } catch (const std::exception& e) { // numbers out of range, broken UTF-8
        return syntax(file, 1, e.what());
    }
}

} // namespace firstlight
