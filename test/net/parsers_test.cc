#include "net/auth_challenge.h"
#include "net/base64.h"
#include "net/content_range.h"
#include "net/image_reference.h"
#include "net/json_value.h"
#include "net/range_query.h"
#include "net/url.h"

#include <doctest/doctest.h>

#include <span>
#include <string>
#include <vector>

using namespace firstlight;

namespace {

struct reference_case {
    const char* text;
    const char* registry;
    const char* repository;
    const char* tag;
};

http_head head_of(unsigned status, std::string range, std::optional<std::uint64_t> length) {
    http_fields fields;
    if (!range.empty()) {
        fields.emplace_back("Content-Range", std::move(range));
    }
    return {status, std::move(fields), length};
}

} // namespace

TEST_CASE("image references fill in Docker Hub's defaults") {
    const std::vector<reference_case> cases{
      {"alpine", "docker.io", "library/alpine", ""},
      {"alpine:3.18", "docker.io", "library/alpine", "3.18"},
      {"user/thing", "docker.io", "user/thing", ""},
      {"docker.io/alpine", "docker.io", "library/alpine", ""},
      {"index.docker.io/a/b:t", "docker.io", "a/b", "t"},
      {"localhost/thing", "localhost", "thing", ""},
      {"localhost:5000/a/b_c/d__e-f.g:v1", "localhost:5000", "a/b_c/d__e-f.g", "v1"},
      {"127.0.0.1:5000/x", "127.0.0.1:5000", "x", ""},
      {"[::1]:5000/x:y", "[::1]:5000", "x", "y"},
      {"ghcr.io/Org-less/x", "", "", ""},
      {"ghcr.io/org/x", "ghcr.io", "org/x", ""},
    };
    for (const auto& c : cases) {
        CAPTURE(c.text);
        const auto parsed = image_reference::parse(c.text);
        REQUIRE(parsed.has_value() == (*c.registry != '\0'));
        if (parsed) {
            CHECK(parsed->registry() == c.registry);
            CHECK(parsed->repository() == c.repository);
            CHECK(parsed->tag() == c.tag);
        }
    }
}

TEST_CASE("an image reference keeps its digest beside its tag") {
    const auto d = digest::of(std::as_bytes(std::span("x", 1))).to_string();
    const auto parsed = image_reference::parse("host:1/r:t@" + d);
    REQUIRE(parsed.has_value());
    CHECK(parsed->registry() == "host:1");
    CHECK(parsed->tag() == "t");
    CHECK(parsed->digest_text() == d);
}

TEST_CASE("what is no image reference is refused") {
    for (const auto* text :
         {"", "a b", "UPPER", "x/../y", "x//y", "/x", "x/", "x@sha256:12", "x:", "h:0/x",
          "h:99999/x", "x\r\nEvil: 1", "host.name/", "a___b", "a.-b", "-a", "ho%73t.x/y", "[::1/x",
          "user@host.x/y"}) {
        CAPTURE(text);
        REQUIRE(!image_reference::parse(text));
        CHECK(image_reference::parse(text).error().code() == errc::invalid_argument);
    }
    CHECK(!image_reference::parse(std::string(300, 'a')));
}

TEST_CASE("URLs are taken apart and put together") {
    const auto parsed = url::parse("HTTPS://Host.Example:8443/a/b?x=1&y=%20#frag");
    REQUIRE(parsed.has_value());
    CHECK(parsed->tls());
    CHECK(parsed->origin() == "https://host.example:8443");
    CHECK(parsed->target() == "/a/b?x=1&y=%20");
    CHECK(parsed->without_query() == "https://host.example:8443/a/b");
    CHECK(parsed->parameter("y") == "%20");
    CHECK(parsed->parameter("z") == "");
    CHECK(url::parse("http://h?q")->target() == "/?q");
    CHECK(url::parse("http://h:80/")->authority() == "h");
    CHECK(url::parse("https://[::1]:5000/v2/")->origin() == "https://[::1]:5000");
    for (const auto* bad :
         {"", "ftp://x/", "http://", "http:///x", "http://a b/", "http://u:p@h/", "http://h/a b",
          "http://h/\r\nX: y", "http://h:70000/"}) {
        CAPTURE(bad);
        CHECK(!url::parse(bad));
    }
}

