#include "test/link/request_log.h"

#include <doctest/doctest.h>

using namespace firstlight::link;

TEST_CASE("a request head is found however the bytes are cut") {
    const std::string wire =
      "GET /v2/a/blobs/sha256:00 HTTP/1.1\r\nHost: h\r\nRANGE:  bytes=0-1\r\n\r\n"
      "PUT /b HTTP/1.1\r\nContent-Length: 5\r\n\r\nab\r\ncHEAD /d HTTP/1.1\r\n\r\n";
    for (std::size_t step : {1U, 2U, 3U, 7U, 500U}) {
        request_scanner scanner;
        std::vector<request_line> all;
        for (std::size_t at = 0; at < wire.size(); at += step) {
            for (auto& r : scanner.feed(std::string_view(wire).substr(at, step))) {
                all.push_back(r);
            }
        }
        REQUIRE(all.size() == 3);
        CHECK(all[0].method == "GET");
        CHECK(all[0].target == "/v2/a/blobs/sha256:00");
        CHECK(all[0].range == "bytes=0-1");
        CHECK(all[1].method == "PUT");
        CHECK(all[1].range.empty());
        CHECK(all[2].target == "/d");
    }
}

TEST_CASE("a head without end is given up and not kept in memory for ever") {
    request_scanner scanner;
    CHECK(scanner.feed(std::string(200'000, 'x')).empty());
    CHECK(scanner.feed("\r\n\r\nGET / HTTP/1.1\r\n\r\n").empty());
}
