#include "fs/replay_plan.h"

#include <algorithm>
#include <cstddef>

namespace firstlight {

namespace {

// A stream that is to be fetched: [first, last) are positions in by_offset().
struct wanted_stream {
    std::size_t first = 0;
    std::size_t last = 0;
    std::uint64_t begin = 0; // in the blob
    std::uint64_t end = 0;
    std::uint32_t at_us = 0;
};

// The profile's streams that the index has, in the order of the blob.
std::vector<wanted_stream>
streams_of(const index& toc, const read_profile& profile, std::uint64_t total) {
    const auto order = toc.by_offset();
    const auto all = toc.all_chunks();
    std::vector<wanted_stream> streams;
    for (const auto& r : profile.reads()) {
        wanted_stream s;
        s.first = s.last = toc.lower_bound(r.stream);
        while (s.last < order.size() && all[order[s.last]].blob_offset == r.stream) {
            ++s.last;
        }
        if (s.first == s.last) {
            continue;
        }
        s.begin = r.stream;
        s.end = all[order[s.first]].compressed_end;
        s.at_us = r.at_us;
        if (s.end - s.begin > total) {
            break;
        }
        total -= s.end - s.begin;
        streams.push_back(s);
    }
    std::ranges::sort(streams, {}, &wanted_stream::begin);
    return streams;
}

// Streams [from, to) of the blob's order, and what lies between them.
replay_stretch stretch_of(
  const index& toc, const std::vector<wanted_stream>& s, std::size_t from, std::size_t to) {
    replay_stretch made;
    made.at_us = s[from].at_us;
    for (auto i = from; i < to; ++i) {
        made.at_us = std::min(made.at_us, s[i].at_us);
    }
    made.bytes = s[to - 1].end - s[from].begin;
    const auto between = toc.by_offset().subspan(s[from].first, s[to - 1].last - s[from].first);
    made.chunks.assign(between.begin(), between.end());
    return made;
}

// Where the stretch that begins with stream `from` ends.
std::size_t
end_of_stretch(const std::vector<wanted_stream>& s, std::size_t from, const replay_limits& l) {
    auto earliest = s[from].at_us;
    auto latest = earliest;
    auto to = from + 1;
    for (; to < s.size(); ++to) {
        earliest = std::min(earliest, s[to].at_us);
        latest = std::max(latest, s[to].at_us);
        const bool near = s[to].begin <= s[to - 1].end + l.gap;
        if (!near || s[to].end - s[from].begin > l.stretch || latest - earliest > l.spread_us) {
            break;
        }
    }
    return to;
}

} // namespace

std::vector<replay_stretch>
plan_replay(const index& toc, const read_profile& profile, const replay_limits& l) {
    const auto streams = streams_of(toc, profile, l.total);
    std::vector<replay_stretch> plan;
    for (std::size_t from = 0; from < streams.size();) {
        const auto to = end_of_stretch(streams, from, l);
        plan.push_back(stretch_of(toc, streams, from, to));
        from = to;
    }
    std::ranges::stable_sort(plan, {}, &replay_stretch::at_us);
    return plan;
}

} // namespace firstlight
