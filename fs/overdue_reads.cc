#include "fs/overdue_reads.h"

#include <algorithm>

namespace firstlight {

namespace {

constexpr std::chrono::milliseconds remembered{250}; // the kernel takes microseconds
constexpr std::size_t places_at_most = 512;

} // namespace

void overdue_reads::add(
  std::uint64_t node, std::uint64_t begin, std::uint64_t end, clock::time_point now) {
    while (!places_.empty() && (places_.front().until <= now || places_.size() >= places_at_most)) {
        places_.pop_front();
    }
    places_.push_back({node, begin, end, now + remembered});
}

bool overdue_reads::overlaps(
  std::uint64_t node, std::uint64_t begin, std::uint64_t end, clock::time_point now) const {
    return std::ranges::any_of(places_, [&](const place& p) {
        return p.until > now && p.node == node && p.begin < end && begin < p.end;
    });
}

} // namespace firstlight
