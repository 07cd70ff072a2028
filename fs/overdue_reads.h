#pragma once

#include <chrono>
#include <cstdint>
#include <deque>

namespace firstlight {

/// Which reads were not served within their deadline a moment ago.
///
/// When a request to read ahead fails, the kernel asks again, at once, for the page
/// that its reader waits for. That would be a second deadline for one read(2), so it
/// is answered as the first was. Bounded: of many, the latest are known.
class overdue_reads {
public:
    using clock = std::chrono::steady_clock;

    /// The bytes [begin, end) of a node were waited for in vain until `now`.
    void add(std::uint64_t node, std::uint64_t begin, std::uint64_t end, clock::time_point now);
    /// Whether any of [begin, end) was, less than a quarter of a second before `now`.
    bool overlaps(
      std::uint64_t node, std::uint64_t begin, std::uint64_t end, clock::time_point now) const;

private:
    struct place {
        std::uint64_t node;
        std::uint64_t begin;
        std::uint64_t end;
        clock::time_point until;
    };
    std::deque<place> places_; // the oldest first
};

} // namespace firstlight
