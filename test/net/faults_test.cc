#include "test/net/net_rig.h"

using namespace firstlight;
using namespace firstlight::test;

namespace {

struct fault_rig : net_rig {
    std::string content = pattern(100'000);
    digest blob = registry.add_blob(content);
    const byte_range some{100, 50'000};

    bool reads_right() {
        const auto got = read(blob, some);
        return got && *got == slice(content, some);
    }
    static imposter_fault answering(unsigned status) {
        imposter_fault f;
        f.status = status;
        return f;
    }
};

task<errc> stop_while_reading(fault_rig& rig) {
    auto opened = co_await rig.client->open(
      rig.at(rig.blob), byte_range(0, 100'000), lane::demand, deadline::after(5s));
    if (!opened) { // stopped before the answer's head came
        co_return opened.error().code();
    }
    auto stream = std::move(*opened);
    while (true) {
        auto part = co_await stream->next();
        if (!part) {
            co_return part.error().code();
        }
        REQUIRE(!part->empty());
    }
}

} // namespace

TEST_CASE_FIXTURE(fault_rig, "what may pass is tried again") {
    for (const unsigned status : {500U, 502U, 503U, 504U, 429U, 408U}) {
        CAPTURE(status);
        registry.clear_log();
        registry.fail(answering(status));
        registry.fail(answering(status), 1);
        CHECK(reads_right());
        CHECK(registry.log().size() == 3);
    }
    CHECK(registry.connections() == 1); // error bodies are read, not dropped
}

TEST_CASE_FIXTURE(fault_rig, "what will not pass is not tried again") {
    struct row {
        unsigned status;
        errc code;
    };
    for (const auto& each :
         {row{501, errc::unsupported}, row{400, errc::unsupported}, row{404, errc::not_found},
          row{403, errc::unauthorized}, row{401, errc::unauthorized},
          row{451, errc::unsupported}}) {
        CAPTURE(each.status);
        registry.clear_log();
        registry.fail(answering(each.status));
        const auto got = read(blob, some);
        REQUIRE(!got);
        CHECK(got.error().code() == each.code);
        CHECK(registry.log().size() == 1);
    }
}

TEST_CASE_FIXTURE(fault_rig, "retries end") {
    registry.fail_always(answering(500));
    const auto got = read(blob, some);
    REQUIRE(!got);
    CHECK(got.error().code() == errc::unavailable);
    CHECK(registry.log().size() == 6); // one, and max_retries
    CHECK(total("firstlight_registry_retries_total", {{"lane", "demand"}}) == 5);
}

TEST_CASE_FIXTURE(fault_rig, "Retry-After is heeded, and not waited for in vain") {
    auto f = answering(503);
    f.retry_after = "3600";
    registry.fail(f);
    const auto before = std::chrono::steady_clock::now();
    const auto got = read(blob, some);
    REQUIRE(!got);
    CHECK(got.error().code() == errc::unavailable);
    CHECK(std::chrono::steady_clock::now() - before < 2s);
    CHECK(registry.log().size() == 1);
    f.retry_after = "0";
    registry.fail(f);
    CHECK(reads_right());
}

TEST_CASE_FIXTURE(fault_rig, "connections that break before an answer are tried again") {
    for (const bool reset : {false, true}) {
        imposter_fault f;
        f.drop_connection = true;
        f.reset = reset;
        registry.fail(f);
        CHECK(reads_right());
    }
    imposter_fault f;
    f.close_after = 20'000;
    f.reset = true;
    registry.fail(f);
    CHECK(reads_right());
}

TEST_CASE_FIXTURE(fault_rig, "a pooled connection that was closed is replaced without a retry") {
    CHECK(reads_right());
    imposter_fault f;
    f.drop_connection = true; // as if it had been closed just before
    registry.fail(f);
    CHECK(reads_right());
    CHECK(total("firstlight_registry_retries_total") == 0);
    CHECK(registry.connections() == 2);
    registry.drop_connections();
    CHECK(reads_right());
    CHECK(total("firstlight_registry_retries_total") == 0);
}

TEST_CASE_FIXTURE(fault_rig, "a server that closes after each answer is put up with") {
    registry.change([](auto& o) { o.requests_per_connection = 1; });
    for (int i = 0; i < 5; ++i) {
        CHECK(reads_right());
    }
    CHECK(registry.log().size() == 5);
}

TEST_CASE_FIXTURE(fault_rig, "a stall ends with the request's patience, and is resumed") {
    auto config = quick();
    config.request_timeout = 100ms;
    restart(config);
    imposter_fault f;
    f.stall_after = 30'000;
    registry.fail(f);
    CHECK(reads_right());
    CHECK(registry.log().back().range == "bytes=30100-49999");
    f.stall_after.reset();
    f.delay = 1h;
    registry.fail(f);
    CHECK(reads_right());
}

TEST_CASE_FIXTURE(fault_rig, "the deadline bounds all of it") {
    imposter_fault f;
    f.stall_after = 10;
    registry.fail_always(f);
    const auto before = std::chrono::steady_clock::now();
    const auto got = read(blob, some, 150ms);
    REQUIRE(!got);
    CHECK(got.error().code() == errc::timed_out);
    CHECK(std::chrono::steady_clock::now() - before < 2s);
}

TEST_CASE_FIXTURE(fault_rig, "a response head has its limit") {
    imposter_fault f;
    f.header_padding = 40'000;
    registry.fail(f);
    CHECK(reads_right());
    f.header_padding = 70'000;
    registry.fail(f);
    const auto got = read(blob, some);
    REQUIRE(!got);
    CHECK(got.error().code() == errc::corrupt);
}

TEST_CASE_FIXTURE(fault_rig, "a registry that is gone is unavailable") {
    CHECK(reads_right());
    registry.vanish();
    const auto got = read(blob, some);
    REQUIRE(!got);
    CHECK(got.error().code() == errc::unavailable);
}

TEST_CASE_FIXTURE(fault_rig, "stop ends what is under way") {
    imposter_fault f;
    f.stall_after = 10;
    registry.fail_always(f);
    auto reading = start(a, stop_while_reading(*this));
    while (registry.log().empty()) {
        std::this_thread::sleep_for(1ms);
    }
    stop_client();
    CHECK(reading.get() == errc::stopping);
}

// The same work with its nth request failing in each way, for every n.
TEST_CASE_FIXTURE(fault_rig, "whichever request fails, the work is done right") {
    registry.change([&](auto& o) {
        o.authentication = imposter_options::auth::bearer;
        o.redirect_to = registry.url();
    });
    std::vector<imposter_fault> ways(4);
    ways[0].status = 503;
    ways[1].drop_connection = true;
    ways[2].close_after = 1;
    ways[3].drop_connection = ways[3].reset = true;
    for (const auto& way : ways) {
        for (unsigned n = 0; n < 5; ++n) { // 401, token, redirect, data, data
            CAPTURE(n);
            restart(quick());
            registry.forgive();
            registry.fail(way, n, "/");
            const auto end = tail(blob, 20'000);
            REQUIRE_MESSAGE(end.has_value(), end.error().context());
            CHECK(as_text(end->data()) == content.substr(80'000));
            CHECK(reads_right());
        }
    }
}
