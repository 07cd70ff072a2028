#pragma once

#include "actors/result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace firstlight {

enum class filter_operator : std::uint8_t { present, equal, not_equal, matches };

/// One condition of a filter: what the field at `path` must be.
struct filter_selector {
    std::vector<std::string> path; // never empty
    filter_operator op = filter_operator::present;
    std::string value;
};

/// Reads one filter; the grammar stands at snapshot_filter. The empty filter has no
/// selector. Pure, linear in the length. invalid_argument, showing the place.
result<std::vector<filter_selector>> parse_filter(std::string_view text);

} // namespace firstlight