TEST_CASE("Location is resolved against the URL that sent it") {
    const auto base = *url::parse("https://h:1/v2/r/blobs/d?ns=x");
    CHECK(base.resolve("/data?a=/b")->origin() == "https://h:1");
    CHECK(base.resolve("/data?a=/b")->target() == "/data?a=/b");
    CHECK(base.resolve("other")->target() == "/v2/r/blobs/other");
    CHECK(base.resolve("//cdn/x")->origin() == "https://cdn");
    CHECK(base.resolve("http://cdn:2/x")->origin() == "http://cdn:2");
    CHECK(!base.resolve("/a\nb"));
}

TEST_CASE("Content-Range") {
    const auto whole = parse_content_range("bytes 0-9/10");
    REQUIRE(whole.has_value());
    CHECK(*whole->range == byte_range(0, 10));
    CHECK(*whole->size == 10);
    CHECK(!parse_content_range("bytes 5-6/*")->size);
    CHECK(!parse_content_range("bytes */7")->range);
    CHECK(*parse_content_range("Bytes=1-2/3 ")->size == 3);
    for (const auto* bad :
         {"", "bytes", "bytes 0-9", "bytes 9-0/10", "bytes 0-10/10", "bytes */*", "bytes -1-2/3",
          "bytes 0-18446744073709551615/*", "bytes 0-99999999999999999999/*", "octets 0-1/2",
          "bytes 0-1/2x", "bytes 0-/2"}) {
        CAPTURE(bad);
        CHECK(!parse_content_range(bad));
    }
}

