#include "fs/replay_plan.h"

#include "test/fs/layer_rig.h"
#include "test/noise.h"

#include <algorithm>

namespace firstlight {

namespace {

using test::noise;

/// Twenty chunks that do not compress, about 1030 bytes each in the blob.
struct plan_rig {
    std::shared_ptr<const index> toc =
      test::opened(test::estargz_builder({.chunk_size = 1000}).file("f", noise(20'000, 1)));
    replay_limits limits = [] {
        replay_limits l;
        l.gap = 0;
        l.stretch = 1 << 20;
        return l;
    }();

    std::uint64_t offset(std::size_t chunk) const { return toc->all_chunks()[chunk].blob_offset; }
    // The plan for a start that reads these chunks, `step` microseconds apart, as the
    // chunks of each request.
    std::vector<std::vector<std::uint32_t>>
    planned(const std::vector<std::size_t>& order, std::uint32_t step = 1) const {
        std::vector<first_read> seen;
        for (const auto n : order) {
            seen.push_back({offset(n), static_cast<std::uint32_t>(seen.size()) * step});
        }
        read_profile profile(toc->toc_digest(), digest());
        profile.learn(seen, "image");
        std::vector<std::vector<std::uint32_t>> requests;
        for (const auto& s : plan_replay(*toc, profile, limits)) {
            const auto last = toc->all_chunks()[s.chunks.back()];
            CHECK(s.bytes == last.compressed_end - offset(s.chunks.front()));
            requests.push_back(s.chunks);
        }
        return requests;
    }
};

using requests = std::vector<std::vector<std::uint32_t>>;

} // namespace

TEST_CASE_FIXTURE(plan_rig, "replay plan: in the order of the reads, neighbours together") {
    CHECK(planned({}) == requests{});
    CHECK(planned({9, 3, 6}) == requests{{9}, {3}, {6}});
    CHECK(planned({9, 3, 10, 2}) == requests{{9, 10}, {2, 3}});
}

TEST_CASE_FIXTURE(
  plan_rig, "replay plan: what is between two chunks comes with them, if it is little") {
    limits.gap = 2100; // two chunks
    CHECK(planned({9, 6, 0, 2}) == requests{{6, 7, 8, 9}, {0, 1, 2}});
    CHECK(planned({9, 5}) == requests{{9}, {5}});
}

TEST_CASE_FIXTURE(
  plan_rig, "replay plan: a request is no longer than it may be, but for one stream") {
    limits.stretch = 2500;
    CHECK(planned({0, 1, 2, 3, 4}) == requests{{0, 1}, {2, 3}, {4}});
    limits.stretch = 1;
    CHECK(planned({4, 5}) == requests{{4}, {5}});
}

TEST_CASE_FIXTURE(plan_rig, "replay plan: what is read much later does not come along") {
    limits.spread_us = 1000;
    CHECK(planned({5, 6}, 1000) == requests{{5, 6}});
    CHECK(planned({5, 6}, 1001) == requests{{5}, {6}});
    CHECK(planned({6, 5, 7}, 600) == requests{{5, 6}, {7}});
}

TEST_CASE_FIXTURE(plan_rig, "replay plan: the total is bounded, and what is read first stays") {
    limits.total = 3500;
    CHECK(planned({19, 9, 14, 2, 7}) == requests{{19}, {9}, {14}});
    limits.total = 0;
    CHECK(planned({19}) == requests{});
}

TEST_CASE("replay plan: the chunks of a shared stream are one") {
    test::estargz_builder b({.min_chunk_size = 1 << 20});
    for (int i = 0; i < 5; ++i) {
        b.file("f" + std::to_string(i), noise(700, 10 + i));
    }
    const auto toc = test::opened(b);
    read_profile profile(toc->toc_digest(), digest());
    profile.learn(std::vector<first_read>{{toc->all_chunks()[3].blob_offset, 0}}, "image");
    const auto plan = plan_replay(*toc, profile, {});
    REQUIRE(plan.size() == 1);
    CHECK(plan[0].chunks.size() == 5);
}

TEST_CASE_FIXTURE(plan_rig, "replay plan: streams that the index does not have are passed over") {
    read_profile profile(toc->toc_digest(), digest());
    profile.learn(
      std::vector<first_read>{{offset(4) + 1, 0}, {~0ULL, 1}, {0, 2}, {offset(4), 3}}, "image");
    const auto plan = plan_replay(*toc, profile, limits);
    REQUIRE(plan.size() == 1);
    CHECK(plan[0].chunks == std::vector<std::uint32_t>{4});
}

} // namespace firstlight
