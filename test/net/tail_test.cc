#include "test/net/net_rig.h"

using namespace firstlight;
using namespace firstlight::test;

namespace {

struct plain_rig : net_rig {
    std::string content = pattern(300'000);
    digest blob = registry.add_blob(content);

    void check_tail(std::uint64_t n) {
        const auto got = tail(blob, n);
        REQUIRE_MESSAGE(got.has_value(), got.error().context());
        const auto size = std::min<std::uint64_t>(n, content.size());
        CHECK(got->blob_size() == content.size());
        CHECK(got->offset() == content.size() - size);
        CHECK(as_text(got->data()) == content.substr(content.size() - size));
    }
};

} // namespace

TEST_CASE_FIXTURE(plain_rig, "a tail costs one connection and one request") {
    check_tail(100'000);
    CHECK(registry.log().size() == 1);
    CHECK(registry.connections() == 1);
    CHECK(registry.log()[0].range == "bytes=-100000");
    check_tail(51);
    CHECK(registry.connections() == 1); // kept alive
}

TEST_CASE_FIXTURE(plain_rig, "a tail longer than the blob is the blob") {
    check_tail(1'000'000);
    CHECK(registry.log().size() == 1);
}

TEST_CASE_FIXTURE(plain_rig, "an empty blob has an empty tail") {
    const auto empty = registry.add_blob("");
    const auto got = tail(empty, 100);
    REQUIRE_MESSAGE(got.has_value(), got.error().context());
    CHECK(got->blob_size() == 0);
    CHECK(got->data().empty());
}

TEST_CASE_FIXTURE(plain_rig, "a server without suffix ranges is asked for the size first") {
    for (const unsigned status : {416U, 400U, 501U}) {
        CAPTURE(status);
        restart(quick());
        registry.clear_log();
        registry.change([status](auto& o) {
            o.suffix_ranges = false;
            o.suffix_status = status;
        });
        check_tail(1000);
        REQUIRE(registry.log().size() == 3);
        CHECK(registry.log()[1].range == "bytes=0-0");
        CHECK(registry.log()[2].range == "bytes=299000-299999");
        check_tail(1000); // and is not tried again
        CHECK(registry.log().size() == 5);
    }
}

TEST_CASE_FIXTURE(plain_rig, "a small blob sent whole in answer to a suffix range is used") {
    registry.change([](auto& o) {
        o.suffix_ranges = false;
        o.suffix_status = 200;
    });
    check_tail(1000);
    CHECK(registry.log().size() == 1);
}

TEST_CASE_FIXTURE(plain_rig, "a large blob sent whole is not read, but tells its size") {
    auto config = quick();
    config.max_skip = 1000;
    restart(config);
    registry.change([](auto& o) {
        o.suffix_ranges = false;
        o.suffix_status = 200;
    });
    check_tail(1000);
    REQUIRE(registry.log().size() == 2);
    CHECK(registry.log()[1].range == "bytes=299000-299999");
}

TEST_CASE_FIXTURE(plain_rig, "a tail is resumed where its connection broke") {
    imposter_fault f;
    f.close_after = 70'000;
    registry.fail(f);
    check_tail(200'000);
    REQUIRE(registry.log().size() == 2);
    CHECK(registry.log()[1].range == "bytes=170000-299999");
}

TEST_CASE_FIXTURE(plain_rig, "a tail whose Content-Range lies is corrupt, not wrong") {
    imposter_fault f;
    f.content_range = "bytes 0-999/300000";
    registry.fail_always(f);
    const auto got = tail(blob, 1000);
    REQUIRE(!got);
    CHECK(got.error().code() == errc::corrupt);
    CHECK(got.error().context().find(blob.to_string()) != std::string::npos);
}

TEST_CASE_FIXTURE(plain_rig, "a blob that is not there is not_found at once") {
    const auto got = tail(digest::of(as_bytes("absent")), 1000);
    REQUIRE(!got);
    CHECK(got.error().code() == errc::not_found);
    CHECK(registry.log().size() == 1);
}
