#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace firstlight {

/// Who is waiting. Order is priority: every queue serves an earlier lane first,
/// and no lane starves.
enum class lane : std::uint8_t {
    demand,     // a process is blocked in read(2) on it
    prefetch,   // it will probably be read soon: landmarks, read-ahead
    background, // filling the cache so that the registry may go away
};
inline constexpr std::size_t lane_count = 3;

/// One T for each lane.
template <class T>
using per_lane = std::array<T, lane_count>;

constexpr std::size_t index_of(lane l) noexcept {
    return static_cast<std::size_t>(l);
}

constexpr std::string_view to_string(lane l) noexcept {
    constexpr per_lane<std::string_view> names{"demand", "prefetch", "background"};
    return names[index_of(l)];
}

} // namespace firstlight
