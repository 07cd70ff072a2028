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

std::string_view toml_node::kind() const noexcept {
    static constexpr std::array<std::string_view, 7> names{
      "a date or time", "a boolean", "an integer", "a floating-point number",
      "a string",       "an array",  "a table"};
    return names[value.index()];
}

result<toml_table> parse_toml(std::string_view text, const std::string& file) {
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
