#pragma once

#include "actors/result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace firstlight {

struct toml_entry;
struct toml_node;

using toml_array = std::vector<toml_node>;
using toml_table = std::vector<toml_entry>; // by key

/// One value of a TOML document, and the line it stands on. Plain, so that only
/// one file knows the library that parses.
struct toml_node {
    struct other {}; // dates and times, which no key of ours takes
    std::variant<other, bool, std::int64_t, double, std::string, toml_array, toml_table> value;
    unsigned line = 0;
    unsigned column = 0; // of its key where the table has no header line of its own

    /// "a boolean", "an integer", … for messages.
    std::string_view kind() const noexcept;
};

struct toml_entry {
    std::string key;
    toml_node node;
};

/// The entries of `table` as their first mention in the document, be it that of something
/// in them, comes before another's. A table itself has no order.
std::vector<const toml_entry*> in_file_order(const toml_table& table);

/// Parses a TOML document. Errors: invalid_argument, "FILE:LINE: what is wrong",
/// also for values nested more than 100 deep.
result<toml_table> parse_toml(std::string_view text, const std::string& file);

} // namespace firstlight
