#include "fs/overdue_reads.h"

#include <doctest/doctest.h>

using namespace firstlight;
using namespace std::chrono_literals;

TEST_CASE("a read that was late is known for a moment, by any of its bytes") {
    overdue_reads late;
    const overdue_reads::clock::time_point now{};
    CHECK_FALSE(late.overlaps(1, 0, 4096, now));
    late.add(1, 4096, 12288, now);
    CHECK(late.overlaps(1, 4096, 8192, now));
    CHECK(late.overlaps(1, 0, 4097, now + 240ms));
    CHECK(late.overlaps(1, 12287, 20000, now));
    CHECK_FALSE(late.overlaps(1, 0, 4096, now));
    CHECK_FALSE(late.overlaps(1, 12288, 20000, now));
    CHECK_FALSE(late.overlaps(2, 4096, 8192, now));
    CHECK_FALSE(late.overlaps(1, 4096, 8192, now + 250ms));
}

TEST_CASE("of many late reads, the latest are known") {
    overdue_reads late;
    const overdue_reads::clock::time_point now{};
    for (std::uint64_t node = 0; node < 10'000; ++node) {
        late.add(node, 0, 1, now);
    }
    CHECK(late.overlaps(9999, 0, 1, now));
    CHECK(late.overlaps(9700, 0, 1, now));
    CHECK_FALSE(late.overlaps(0, 0, 1, now));
}
