#include "actors/buffer.h"
#include "actors/deadline.h"
#include "actors/digest.h"
#include "actors/metrics.h"

#include <doctest/doctest.h>

#include <cerrno>
#include <thread>

using namespace firstlight;
using namespace std::chrono_literals;

TEST_CASE("a digest is what FIPS 180-4 says it is, whole or in parts") {
    const std::string abc =
      "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    CHECK(digest::of(as_bytes("abc")).to_string() == abc);
    hasher h;
    h.update(as_bytes("a"));
    h.update(as_bytes("bc"));
    CHECK(h.finish().to_string() == abc);
    h.update(as_bytes("abc"));
    CHECK(h.finish().to_string() == abc);
    CHECK(digest::parse(abc).value() == digest::of(as_bytes("abc")));
}

TEST_CASE("what is not a lower-case sha256 digest is refused") {
    const auto good = digest::of(as_bytes("x")).to_string();
    for (const auto& bad :
         {std::string(), std::string("sha256:"), good.substr(7), good + "0",
          "sha512:" + good.substr(7), good.substr(0, 70) + "G",
          good.substr(0, 7) + "A" + good.substr(8)}) {
        CAPTURE(bad);
        CHECK(digest::parse(bad).error().code() == errc::invalid_argument);
    }
}

TEST_CASE("a deadline is the earlier of its own and a parent's") {
    const auto parent = deadline::after(1s);
    CHECK(parent.within(1h).at() == parent.at());
    CHECK(parent.within(1ms).at() < parent.at());
    CHECK(deadline::never().within(1s).left() <= 1s);
    CHECK(deadline::after(-1s).expired());
    CHECK(deadline::after(-1s).left() == 0s);
}

TEST_CASE("a failed system call says which kind of trouble it is") {
    CHECK(errno_fault(ENOSPC, "write").code() == errc::no_space);
    CHECK(errno_fault(ENOENT, "open").code() == errc::not_found);
    const auto f = errno_fault(EIO, "pread chunks.3");
    CHECK(f.code() == errc::io_error);
    CHECK(f.context() == "pread chunks.3: Input/output error");
}

TEST_CASE("counters sum what every thread added") {
    metrics all(2);
    auto& n = all.add_counter("reads_total", "Reads.", {{"lane", "demand"}});
    std::thread other([&] { n.add(2); });
    n.add();
    other.join();
    CHECK(n.value() == 3);
    CHECK(all.counted("reads_total") == 3);
    CHECK(all.counted("reads_total", {{"lane", "background"}}) == 0);
}

TEST_CASE("a histogram counts a duration in the first bucket that holds it") {
    histogram h(1);
    h.record(1us);
    h.record(3us);
    h.record(4us);
    h.record(1h);
    const auto s = h.read();
    CHECK(s.counts[0] == 1);
    CHECK(s.counts[2] == 2);
    CHECK(s.counts[histogram::bounds] == 1);
    CHECK(s.total() == 4);
}
