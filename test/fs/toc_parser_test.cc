#include "fs/toc_parser.h"

#include "test/fs/layer_rig.h"

namespace firstlight {

namespace {

result<std::vector<toc_entry>> parsed(std::string_view member) {
    std::vector<toc_entry> all;
    toc_input input;
    input.member = as_bytes(member);
    const auto keep = [&all](const toc_entry& e) {
        all.push_back(e);
        return result<void>();
    };
    auto done = parse_toc(input, {}, keep);
    if (!done) {
        return done.error();
    }
    return all;
}

fault refused(std::string_view json) {
    auto entries = parsed(test::toc_member_of(json));
    REQUIRE_FALSE(entries);
    return entries.error();
}

} // namespace

TEST_CASE("the digest is that of the JSON as it lies in the tar") {
    const std::string json = " {\n\"version\" : 1, \"entries\": [ ] }\n\n";
    const auto member = test::toc_member_of(json);
    toc_input input;
    input.member = as_bytes(member);
    input.expected = digest::of(as_bytes(json));
    auto parsed = parse_toc(input, {}, [](const toc_entry&) { return result<void>(); });
    REQUIRE(parsed);
    CHECK(*parsed == *input.expected);
}

TEST_CASE("fields are read, unknown ones skipped, nulls left alone") {
    auto entries = parsed(test::toc_member_of(
      R"({"future":{"a":[1,{"b":null}],"entries":[{"name":"no"}]},"version":1,"entries":[)"
      R"({"name":"a\u00e9\"","type":"symlink","linkName":"t","uid":1,"gid":2,"userName":"u",)"
      R"("NumLink":3,"extra":{"deep":[[[true]]]},"more":[1.5,"x"],"modtime":"1970-01-02T00:00:00Z",)"
      R"("digest":null,"mode":511,"xattrs":null},)"
      R"({"name":"b","type":"block","devMajor":8,"devMinor":9,"xattrs":{"user.n":null}}]})"));
    REQUIRE_MESSAGE(entries, entries.error().context());
    REQUIRE(entries->size() == 2);
    const auto& a = (*entries)[0];
    CHECK(a.name == "a\xc3\xa9\"");
    CHECK(a.type == toc_entry::kind::symlink);
    CHECK(a.link_name == "t");
    CHECK(a.uid == 1);
    CHECK(a.gid == 2);
    CHECK(a.mode == 511);
    CHECK(a.mtime == 86400);
    CHECK(a.xattrs.empty());
    const auto& b = (*entries)[1];
    CHECK(b.uid == 0); // nothing of the entry before
    CHECK(b.link_name.empty());
    CHECK(b.device_major == 8);
    CHECK(b.device_minor == 9);
    REQUIRE(b.xattrs.size() == 1);
    CHECK(b.xattrs[0].second.empty());
}

