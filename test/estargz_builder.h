#pragma once
// Makes small eStargz layers for tests, valid ones and ones that lie.

#include "actors/digest.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace firstlight::test {

/// A layer blob and what a test wants to know about it.
struct estargz_blob {
    std::string bytes; // what a registry serves
    std::string toc_json;
    digest toc;     // sha256 of toc_json: label containerd.io/snapshot/stargz/toc.digest
    digest layer;   // sha256 of bytes
    digest diff_id; // sha256 of what the blob inflates to
    std::uint64_t toc_offset = 0;
    std::uint64_t footer_size = 0;

    std::span<const std::byte> span() const;
    /// The gzip member that holds the TOC.
    std::span<const std::byte> toc_member() const;
};

/// Attributes of an entry to add; a plain value with sensible defaults.
struct file_attributes {
    std::uint32_t mode = 0644;
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::int64_t mtime = 1'600'000'000;
    std::map<std::string, std::string> xattrs = {};
};

/// Builds a layer entry by entry, in the order of the calls. Names are put into
/// the tar as they are given, so ones with "./" or "../" can be tried.
class estargz_builder {
public:
    struct options {
        std::uint64_t chunk_size = 4 << 20;
        /// Files share a stream until it has this many compressed bytes; 0: a stream per chunk.
        std::uint64_t min_chunk_size = 0;
        bool legacy = false; // a CRFS footer, no chunk digests
        int level = 6;       // of zlib
    };
    estargz_builder();
    explicit estargz_builder(options how);

    estargz_builder& file(std::string name, std::string_view content, file_attributes a = {});
    estargz_builder& directory(std::string name, file_attributes a = {.mode = 0755});
    estargz_builder& symlink(std::string name, std::string target, file_attributes a = {});
    estargz_builder& hardlink(std::string name, std::string target);
    estargz_builder& character_device(
      std::string name, std::uint32_t major, std::uint32_t minor, file_attributes a = {});
    estargz_builder& block_device(
      std::string name, std::uint32_t major, std::uint32_t minor, file_attributes a = {});
    estargz_builder& fifo(std::string name, file_attributes a = {});
    /// `.wh.<base>` in the directory of `path`.
    estargz_builder& whiteout(std::string path);
    /// `.wh..wh..opq` in `directory`.
    estargz_builder& opaque(std::string directory);
    estargz_builder& prefetch_landmark();
    estargz_builder& no_prefetch_landmark();

    /// Adds a TOC entry, as JSON text, that the tar knows nothing of.
    estargz_builder& raw_entry(std::string json);
    /// Changes the TOC's JSON before it is hashed, packed and appended.
    estargz_builder& edit_toc(std::function<std::string(std::string)> edit);

    estargz_blob build() const;

private:
    struct item {
        char type = '0'; // tar's type flag; 'R' for a raw TOC entry
        std::string name = {}, content = {}, target = {};
        file_attributes attributes = {};
        std::uint32_t major = 0, minor = 0;
    };
    class writer;

    estargz_builder& add(item i);

    options how_;
    std::vector<item> items_;
    std::function<std::string(std::string)> edit_;
};

/// A gzip member of `content`, as zlib makes it.
std::string gzip_member(std::string_view content, int level = 6);
/// The gzip member that holds `json` as a TOC (a tar with stargz.index.json).
std::string toc_member_of(std::string_view json, int level = 9);
/// An eStargz footer for a TOC at `toc_offset`; legacy: CRFS's.
std::string estargz_footer(std::uint64_t toc_offset, bool legacy = false);

} // namespace firstlight::test
