#include "bench/lanes/layers.h"

#include "actors/buffer.h"
#include "bench/lanes/settings.h"
#include "test/estargz_builder.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

namespace firstlight::lanes {

namespace {

constexpr std::uint64_t chunk_size = 4 << 20;
constexpr std::size_t segment_size = 64 << 10;
constexpr std::size_t segment_count = 64;

std::string noise(std::size_t size, std::mt19937_64& random) {
    std::string text(size, '\0');
    for (std::size_t i = 0; i + 8 <= size; i += 8) {
        const auto word = random();
        std::memcpy(text.data() + i, &word, sizeof word);
    }
    return text;
}

/// Text and the deflate blocks it is packed in, ended so that others can follow.
struct segment {
    std::string text;
    std::string blocks;
    uLong crc = 0;
};

segment make_segment(std::mt19937_64& random) {
    segment s;
    s.text = noise(segment_size, random);
    for (auto& c : s.text) {
        c = static_cast<char>('a' + (c & 15)); // four bits of eight: half the size
    }
    s.crc = crc32(0, reinterpret_cast<const Bytef*>(s.text.data()), segment_size);
    z_stream z{};
    if (deflateInit2(&z, 6, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        give_up("deflateInit2");
    }
    s.blocks.resize(deflateBound(&z, segment_size) + 16);
    z.next_in = reinterpret_cast<Bytef*>(s.text.data());
    z.avail_in = segment_size;
    z.next_out = reinterpret_cast<Bytef*>(s.blocks.data());
    z.avail_out = static_cast<uInt>(s.blocks.size());
    deflate(&z, Z_FULL_FLUSH);
    s.blocks.resize(s.blocks.size() - z.avail_out);
    deflateEnd(&z);
    return s;
}

std::string little_endian(std::uint32_t n) {
    std::string four;
    for (int i = 0; i < 4; ++i, n >>= 8) {
        four += static_cast<char>(n);
    }
    return four;
}

/// A chunk's content and the gzip member it is stored as.
struct chunk_bytes {
    std::string text;
    std::string member;
};

chunk_bytes stored_chunk(std::size_t size, std::mt19937_64& random) {
    chunk_bytes c;
    c.text = noise(size, random);
    c.member = test::gzip_member(c.text, 0);
    return c;
}

// Segments in an order of this chunk's own: gigabytes of distinct chunks for the price of
// copying, and an inflater has the same work with them.
chunk_bytes packed_chunk(std::size_t size, std::mt19937_64& random) {
    static const auto segments = [] {
        std::mt19937_64 fixed(64);
        std::vector<segment> all;
        for (std::size_t i = 0; i < segment_count; ++i) {
            all.push_back(make_segment(fixed));
        }
        return all;
    }();
    chunk_bytes c;
    c.member.assign("\x1f\x8b\x08\0\0\0\0\0\0\xff", 10);
    uLong crc = 0;
    while (c.text.size() < size) {
        const auto& s = segments[random() % segment_count];
        c.text += s.text;
        c.member += s.blocks;
        crc = crc32_combine(crc, s.crc, segment_size);
    }
    c.member.append("\x03\0", 2); // the last block, an empty one
    c.member += little_endian(static_cast<std::uint32_t>(crc));
    c.member += little_endian(static_cast<std::uint32_t>(c.text.size()));
    return c;
}

class layer_writer {
public:
    layer_writer()
      : fd_(::memfd_create("layer", MFD_CLOEXEC)) {
        if (fd_ < 0) {
            give_up("no file in memory for a layer");
        }
    }

    void file(unsigned number, std::uint64_t size, const layer_plan& plan, std::mt19937_64& r) {
        for (std::uint64_t at = 0; at < size; at += chunk_size) {
            const auto part = std::min(size - at, chunk_size);
            const auto c = plan.packed ? packed_chunk(part, r) : stored_chunk(part, r);
            auto entry = fmt::format(R"({{"name":"f{}",)", number);
            entry += at == 0 ? fmt::format(R"("type":"reg","size":{},"mode":420,)", size)
                             : std::string(R"("type":"chunk",)");
            entries_ += fmt::format(
              "{}{}\"offset\":{},\"chunkOffset\":{},\"chunkSize\":{},\"chunkDigest\":\"{}\"}}",
              entries_.empty() ? "" : ",\n", entry, size_, at, part,
              digest::of(as_bytes(c.text)).to_string());
            write(c.member);
        }
    }

    made_layer finish() {
        made_layer made;
        made.outline.payload_size = size_;
        made.outline.toc_member =
          test::toc_member_of("{\"version\":1,\"entries\":[" + entries_ + "]}", 6);
        write(made.outline.toc_member);
        write(test::estargz_footer(made.outline.payload_size));
        made.outline.blob = sum_.finish();
        made.outline.size = size_;
        made.bytes = fd_;
        return made;
    }

private:
    void write(std::string_view bytes) {
        sum_.update(as_bytes(bytes));
        size_ += bytes.size();
        while (!bytes.empty()) {
            const auto n = ::write(fd_, bytes.data(), bytes.size());
            if (n <= 0) {
                give_up("no memory for the layers: fewer --layers, --layer-mb or --files");
            }
            bytes.remove_prefix(static_cast<std::size_t>(n));
        }
    }

    int fd_;
    std::uint64_t size_ = 0;
    hasher sum_;
    std::string entries_;
};

} // namespace

made_layer make_layer(const layer_plan& plan) {
    std::mt19937_64 random(plan.seed);
    layer_writer w;
    if (plan.megabytes > 0) {
        // A whole number of segments.
        const auto size = std::uint64_t{plan.megabytes} * 1'000'000 / segment_size * segment_size;
        w.file(0, size, plan, random);
    }
    for (unsigned i = 0; i < plan.files; ++i) {
        w.file(i, file_size, plan, random);
    }
    return w.finish();
}

} // namespace firstlight::lanes
