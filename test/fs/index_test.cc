#include "fs/index.h"

#include "test/fs/layer_rig.h"

#include <cstring>

namespace firstlight {

namespace {

namespace format = index_format;
using test::at;

buffer sample() {
    auto compiled = test::compile(test::estargz_builder({.chunk_size = 4})
                                    .directory("d")
                                    .file("d/f", "0123456789", {.xattrs = {{"user.a", "v"}}})
                                    .hardlink("d/g", "d/f")
                                    .symlink("l", "target")
                                    .build());
    REQUIRE(compiled);
    return std::move(compiled->bytes);
}

/// A sample index to damage at will; its checksum is made right again.
struct damaged_index {
    buffer bytes = sample();
    format::header h = header();

    format::header header() {
        format::header from;
        std::memcpy(&from, bytes.data(), sizeof from);
        return from;
    }
    template <class T>
    T& record(const format::section& s, std::size_t i) {
        return reinterpret_cast<T*>(bytes.data() + s.offset)[i];
    }
    fault refusal() {
        std::memcpy(bytes.data(), &h, sizeof h);
        h.checksum = format::checksum(bytes.span());
        std::memcpy(bytes.data(), &h, sizeof h);
        auto opened = index::from_buffer(std::move(bytes));
        REQUIRE_FALSE(opened);
        return opened.error();
    }
};

} // namespace

TEST_CASE("any damage to an index is noticed") {
    const auto good = sample();
    REQUIRE(index::from_buffer(buffer::copy_of(good.span())));
    for (std::size_t i = 0; i < good.size(); ++i) {
        auto bad = buffer::copy_of(good.span());
        bad.data()[i] ^= std::byte{0x10};
        auto opened = index::from_buffer(std::move(bad));
        REQUIRE_FALSE(opened);
        // The version is another's affair.
        const bool version = i >= offsetof(format::header, version) &&
                             i < offsetof(format::header, version) + sizeof(std::uint32_t);
        CHECK(opened.error().code() == (version ? errc::unsupported : errc::corrupt));
    }
    for (std::size_t size = 0; size < good.size(); size += 7) {
        CHECK_FALSE(index::from_buffer(buffer::copy_of(good.span().first(size))));
    }
}

TEST_CASE_FIXTURE(damaged_index, "tables outside of the file are refused") {
    SUBCASE("offset") {
        h.inodes.offset = bytes.size() + 8;
    }
    SUBCASE("overflow") {
        h.names.count = ~0ULL / sizeof(format::name) + 2;
    }
    SUBCASE("unaligned") {
        h.chunks.offset += 4;
    }
    SUBCASE("too many") {
        h.pool.count = bytes.size();
    }
    SUBCASE("none") {
        h.inodes.count = 0;
    }
    SUBCASE("fewer chunks in order") {
        h.by_offset.count -= 1;
    }
    SUBCASE("fewer names") {
        h.names.count -= 1;
    }
    CHECK(refusal().code() == errc::corrupt);
}

TEST_CASE_FIXTURE(damaged_index, "records that lead astray are refused") {
    auto& root = record<format::inode>(h.inodes, 0);
    auto& directory = record<format::inode>(h.inodes, 1);
    auto& link = record<format::inode>(h.inodes, 2);
    auto& file = record<format::inode>(h.inodes, 3);
    auto& name = record<format::name>(h.names, 0);
    auto& chunk = record<chunk_record>(h.chunks, 1);
    SUBCASE("names of a directory") {
        directory.first = 1000;
    }
    SUBCASE("count of names") {
        directory.count = ~0U;
    }
    SUBCASE("links of a directory") {
        root.nlink = 2;
    }
    SUBCASE("links of a file") {
        file.nlink = 1;
    }
    SUBCASE("parent that is later") {
        directory.parent = 3;
    }
    SUBCASE("parent that is no directory") {
        file.parent = 2;
    }
    SUBCASE("root that is no directory") {
        root.mode = 0100644;
    }
    SUBCASE("no type") {
        file.mode = 0;
    }
    SUBCASE("target beyond the pool") {
        link.first = ~0U;
    }
    SUBCASE("size of a target") {
        link.size = 3;
    }
    SUBCASE("name beyond the pool") {
        name.offset = ~0U;
    }
    SUBCASE("empty name") {
        name.size = 0;
    }
    SUBCASE("entry beyond the table") {
        name.id = 1000;
    }
    SUBCASE("the root below itself") {
        name.id = 0;
    }
    SUBCASE("two names for a directory") {
        record<format::name>(h.names, 1).id = 1;
    }
    SUBCASE("chunks out of order") {
        chunk.file_offset = 0;
    }
    SUBCASE("chunk of another file") {
        chunk.owner = 2;
    }
    SUBCASE("chunk beyond the data") {
        chunk.compressed_end = h.payload_size + 1;
    }
    SUBCASE("chunk that ends before it starts") {
        chunk.compressed_end = chunk.blob_offset;
    }
    SUBCASE("chunk of nothing") {
        chunk.size = 0;
    }
    SUBCASE("chunk too large") {
        chunk.size = ~0U;
    }
    SUBCASE("chunk too far inside") {
        chunk.inner_offset = ~0ULL;
    }
    SUBCASE("file of another size") {
        file.size += 1;
    }
    SUBCASE("order of chunks") {
        record<std::uint32_t>(h.by_offset, 0) = 1;
    }
    SUBCASE("chunk beyond the table") {
        record<std::uint32_t>(h.by_offset, 2) = 3;
    }
    SUBCASE("xattr beyond the pool") {
        record<format::xattr>(h.xattrs, 0).value_size = ~0U;
    }
    SUBCASE("xattrs of a file") {
        file.xattr_count = 2;
    }
    SUBCASE("sum of the sizes") {
        h.content_bytes += 1;
    }
    SUBCASE("name with a slash") {
        bytes.data()[h.pool.offset + name.offset] = std::byte{'/'};
    }
    CHECK(refusal().code() == errc::corrupt);
}

TEST_CASE("lookups find what is there, and nothing else") {
    auto opened = index::from_buffer(sample());
    REQUIRE(opened);
    const auto& i = **opened;
    const auto f = at(i, "d/f");
    CHECK(i.contains(f));
    CHECK_FALSE(i.contains(i.size()));
    CHECK_FALSE(i.find(0, "c"));
    CHECK_FALSE(i.find(0, ""));
    CHECK_FALSE(i.find(0, "dd"));
    CHECK_FALSE(i.find(f, "f")); // no directory
    CHECK(i.child_count(f) == 0);
    CHECK(i.chunks(at(i, "d")).empty());
    CHECK(i.symlink_target(f).empty());
    CHECK(i.is_directory(0));
    CHECK(i.is_regular(f));
    CHECK(i.chunks(f).size() == 3);
    CHECK(i.chunk_number(i.chunks(f)[2]) == 2);
    CHECK(i.child(at(i, "d"), 1).name == "g");
    CHECK(i.child(at(i, "d"), 1).id == f);
    CHECK(i.file_bytes() == sample().size());
}

} // namespace firstlight