TEST_CASE("what is no TOC is refused") {
    for (const auto* json :
         {"",
          "7",
          "null",
          "[]",
          "\"x\"",
          "{",
          "{\"entries\":[}",
          "{\"entries\":[{]}",
          "{\"entries\":[7]}",
          "{\"entries\":[null]}",
          "{\"entries\":[[]]}",
          "{\"entries\":{}}",
          "{\"entries\":7}",
          "{\"version\":1}",
          "{\"entries\":[],\"entries\":[]}",
          "{\"entries\":[]} x",
          "{\"entries\":[{\"name\":7}]}",
          "{\"entries\":[{\"uid\":true}]}",
          "{\"entries\":[{\"uid\":1e400}]}",
          "{\"entries\":[{\"xattrs\":[]}]}",
          "{\"entries\":[{\"modtime\":\"yesterday\"}]}",
          "{\"entries\":[{\"name\":\"\\ud800\"}]}",
          "{\"entries\":[{\"name\":{}}]}"}) {
        CAPTURE(json);
        CHECK(refused(json).code() == errc::corrupt);
    }
    CHECK(refused("{\"version\":2,\"entries\":[]}").code() == errc::unsupported);
    CHECK(
      refused("{\"entries\":[{\"name\":\"f\",\"type\":\"door\"}]}").code() == errc::unsupported);
    CHECK(refused(std::string("{\"entries\":[]}\0{}", 17)).code() == errc::corrupt);
    // Depth costs no stack.
    CHECK(
      refused("{\"x\":" + std::string(100'000, '[')).context().find("deep") != std::string::npos);
}

TEST_CASE("damaged gzip and foreign tars are refused") {
    const auto good = test::toc_member_of("{\"entries\":[]}");
    CHECK(parsed(good));
    CHECK(parsed(good + "what follows is not ours"));
    for (std::size_t size = 0; size < 60; ++size) {
        auto cut = parsed(good.substr(0, size));
        REQUIRE_FALSE(cut);
        CHECK(cut.error().code() == errc::corrupt);
    }
    CHECK_FALSE(parsed("plain text that is no gzip at all"));
    CHECK_FALSE(parsed(test::gzip_member("short")));
    CHECK_FALSE(parsed(test::gzip_member(std::string(2048, '\0'))));
    auto tar = std::string(512, '\0');
    tar.replace(0, 17, "stargz.index.json");
    CHECK_FALSE(parsed(test::gzip_member(tar))); // no checksum
}

TEST_CASE("a JSON much longer than a piece is parsed and hashed across pieces") {
    test::estargz_builder builder;
    for (int i = 0; i < 3000; ++i) {
        builder.file("directory/file" + std::to_string(i), std::to_string(i));
    }
    const auto blob = builder.build();
    CHECK(blob.toc_json.size() > 10 * 65536);
    const auto i = test::opened(blob);
    CHECK(i->toc_digest() == blob.toc);
    CHECK(i->size() == 3002);
    CHECK(i->child_count(test::at(*i, "directory")) == 3000);
    CHECK(test::look_up(*i, "directory/file2999"));
    CHECK_FALSE(test::look_up(*i, "directory/file3000"));
}

TEST_CASE("times are RFC 3339") {
    CHECK(parse_rfc3339("1970-01-01T00:00:00Z") == 0);
    CHECK(parse_rfc3339("2001-09-09T01:46:40Z") == 1'000'000'000);
    CHECK(parse_rfc3339("2001-09-09T01:46:40.999Z") == 1'000'000'000);
    CHECK(parse_rfc3339("2001-09-09T03:16:40+01:30") == 1'000'000'000);
    CHECK(parse_rfc3339("2001-09-08T20:46:40-05:00") == 1'000'000'000);
    CHECK(parse_rfc3339("1969-12-31T23:59:59Z") == -1);
    CHECK(parse_rfc3339("0001-01-01T00:00:00Z") == -62135596800);
    for (const auto* bad :
         {"", "2001", "2001-09-09", "2001-02-30T00:00:00Z", "2001-13-01T00:00:00Z",
          "2001-09-09T25:00:00Z", "2001-09-09T01:46:40", "2001-09-09T01:46:40+1",
          "2001-09-09T01:46:40Zjunk", "-001-09-09T01:46:40Z"}) {
        CAPTURE(bad);
        CHECK_FALSE(parse_rfc3339(bad));
    }
}

TEST_CASE("a time that nobody set is 1970, not year 1") {
    auto entries = parsed(test::toc_member_of(
      R"({"entries":[{"name":"a","type":"dir","modtime":"0001-01-01T00:00:00Z"},)"
      R"({"name":"b","type":"dir","modtime":""}]})"));
    REQUIRE(entries);
    CHECK((*entries)[0].mtime == 0);
    CHECK((*entries)[1].mtime == 0);
}

TEST_CASE("messages show names as text, cut short") {
    CHECK(printable("a\nb\xff") == "a?b?");
    CHECK(printable(std::string(500, 'x')) == std::string(120, 'x') + "...");
}

} // namespace firstlight