TEST_CASE("WWW-Authenticate, as registries write it") {
    using kind = auth_challenge::kind;
    const auto hub = parse_www_authenticate(
      R"(Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push",error="invalid_token")");
    REQUIRE(hub.size() == 1);
    CHECK(hub[0].scheme == kind::bearer);
    CHECK(hub[0].realm == "https://auth.docker.io/token");
    CHECK(hub[0].service == "registry.docker.io");
    CHECK(hub[0].scope == "repository:a/b:pull,push");
    CHECK(hub[0].error == "invalid_token");

    const auto two =
      parse_www_authenticate(R"(Negotiate, basic Realm = "a \"b\"" , BEARER realm=bare,service=s)");
    REQUIRE(two.size() == 2);
    CHECK(two[0].scheme == kind::basic);
    CHECK(two[0].realm == R"(a "b")");
    CHECK(two[1].scheme == kind::bearer);
    CHECK(two[1].realm == "bare");

    CHECK(parse_www_authenticate("").empty());
    CHECK(parse_www_authenticate(R"(Bearer realm="open)").empty());
    CHECK(parse_www_authenticate("===").empty());
}

TEST_CASE("base64 there and back, and what is none") {
    for (const std::string text : {"", "f", "fo", "foo", "user:p\xc3\xa4ss"}) {
        CHECK(*base64_decoded(base64_encoded(text)) == text);
    }
    CHECK(base64_encoded("fo") == "Zm8=");
    CHECK(*base64_decoded(" Zm8\n") == "fo");
    CHECK(!base64_decoded("Z"));
    CHECK(!base64_decoded("Zm8*"));
}

TEST_CASE("answers to a range are judged") {
    const auto q = range_query::bytes(byte_range(10, 20), 100);
    CHECK(q.header() == "bytes=10-19");
    const auto good = q.judge(head_of(206, "bytes 10-19/50", 10));
    REQUIRE(good.has_value());
    CHECK(good->length == 10);
    CHECK(q.judge(head_of(206, "bytes 10-14/50", 5))->length == 5);
    CHECK(q.judge(head_of(206, "bytes 10-19/*", std::nullopt))->length == 10);
    const auto whole = q.judge(head_of(200, "", 50));
    REQUIRE(whole.has_value());
    CHECK(whole->skip == 10);
    CHECK(whole->length == 10);

    struct bad {
        unsigned status;
        const char* range;
        std::optional<std::uint64_t> length;
        errc code;
    };
    const std::vector<bad> cases{
      {206, "", 10, errc::corrupt},               // no Content-Range
      {206, "bytes 0-9/50", 10, errc::corrupt},   // another range
      {206, "bytes 10-29/50", 20, errc::corrupt}, // more than asked for
      {206, "bytes 10-19/50", 11, errc::corrupt}, // contradicts Content-Length
      {206, "bytes 10-14/15", 5, errc::corrupt},  // the blob is shorter
      {200, "", 15, errc::corrupt},               // likewise
      {416, "bytes */15", 0, errc::corrupt},      // likewise
    };
    for (const auto& c : cases) {
        CAPTURE(c.status);
        CAPTURE(c.range);
        const auto judged = q.judge(head_of(c.status, c.range, c.length));
        REQUIRE(!judged);
        CHECK(judged.error().code() == c.code);
    }
    const auto far = range_query::bytes(byte_range(101, 102), 100);
    CHECK(far.judge(head_of(200, "", 200)).error().code() == errc::unsupported);
}

TEST_CASE("answers to a suffix range are judged") {
    const auto q = range_query::suffix(10, 100);
    CHECK(q.header() == "bytes=-10");
    const auto good = q.judge(head_of(206, "bytes 40-49/50", 10));
    REQUIRE(good.has_value());
    CHECK(good->offset == 40);
    CHECK(*good->blob_size == 50);
    CHECK(q.judge(head_of(206, "bytes 0-4/5", 5))->length == 5);
    CHECK(q.judge(head_of(206, "bytes 0-9/50", 10)).error().code() == errc::corrupt);
    CHECK(q.judge(head_of(206, "bytes 30-49/50", 20)).error().code() == errc::corrupt);
    CHECK(q.judge(head_of(206, "bytes 40-49/*", 10)).error().code() == errc::unsupported);
    CHECK(q.judge(head_of(416, "", 0)).error().code() == errc::unsupported);
    CHECK(q.judge(head_of(400, "", 0)).error().code() == errc::unsupported);
    CHECK(*q.judge(head_of(416, "bytes */0", 0))->blob_size == 0);
    const auto whole = q.judge(head_of(200, "", 50));
    REQUIRE(whole.has_value());
    CHECK(whole->skip == 40);
    const auto huge = q.judge(head_of(200, "", 5000));
    REQUIRE(huge.has_value()); // the size, and nothing to read
    CHECK(huge->length == 0);
    CHECK(*huge->blob_size == 5000);
}

TEST_CASE("JSON: what is there, and what is not") {
    const auto v = json_value::parse(
      R"( {"t":"a\u00e9\u0000b","n":-2.5,"i":7,"l":18446744073709551615,"y":true,"z":null,
           "a":[1,"x",{}],"o":{"t":"inner"},"t":"second"} )");
    REQUIRE(v.has_value());
    CHECK((*v)["t"].text() == std::string("a\xc3\xa9\0b", 5)); // the first of the name
    CHECK((*v)["n"].number() == -2.5);
    CHECK((*v)["i"].number() == 7);
    CHECK((*v)["l"].number() > 1e19);
    CHECK((*v)["a"].items().size() == 3);
    CHECK((*v)["a"].items()[1].text() == "x");
    CHECK((*v)["o"]["t"].text() == "inner");
    CHECK((*v)["z"].is_null());
    CHECK(!(*v)["y"].is_null());
    CHECK((*v)["none"]["of"]["it"].text().empty());
    CHECK(!(*v)["t"].number());
    CHECK((*v)["i"].text().empty());
    CHECK(v->members().size() == 9);
    for (const auto* text : {"", " ", "{", "[1,]", "{} {}", "nul", R"({"a")", "\"\n\"", "01"}) {
        CAPTURE(text);
        CHECK(!json_value::parse(text));
    }
    CHECK(json_value::parse(std::string(64, '[') + std::string(64, ']')).has_value());
    CHECK(!json_value::parse(std::string(65, '[') + std::string(65, ']')));
    CHECK(!json_value::parse(std::string(1'000'000, '[')));
    std::string many = "[0";
    for (int i = 0; i < 1'000'000; ++i) {
        many += ",0";
    }
    CHECK(!json_value::parse(many + "]"));
    CHECK(json_value::parse(std::string_view("7x", 1)).has_value()); // and not beyond
}
