#include "app/header_table.h"

#include <algorithm>
#include <cctype>

namespace firstlight {

namespace {

bool is_value(std::string_view text) { // RFC 9110, section 5.5
    return std::ranges::none_of(
      text, [](unsigned char c) { return (c < 0x20 && c != '\t') || c == 0x7f; });
}

bool is_name(std::string_view text) { // RFC 9110, section 5.1: a token
    constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
    return !text.empty() && std::ranges::all_of(text, [&](unsigned char c) {
        return std::isalnum(c) != 0 || marks.find(static_cast<char>(c)) != marks.npos;
    });
}

} // namespace

std::vector<std::pair<std::string, std::string>> read_header_table(config_section& host) {
    std::vector<std::pair<std::string, std::string>> all;
    const auto& entries = host.table("header");
    config_section header(entries, host.full_name("header"), host.findings());
    for (const auto& [name, node] : entries) {
        for (auto& value : header.text_or_texts(name)) {
            if (!is_name(name) || !is_value(value)) {
                header.fail(name, "expected an HTTP header, without control characters");
            }
            all.emplace_back(name, std::move(value));
        }
    }
    return all;
}

} // namespace firstlight
