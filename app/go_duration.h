#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace firstlight {

/// "1m30s", "1.5h", "250ms": a sum of decimal numbers with the units ns, us, ms, s, m and h,
/// rounded up to milliseconds; also "0". Nothing for anything else, what is negative, and
/// what is longer than a year.
///
/// Source: the documentation of Go's time.ParseDuration, whose form containerd's
/// configuration files use.
std::optional<std::chrono::milliseconds> parse_go_duration(std::string_view text);

} // namespace firstlight
