#include "fs/index_compiler.h"

#include "test/fs/layer_rig.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>

namespace firstlight {

namespace {

using test::at;
using test::estargz_builder;
using test::file_attributes;
using test::look_up;
using test::names;
using test::opened;
using test::refusal;
using list = std::vector<std::string>;

constexpr std::string_view some_digest =
  "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

// A file entry; `more` adds or, coming later, replaces fields.
std::string file_entry(const std::string& name, const std::string& more = "") {
    return "{\"name\":\"" + name + "\",\"type\":\"reg\",\"size\":10,\"offset\":100,\"digest\":\"" +
           std::string(some_digest) + "\"" + more + "}";
}

} // namespace

TEST_CASE("every kind of entry keeps its attributes") {
    const file_attributes owned{
      .mode = 04750, .uid = 1000, .gid = 100, .mtime = 1'700'000'001, .xattrs = {{"user.a", "1"}}};
    const auto i = opened(estargz_builder()
                            .directory("d/", {.mode = 01777, .uid = 5, .gid = 6, .mtime = 7})
                            .file("d/f", "hello", owned)
                            .symlink("d/s", "../somewhere", {.mode = 0777, .uid = 3})
                            .character_device("d/c", 5, 1, {.mode = 0600})
                            .block_device("d/b", 8, 300000)
                            .fifo("d/p"));
    CHECK(i->size() == 7);
    CHECK(names(*i, at(*i, "d")) == list{"b", "c", "f", "p", "s"});

    const auto d = i->attributes(at(*i, "d"));
    CHECK(d.mode == (S_IFDIR | 01777));
    CHECK(d.uid == 5);
    CHECK(d.gid == 6);
    CHECK(d.mtime == 7);
    CHECK(d.nlink == 2);
    CHECK(d.size == 0);
    const auto f = i->attributes(at(*i, "d/f"));
    CHECK(f.mode == (S_IFREG | 04750));
    CHECK(f.uid == 1000);
    CHECK(f.gid == 100);
    CHECK(f.mtime == 1'700'000'001);
    CHECK(f.size == 5);
    CHECK(f.nlink == 1);
    CHECK(i->find_xattr(at(*i, "d/f"), "user.a") == "1");
    CHECK(i->content_bytes() == 5);
    const auto s = at(*i, "d/s");
    CHECK(i->symlink_target(s) == "../somewhere");
    CHECK(i->attributes(s).mode == (S_IFLNK | 0777));
    CHECK(i->attributes(s).size == 12);
    const auto c = i->attributes(at(*i, "d/c"));
    CHECK(c.mode == (S_IFCHR | 0600));
    CHECK(c.rdev_major == 5);
    CHECK(c.rdev_minor == 1);
    const auto b = i->attributes(at(*i, "d/b"));
    CHECK(b.mode == (S_IFBLK | 0644));
    CHECK(b.rdev_major == 8);
    CHECK(b.rdev_minor == 300000);
    CHECK(i->attributes(at(*i, "d/p")).mode == (S_IFIFO | 0644));
}

TEST_CASE("an empty layer is a root directory") {
    const auto i = opened(estargz_builder());
    CHECK(i->size() == 1);
    CHECK(i->attributes(0).mode == (S_IFDIR | 0755));
    CHECK(i->attributes(0).nlink == 2);
    CHECK(i->child_count(0) == 0);
    CHECK(i->all_chunks().empty());
    CHECK_FALSE(i->prefetch_end());
    CHECK_FALSE(i->no_prefetch());
    // Go writes an empty list so.
    const auto member = test::toc_member_of(R"({"version":1,"entries":null})");
    toc_input input;
    input.member = as_bytes(member);
    CHECK(compile_index(input));
}

TEST_CASE("missing parents are made, and the root has its own entry") {
    const auto i = opened(
      estargz_builder().file("a/b/c", "x").directory("./", {.mode = 0700, .uid = 9, .mtime = 77}));
    const auto a = i->attributes(at(*i, "a"));
    CHECK(a.mode == (S_IFDIR | 0755));
    CHECK(a.uid == 0);
    CHECK(a.mtime == 0);
    CHECK(a.nlink == 3);
    CHECK(i->attributes(0).mode == (S_IFDIR | 0700));
    CHECK(i->attributes(0).uid == 9);
    CHECK(i->attributes(0).mtime == 77);
    CHECK(i->attributes(0).nlink == 3);
    CHECK(i->parent(at(*i, "a/b/c")) == at(*i, "a/b"));
}

TEST_CASE("names mean the same with any honest prefix") {
    for (const std::string prefix : {"", "./", "/", "../", "././", ".//"}) {
        CAPTURE(prefix);
        const auto i = opened(estargz_builder()
                                .directory(prefix + "d/")
                                .file(prefix + "d//f", "1")
                                .hardlink(prefix + "h", prefix + "d/./f"));
        CHECK(names(*i, 0) == list{"d", "h"});
        CHECK(at(*i, "h") == at(*i, "d/f"));
    }
}

TEST_CASE("names that climb, or that no system takes, are refused") {
    CHECK(refusal(file_entry("a/../../etc/passwd")).code() == errc::corrupt);
    CHECK(refusal(file_entry("a/..")).code() == errc::corrupt);
    CHECK(refusal(file_entry("a\\u0000b")).code() == errc::corrupt);
    CHECK(refusal(file_entry(std::string(256, 'n'))).code() == errc::corrupt);
    std::string deep;
    for (int i = 0; i < 2100; ++i) {
        deep += "d/";
    }
    CHECK(refusal(file_entry(deep + "f")).code() == errc::corrupt);
    CHECK(refusal(file_entry("")).context().find("root") != std::string::npos);
}

TEST_CASE("a name of 255 bytes and a path of 4096 are fine") {
    const std::string longest(255, 'n');
    std::string deep;
    for (int i = 0; i < 2047; ++i) {
        deep += "d/";
    }
    const auto i = opened(estargz_builder().file(longest, "1").file(deep + "ff", "2"));
    CHECK(at(*i, longest) > 0);
    CHECK(i->attributes(at(*i, deep + "ff")).size == 1);
}

TEST_CASE("bytes that are no UTF-8 stay what they are") {
    const auto i = opened(estargz_builder().file("caf\xe9\xff", "1").symlink("l", "\x80\x81"));
    CHECK(look_up(*i, "caf\xe9\xff"));
    CHECK(i->symlink_target(at(*i, "l")) == "\x80\x81");
}

TEST_CASE("of two entries of a name the last counts, and directories keep their children") {
    const auto i = opened(estargz_builder()
                            .directory("d", {.mode = 0700})
                            .file("d/f", "first")
                            .directory("d", {.mode = 0711, .mtime = 3})
                            .file("d/f", "second", {.mode = 0600})
                            .symlink("x", "y")
                            .directory("x")
                            .file("x/z", "in what was a link"));
    CHECK(i->attributes(at(*i, "d")).mode == (S_IFDIR | 0711));
    const auto f = at(*i, "d/f");
    CHECK(i->attributes(f).size == 6);
    CHECK(i->attributes(f).mode == (S_IFREG | 0600));
    REQUIRE(i->chunks(f).size() == 1);
    CHECK(i->chunks(f)[0].chunk == digest::of(as_bytes("second")));
    CHECK(i->attributes(at(*i, "x")).mode == (S_IFDIR | 0755));
    CHECK(i->all_chunks().size() == 2);
}

TEST_CASE("hard links share an entry, wherever their target stands") {
    const auto i = opened(estargz_builder()
                            .hardlink("a/early", "b/file") // before its target
                            .hardlink("chain", "a/early")
                            .file("b/file", "content", {.uid = 4}));
    const auto file = at(*i, "b/file");
    CHECK(at(*i, "a/early") == file);
    CHECK(at(*i, "chain") == file);
    CHECK(i->attributes(file).nlink == 3);
    CHECK(i->attributes(file).uid == 4);
    CHECK(i->content_bytes() == 7);
    CHECK(i->size() == 4); // root, a, b, the file
}

TEST_CASE("of a file and its hard links the last header counts") {
    const auto mode = [](std::string entries) {
        auto builder = estargz_builder();
        const auto i =
          opened(builder.file("data", std::string(200, 'x')).edit_toc([&](std::string) {
              return "{\"version\":1,\"entries\":[" + entries + "]}";
          }));
        return i->attributes(at(*i, "f")).mode & 07777;
    };
    const auto file = [](int bits) { return file_entry("f", ",\"mode\":" + std::to_string(bits)); };
    const auto link = [](int bits) {
        return R"({"name":"l","type":"hardlink","linkName":"f","mode":)" + std::to_string(bits) +
               "}";
    };
    CHECK(mode(file(0640) + "," + link(0600)) == 0600);
    CHECK(mode(link(0600) + "," + file(0640)) == 0640);
    // A file that comes again stands where it came last.
    CHECK(mode(file(0644) + "," + link(0600) + "," + file(0640)) == 0640);
}

TEST_CASE("hard links that lead nowhere are refused") {
    const auto link = [](const std::string& from, const std::string& to) {
        return R"({"name":")" + from + R"(","type":"hardlink","linkName":")" + to + R"("})";
    };
    CHECK(
      refusal(link("a", "b") + "," + link("b", "c") + "," + link("c", "a"))
        .context()
        .find("loop") != std::string::npos);
    CHECK(refusal(link("a", "a")).code() == errc::corrupt);
    CHECK(refusal(link("a", "missing")).context().find("missing") != std::string::npos);
    CHECK(refusal(link("a", "../b/../c")).code() == errc::corrupt);
    CHECK(refusal(R"({"name":"d","type":"dir"},)" + link("a", "d")).code() == errc::corrupt);
    CHECK(refusal(link("a", "")).code() == errc::corrupt);
}

TEST_CASE("a file that is named as a directory is refused") {
    const auto why = refusal(file_entry("a") + "," + file_entry("a/b"));
    CHECK(why.code() == errc::corrupt);
    CHECK(why.context().find("no directory") != std::string::npos);
    CHECK(refusal(file_entry("a/b") + "," + file_entry("a")).code() == errc::corrupt);
    CHECK(
      refusal(
        file_entry("f") + R"(,{"name":"l","type":"symlink","linkName":"x"},)" + file_entry("l/b"))
        .code() == errc::corrupt);
}

TEST_CASE("chunks cover a file in its order, and end where the next stream starts") {
    const std::string content(10'000, 'c');
    const auto blob = estargz_builder({.chunk_size = 4096})
                        .file("big", content)
                        .file("small", "s")
                        .file("empty", "")
                        .build();
    const auto i = opened(blob);
    const auto chunks = i->chunks(at(*i, "big"));
    REQUIRE(chunks.size() == 3);
    CHECK(chunks[0].size == 4096);
    CHECK(chunks[2].size == 10'000 - 2 * 4096);
    CHECK(chunks[2].file_offset == 8192);
    CHECK(chunks[0].compressed_end == chunks[1].blob_offset);
    const auto small = i->chunks(at(*i, "small"));
    REQUIRE(small.size() == 1);
    CHECK(chunks[2].compressed_end == small[0].blob_offset);
    CHECK(small[0].compressed_end == blob.toc_offset);
    CHECK(i->payload_size() == blob.toc_offset);
    CHECK(i->chunks(at(*i, "empty")).empty());
    for (const auto& c : i->all_chunks()) {
        CHECK(i->chunk_number(c) < 4);
    }
    CHECK(small[0].owner == at(*i, "small"));
}

// The reference refuses such blobs where it checks (formats: duplicate offsets).
TEST_CASE("files that share a stream have one offset and ranges to the next stream") {
    estargz_builder builder({.min_chunk_size = 100'000});
    for (int n = 0; n < 5; ++n) {
        builder.file("f" + std::to_string(n), "content " + std::to_string(n));
    }
    const auto blob = builder.prefetch_landmark().file("g", "behind").build();
    const auto i = opened(blob);
    const auto landmark = *i->prefetch_end();
    std::uint64_t previous = 0;
    for (int n = 0; n < 5; ++n) {
        const auto chunks = i->chunks(at(*i, "f" + std::to_string(n)));
        REQUIRE(chunks.size() == 1);
        CHECK(chunks[0].blob_offset == 0); // the stream of the first header
        CHECK(chunks[0].inner_offset > previous);
        CHECK(chunks[0].compressed_end == landmark);
        previous = chunks[0].inner_offset;
    }
    CHECK(i->chunks(at(*i, "g"))[0].blob_offset == landmark);
    CHECK(i->chunks(at(*i, "g"))[0].compressed_end == blob.toc_offset);
    std::pair<std::uint64_t, std::uint64_t> last;
    for (const auto number : i->by_offset()) {
        const auto& c = i->all_chunks()[number];
        const std::pair at(c.blob_offset, c.inner_offset);
        CHECK(at > last);
        last = at;
    }
    CHECK(i->lower_bound(0) == 0);
    CHECK(i->lower_bound(1) == 5);
    CHECK(i->lower_bound(landmark + 1) == 6);
}

TEST_CASE("the order of the TOC does not matter for where streams end") {
    const auto blob = estargz_builder()
                        .file("a", "1")
                        .file("b", "2")
                        .edit_toc([](std::string json) {
                            const auto entries = json.find('[') + 1;
                            const auto middle = json.find("},") + 1;
                            const auto end = json.find(']');
                            return json.substr(0, entries) +
                                   json.substr(middle + 1, end - middle - 1) + "," +
                                   json.substr(entries, middle - entries) + json.substr(end);
                        })
                        .build();
    const auto i = opened(blob);
    CHECK(i->chunks(at(*i, "a"))[0].compressed_end == i->chunks(at(*i, "b"))[0].blob_offset);
    CHECK(i->chunks(at(*i, "b"))[0].compressed_end == blob.toc_offset);
}

TEST_CASE("chunks that lie are refused") {
    const auto one = [](const std::string& more) { return refusal(file_entry("f", more)).code(); };
    CHECK(one(R"(,"offset":1000)") == errc::corrupt);
    CHECK(one(R"(,"offset":-1)") == errc::corrupt);
    CHECK(one(R"(,"offset":9223372036854775807)") == errc::corrupt);
    CHECK(one(R"(,"offset":9223372036854775808)") == errc::corrupt);
    CHECK(one(R"(,"offset":1.5)") == errc::corrupt);
    CHECK(one(R"(,"offset":"100")") == errc::corrupt);
    CHECK(one(R"(,"size":-10)") == errc::corrupt);
    CHECK(one(R"(,"size":9223372036854775807)") == errc::unsupported); // one chunk of that size
    CHECK(one(R"(,"size":200000000)") == errc::corrupt);               // 900 bytes cannot hold it
    CHECK(one(R"(,"innerOffset":-1)") == errc::corrupt);
    CHECK(one(R"(,"innerOffset":9223372036854775807)") == errc::corrupt);
    CHECK(one(R"(,"innerOffset":1000000)") == errc::corrupt);
    CHECK(one(R"(,"chunkSize":11)") == errc::corrupt);
    CHECK(one(R"(,"chunkSize":-1)") == errc::corrupt);
    CHECK(
      one(R"(,"chunkOffset":1,"chunkDigest":")" + std::string(some_digest) + "\"") ==
      errc::corrupt);
    CHECK(one(R"(,"chunkOffset":-1)") == errc::corrupt);
    CHECK(one(R"(,"chunkDigest":"sha256:xyz")") == errc::corrupt);
    CHECK(one(R"(,"chunkDigest":"md5:d41d8cd98f00b204e9800998ecf8427e")") == errc::corrupt);
}

TEST_CASE("offsets beyond 4 GiB are read as they are") {
    const auto member =
      test::toc_member_of("{\"entries\":[" + file_entry("f", R"(,"offset":5000000000)") + "]}");
    toc_input input;
    input.member = as_bytes(member);
    input.payload_size = 6'000'000'000;
    auto compiled = compile_index(input);
    REQUIRE_MESSAGE(compiled, compiled.error().context());
    auto i = index::from_buffer(std::move(compiled->bytes));
    REQUIRE(i);
    CHECK((*i)->all_chunks()[0].blob_offset == 5'000'000'000);
    CHECK((*i)->all_chunks()[0].compressed_end == 6'000'000'000);
}

TEST_CASE("gaps, overlaps and chunks of nothing are refused") {
    const std::string with_digest = R"(","chunkDigest":")" + std::string(some_digest) + R"(")";
    const auto chunk = [&](int offset, int size) {
        return R"(,{"type":"chunk","name":"f","offset":200,"chunkOffset":)" +
               std::to_string(offset) + R"(,"chunkSize":)" + std::to_string(size) +
               R"(,"digest":")" + with_digest + "}";
    };
    const auto first =
      file_entry("f", R"(,"chunkSize":4,"chunkDigest":")" + std::string(some_digest) + "\"");
    CHECK(refusal(first).context().find("end before") != std::string::npos);
    CHECK(refusal(first + chunk(5, 5)).context().find("gap") != std::string::npos);
    CHECK(refusal(first + chunk(3, 7)).context().find("overlap") != std::string::npos);
    CHECK(refusal(first + chunk(4, 3)).context().find("end before") != std::string::npos);
    CHECK(refusal(first + chunk(4, 7)).code() == errc::corrupt);
    CHECK(refusal(first + chunk(10, 0)).code() == errc::corrupt);
    CHECK(refusal(first + R"(,{"type":"dir","name":"d"})" + chunk(4, 6)).code() == errc::corrupt);
    CHECK(refusal(chunk(0, 4).substr(1)).code() == errc::corrupt);
    CHECK(refusal(R"({"name":"e","type":"reg"})" + chunk(0, 4)).code() == errc::corrupt);
}

TEST_CASE("chunks may come in any order") {
    const std::string d = R"(,"chunkDigest":")" + std::string(some_digest) + R"("})";
    const auto member = test::toc_member_of(
      R"({"entries":[{"name":"f","type":"reg","size":10,"offset":1,"chunkSize":4)" + d +
      R"(,{"type":"chunk","offset":200,"chunkOffset":7)" + d +
      R"(,{"type":"chunk","offset":100,"chunkOffset":4,"chunkSize":3)" + d + "]}");
    toc_input input;
    input.member = as_bytes(member);
    input.payload_size = 1000;
    auto compiled = compile_index(input);
    REQUIRE(compiled);
    auto i = index::from_buffer(std::move(compiled->bytes));
    REQUIRE(i);
    const auto chunks = (*i)->chunks(at(**i, "f"));
    REQUIRE(chunks.size() == 3);
    CHECK(chunks[1].blob_offset == 100);
    CHECK(chunks[2].size == 3);
    CHECK(chunks[2].compressed_end == 1000);
}

// The reference's database store knows chunkDigest only.
TEST_CASE("a file in one chunk may go by its own digest, a larger one may not") {
    const auto i = opened(estargz_builder({.legacy = true}).file("f", "content"));
    CHECK(i->chunks(at(*i, "f"))[0].chunk == digest::of(as_bytes("content")));

    auto compiled = test::compile(
      estargz_builder({.chunk_size = 4, .legacy = true}).file("f", "content").build());
    REQUIRE_FALSE(compiled);
    CHECK(compiled.error().code() == errc::unsupported);
    CHECK(compiled.error().context().find("cannot be verified") != std::string::npos);
}

// The reference gives a known whiteout the attributes of its entry.
TEST_CASE("a whiteout is a character device 0:0 without permissions") {
    const auto i = opened(estargz_builder()
                            .file("d/.wh.gone", "", {.mode = 0644, .uid = 7, .gid = 8, .mtime = 99})
                            .file("d/stays", "1"));
    CHECK(names(*i, at(*i, "d")) == list{"gone", "stays"});
    CHECK_FALSE(look_up(*i, "d/.wh.gone"));
    const auto a = i->attributes(at(*i, "d/gone"));
    CHECK(a.mode == S_IFCHR);
    CHECK(a.rdev_major == 0);
    CHECK(a.rdev_minor == 0);
    CHECK(a.uid == 0);
    CHECK(a.gid == 0);
    CHECK(a.size == 0);
    CHECK(a.nlink == 1);
    CHECK(a.mtime == 99);
    CHECK(i->chunks(at(*i, "d/gone")).empty());
}

TEST_CASE("a real entry wins over the whiteout of its name") {
    const auto i =
      opened(estargz_builder().file("d/.wh.f", "").file("d/f", "real").whiteout("d/g"));
    CHECK(names(*i, at(*i, "d")) == list{"f", "g"});
    CHECK(i->attributes(at(*i, "d/f")).mode == (S_IFREG | 0644));
    CHECK(i->attributes(at(*i, "d/g")).mode == S_IFCHR);
}

TEST_CASE("opaque directories are flagged, and no .wh. name is shown") {
    const auto i = opened(estargz_builder()
                            .opaque("d")
                            .file("d/f", "1")
                            .opaque("")
                            .file("d/.wh..wh.plnk/x", "1")
                            .file("d/.wh.", "")
                            .file("d/.wh..", "")
                            .file("d/.wh...", "")
                            .directory("e"));
    CHECK(i->opaque(at(*i, "d")));
    CHECK(i->opaque(0));
    CHECK_FALSE(i->opaque(at(*i, "e")));
    CHECK(names(*i, at(*i, "d")) == list{"f"});
    CHECK(i->size() == 4);
}

TEST_CASE("a hard link to a hidden name is a file of its own") {
    const auto i = opened(
      estargz_builder().file("d/.wh..wh.plnk/1.2", "linked").hardlink("d/f", "d/.wh..wh.plnk/1.2"));
    CHECK(names(*i, at(*i, "d")) == list{"f"});
    CHECK(i->attributes(at(*i, "d/f")).nlink == 1);
    CHECK(i->attributes(at(*i, "d/f")).size == 6);
    CHECK(i->parent(at(*i, "d/f")) == at(*i, "d"));
}

TEST_CASE("landmarks tell what to prefetch, and are hidden in the root only") {
    const auto blob = estargz_builder()
                        .file("first", "1")
                        .prefetch_landmark()
                        .file("d/.prefetch.landmark", "a user's")
                        .file("d/.no.prefetch.landmark", "a user's")
                        .file(".stargz-snapshotter/x.json", "reserved")
                        .build();
    const auto i = opened(blob);
    CHECK(names(*i, 0) == list{"d", "first"});
    CHECK(names(*i, at(*i, "d")) == list{".no.prefetch.landmark", ".prefetch.landmark"});
    const auto first = i->chunks(at(*i, "first"))[0];
    CHECK(i->prefetch_end() == first.compressed_end);
    CHECK_FALSE(i->no_prefetch());

    const auto none = opened(estargz_builder().no_prefetch_landmark().file("f", "1"));
    CHECK(none->no_prefetch());
    CHECK_FALSE(none->prefetch_end());
    CHECK(names(*none, 0) == list{"f"});
}

// The reference's database store loses empty values.
TEST_CASE("extended attributes survive, empty and binary ones too") {
    const std::string binary("\0\x01\xff\n", 4);
    const auto i = opened(
      estargz_builder()
        .file(
          "f", "1",
          {.xattrs = {{"user.empty", ""}, {"security.capability", binary}, {"user.z", "zz"}}})
        .directory("d", {.xattrs = {{"user.z", "zz"}}}));
    const auto f = at(*i, "f");
    REQUIRE(i->xattr_count(f) == 3);
    CHECK(i->xattr(f, 0).name == "security.capability");
    CHECK(i->xattr(f, 0).value == binary);
    CHECK(i->xattr(f, 1).name == "user.empty");
    CHECK(i->find_xattr(f, "user.empty") == "");
    CHECK(i->find_xattr(at(*i, "d"), "user.z") == "zz");
    CHECK_FALSE(i->find_xattr(f, "user.none"));
    CHECK_FALSE(i->find_xattr(0, "user.z"));
}

TEST_CASE("extended attributes that no system takes are refused") {
    const auto with = [](const std::string& xattrs) {
        return refusal(R"({"name":"f","type":"reg","xattrs":{)" + xattrs + "}}").code();
    };
    CHECK(with(R"("user.a":"not base64")") == errc::corrupt);
    CHECK(with(R"("user.a":"AAA")") == errc::corrupt);
    CHECK(with(R"("user.a":7)") == errc::corrupt);
    CHECK(with(R"("":"AAAA")") == errc::corrupt);
    CHECK(with("\"" + std::string(256, 'n') + R"(":"AAAA")") == errc::corrupt);
    CHECK(with(R"("user.a":")" + std::string(100'000, 'A') + "\"") == errc::corrupt);
}

TEST_CASE("owners, modes and devices out of range are refused") {
    const auto with = [](const std::string& more) {
        return refusal(R"({"name":"f","type":"char")" + more + "}").code();
    };
    CHECK(with(R"(,"uid":-1)") == errc::corrupt);
    CHECK(with(R"(,"gid":4294967295)") == errc::corrupt);
    CHECK(with(R"(,"mode":-1)") == errc::corrupt);
    CHECK(with(R"(,"devMajor":4096)") == errc::corrupt);
    CHECK(with(R"(,"devMinor":-1)") == errc::corrupt);
}

// The reference's ids follow the order of a Go map, so they change at each mount.
TEST_CASE("ids and bytes are the same for the same tree, whatever the order of its entries") {
    const auto entries = [](bool forward) {
        estargz_builder builder;
        list files{"b/2", "a/1", "c", "b/1", "a/z/y"};
        if (!forward) {
            std::reverse(files.begin(), files.end());
        }
        for (const auto& f : files) {
            builder.symlink(f, "target of " + f);
        }
        return opened(builder);
    };
    const auto one = entries(true);
    const auto other = entries(false);
    for (const auto* path : {"a", "a/1", "a/z", "a/z/y", "b", "b/1", "b/2", "c"}) {
        CHECK(at(*one, path) == at(*other, path));
    }
    CHECK(at(*one, "a") == 1);
    CHECK(at(*one, "c") == 3);
    CHECK(at(*one, "a/1") == 4);

    const auto blob = estargz_builder().file("x/y", "1", {.xattrs = {{"user.a", "b"}}}).build();
    auto first = test::compile(blob);
    auto second = test::compile(blob);
    REQUIRE(first);
    REQUIRE(second);
    CHECK(as_text(first->bytes.span()) == as_text(second->bytes.span()));
}

TEST_CASE("a TOC of another digest is refused, whatever is in it") {
    const auto blob = estargz_builder().file("f", "1").build();
    toc_input input;
    input.member = blob.toc_member();
    input.payload_size = blob.toc_offset;
    input.expected = digest::of(as_bytes("another"));
    auto compiled = compile_index(input);
    REQUIRE_FALSE(compiled);
    CHECK(compiled.error().code() == errc::corrupt);
    CHECK(compiled.error().context().find(blob.toc.to_string()) != std::string::npos);
    CHECK(compiled.error().context().find(input.expected->to_string()) != std::string::npos);

    input.expected.reset(); // verification is off
    compiled = compile_index(input);
    REQUIRE(compiled);
    CHECK(compiled->toc == blob.toc);
}

TEST_CASE("a TOC held whole and one parsed as it comes give the same index") {
    const auto layer = [](int megabytes) {
        std::string padding = "\"unknown\":[";
        for (int i = 0; i < 2 * megabytes; ++i) {
            padding += '"' + std::string(512 << 10, 'x') + "\",";
        }
        padding += "0],";
        return estargz_builder()
          .file("a/\xc3\xa4 \"quoted\"", "1", {.xattrs = {{"user.a", "b"}}})
          .symlink("s", "a\\b")
          .edit_toc(
            [padding](std::string json) { return json.insert(json.find('{') + 1, padding); })
          .build();
    };
    const auto small = test::compile(layer(0));
    const auto large = test::compile(layer(20));
    REQUIRE(small);
    REQUIRE(large);
    CHECK(small->toc != large->toc);
    const auto tables = [](const compiled_index& i) {
        return as_text(i.bytes.span().subspan(sizeof(index_format::header)));
    };
    CHECK(tables(*small) == tables(*large));
    const auto i =
      opened(estargz_builder().file("a/\xc3\xa4 \"quoted\"", "1", {.xattrs = {{"user.a", "b"}}}));
    CHECK(i->attributes(at(*i, "a/\xc3\xa4 \"quoted\"")).size == 1);
}

TEST_CASE("what expands without end stops at the limit") {
    // More JSON than allowed, by its own tar header.
    toc_limits small;
    small.max_json_bytes = 1 << 20;
    CHECK(refusal(std::string(2 << 20, ' '), small).code() == errc::unsupported);
    // 40 MB of blanks, and one string of 40 MB: neither is gathered in memory.
    CHECK(refusal(std::string(40 << 20, ' ')).context().find("token") != std::string::npos);
    CHECK(
      refusal("{\"name\":\"" + std::string(40 << 20, 'n') + "\"}").context().find("token") !=
      std::string::npos);
    std::string many;
    for (int i = 0; i < 100'000; ++i) {
        many += R"({"name":"a","type":"dir"},)";
    }
    toc_limits few;
    few.max_entries = 10'000;
    const auto why = refusal(many, few);
    CHECK(why.code() == errc::unsupported);
    CHECK(why.context().find("10000 entries") != std::string::npos);
}

TEST_CASE("directories that names imply count as files") {
    toc_limits few;
    few.max_entries = 100;
    std::string deep;
    for (int i = 0; i < 200; ++i) {
        deep += "d/";
    }
    CHECK(refusal(file_entry(deep + "f"), few).code() == errc::unsupported);
    toc_limits short_text;
    short_text.max_text_bytes = 100;
    CHECK(refusal(file_entry(std::string(200, 'f')), short_text).code() == errc::unsupported);
}

} // namespace firstlight
