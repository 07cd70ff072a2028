#include "fs/snapshot_filter.h"

#include <doctest/doctest.h>

using namespace firstlight;

namespace {

snapshot_info sample() {
    snapshot_info info;
    info.name = "ns/7/sha256:ab";
    info.parent = "base";
    info.kind = snapshot_kind::committed;
    info.labels = {
      {"plain", "one two"}, {"containerd.io/snapshot.ref", "sha256:cd"},
      {"a.b", "dotted"},    {"quote\"d", "x"},
      {"ümlaut", "größe"},
    };
    return info;
}

bool matches(std::vector<std::string> filters, const snapshot_info& info = sample()) {
    const auto filter = snapshot_filter::parse(filters);
    REQUIRE_MESSAGE(filter.has_value(), filter.error().context());
    return filter->matches(info);
}

} // namespace

TEST_CASE("filters that match the sample") {
    const std::vector<std::string> matching{
      "",
      "name",
      "name==ns/7/sha256:ab",
      R"(name=="ns/7/sha256:ab")",
      "name!=other",
      "parent==base",
      "kind==committed",
      "kind!=active",
      "kind",
      "labels.plain",
      R"(labels.plain=="one two")",
      R"(labels."containerd.io/snapshot.ref"==sha256:cd,parent=="base")",
      "labels.a.b==dotted",
      R"(labels.a."b"==dotted)",
      R"("labels"."a.b"==dotted)",
      R"(labels."quote\"d"==x)",
      R"(labels."\u00fcmlaut"==größe)",
      R"(labels."ümlaut"=="gr\303\266\u00dfe")",
      R"(labels."ümlaut"=="gr\xc3\xb6\U000000dfe")",
      "labels.absent!=x",
      R"(labels.absent!="x")",
      "name~=sha256",
      "name~=^ns/[0-9]+/",
      R"(name~="^ns/\\d+/sha256:[a-f]+$")",
      R"(name~=/^ns\/7/)",
      "name~=|^ns/7|",
      R"(labels.absent~=^$)",
      "  name ==  ns/7/sha256:ab",
      "name.anything==ns/7/sha256:ab",
      "name==ns/7/sha256:ab,kind==committed,labels.plain",
    };
    for (const auto& filter : matching) {
        CAPTURE(filter);
        CHECK(matches({filter}));
    }
}

TEST_CASE("filters that do not match the sample") {
    const std::vector<std::string> others{
      "name==other",
      "name!=ns/7/sha256:ab",
      "kind==active",
      "kind==Committed",
      "labels",
      "labels.absent",
      "labels.absent==x",
      R"(labels.absent=="")",
      "nothing",
      "nothing==x",
      "name~=^sha256",
      "name~=(", // does not compile
      "name==ns/7/sha256:ab,kind==active",
    };
    for (const auto& filter : others) {
        CAPTURE(filter);
        CHECK_FALSE(matches({filter}));
    }
}

TEST_CASE("the parent of a snapshot without one is empty, and present") {
    snapshot_info info;
    info.kind = snapshot_kind::view;
    CHECK(matches({"parent"}, info));
    CHECK(matches({R"(parent=="")"}, info));
    CHECK_FALSE(matches({R"(parent!="")"}, info));
    CHECK(matches({"kind==view"}, info));
    CHECK_FALSE(matches({"labels.a"}, info));
}

TEST_CASE("several filters match what any of them does, none match everything") {
    CHECK(matches({}));
    CHECK(matches({"name==other", "kind==committed"}));
    CHECK_FALSE(matches({"name==other", "kind==view"}));
}

TEST_CASE("what does not parse is an invalid argument that shows the place") {
    const std::vector<std::string> wrong{
      "name=",
      "name=x",
      "name===x",
      "name==",
      "name==,kind==view",
      "name==x ",
      "name==x kind==view",
      "name==x,",
      ",name",
      ".name",
      "name.",
      "na-me==x",
      "/name/==x",
      "name==/x/",   // only ~= takes these quotes
      "name==.x",    // a separator begins no value
      R"(name=="x)", // no end
      R"(name=="x\q")",
      R"(name=="\x4")",
      R"(name=="\8")",
      R"(name=="\777")",
      R"(name=="\U00110000")",
      R"(name~=/\d/)", // an escape of Go's first, and there is no such one
      "name==\"a\nb\"",
      std::string("name==a\0b", 9),
      "name==\xff",
      "name==x\xe2\x80\x8by", // a zero width space is no character of a value
      "name==\xed\xa0\x80",   // a surrogate
    };
    for (const auto& filter : wrong) {
        CAPTURE(filter);
        const auto parsed = snapshot_filter::parse({filter});
        REQUIRE(parsed.has_error());
        CHECK(parsed.error().code() == errc::invalid_argument);
        CHECK(parsed.error().context().starts_with("filter ["));
    }
    CHECK(
      snapshot_filter::parse({"name=x"}).error().context() ==
      "filter [name >|=|< x]: expected an operator (==, != or ~=)");
}

TEST_CASE("filters are bounded in length and in the time to match") {
    CHECK(
      snapshot_filter::parse({"name==" + std::string(70'000, 'x')}).error().code() ==
      errc::invalid_argument);
    // Takes a backtracking matcher longer than the universe's age.
    snapshot_info info;
    info.name = std::string(60, 'a');
    CHECK_FALSE(matches({"name~=^(a+)+b$"}, info));
}
