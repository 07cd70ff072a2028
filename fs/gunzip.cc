#include "fs/gunzip.h"

#include "fs/gzip_member.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <string>

namespace firstlight {

namespace {

using bytes = std::span<const std::byte>;

// In the output behind the last wanted byte stand the padding of the file and
// the tar headers of the entries up to the next with data; usually few.
constexpr std::uint64_t usual_slack = 16 << 10;
// What we spend at most on output that nobody wants, to get by with libdeflate.
constexpr std::uint64_t max_slack = 1 << 20;
// zlib's share is what is left over, and stops early, so it gets by with a window.
constexpr std::size_t window_size = 64 << 10;

std::uint64_t end_of(std::span<const wanted_bytes> wanted) {
    std::uint64_t end = 0;
    for (const auto& w : wanted) {
        end = std::max(end, w.inner_offset + w.size);
    }
    return end;
}

/// Takes inflated bytes as they come and puts what is wanted where it belongs.
class collector {
public:
    explicit collector(std::span<const wanted_bytes> wanted)
      : wanted_(wanted) {
        pieces_.reserve(wanted.size());
        for (const auto& w : wanted) {
            pieces_.emplace_back(w.size);
        }
    }

    void take(std::uint64_t offset, bytes inflated) {
        const auto end = offset + inflated.size();
        for (std::size_t i = 0; i < wanted_.size(); ++i) {
            const auto first = std::max(offset, wanted_[i].inner_offset);
            const auto last = std::min(end, wanted_[i].inner_offset + wanted_[i].size);
            if (first < last) {
                std::memcpy(
                  pieces_[i].data() + (first - wanted_[i].inner_offset),
                  inflated.data() + (first - offset), last - first);
            }
        }
    }

    std::vector<buffer> pieces() && { return std::move(pieces_); }

private:
    std::span<const wanted_bytes> wanted_;
    std::vector<buffer> pieces_;
};

// Inflates members into `out` until it has `end` bytes. False if one of them has
// more than fits, or is damaged: walking it may still give what is wanted.
bool inflate_members(bytes in, std::span<std::byte> out, std::uint64_t end) {
    const auto decompressor = make_gzip_decompressor();
    std::uint64_t at = 0;
    while (at < end) {
        std::size_t used = 0;
        std::size_t made = 0;
        const auto outcome = libdeflate_gzip_decompress_ex(
          decompressor.get(), in.data(), in.size(), out.data() + at, out.size() - at, &used, &made);
        if (outcome != LIBDEFLATE_SUCCESS) {
            return false;
        }
        in = in.subspan(used);
        at += made;
    }
    return true;
}

// How much room inflate_members() needs, by the length that the last member
// states where that is believable.
std::uint64_t room_for(bytes compressed, std::uint64_t end) {
    const std::uint64_t stated = stated_length(compressed);
    return stated >= end && stated <= end + max_slack ? stated : end + usual_slack;
}

/// Walks members with zlib up to the last wanted byte.
class walker {
public:
    explicit walker(bytes in)
      : in_(in) {
        if (inflateInit2(&z_, 16 + MAX_WBITS) != Z_OK) { // 16: a gzip header
            throw std::bad_alloc();
        }
    }
    ~walker() { inflateEnd(&z_); }
    walker(const walker&) = delete;
    walker& operator=(const walker&) = delete;

    /// Returns how far it came: `end`, or less if the stream is damaged or short.
    std::uint64_t run(std::uint64_t end, collector& to) {
        const auto window = std::make_unique_for_overwrite<std::byte[]>(window_size);
        std::uint64_t at = 0;
        while (at < end) {
            z_.next_out = reinterpret_cast<Bytef*>(window.get());
            z_.avail_out = static_cast<uInt>(std::min<std::uint64_t>(window_size, end - at));
            const auto wanted = z_.avail_out;
            const bool more = step();
            const auto made = wanted - z_.avail_out;
            to.take(at, {window.get(), made});
            at += made;
            if (!more) {
                break;
            }
        }
        return at;
    }

private:
    // Some output, or the end of a member, or false if there will be neither.
    bool step() {
        const auto fed = std::min<std::size_t>(in_.size(), std::numeric_limits<uInt>::max());
        z_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(in_.data()));
        z_.avail_in = static_cast<uInt>(fed);
        const int state = inflate(&z_, Z_NO_FLUSH);
        in_ = in_.subspan(fed - z_.avail_in);
        if (state == Z_STREAM_END) {
            return inflateReset(&z_) == Z_OK;
        }
        return state == Z_OK;
    }

    z_stream z_{};
    bytes in_;
};

struct outcome {
    std::vector<buffer> pieces;
    std::uint64_t reached = 0; // pieces that end behind this are not whole
};

outcome decode(bytes compressed, std::span<const wanted_bytes> wanted) {
    std::uint64_t sum = 0;
    for (const auto& w : wanted) {
        sum += w.size;
    }
    const auto end = end_of(wanted);
    collector to(wanted);
    // Where most of the output is dropped, walking costs no memory for it.
    if (end <= 2 * sum + max_slack) {
        buffer out(room_for(compressed, end));
        if (inflate_members(compressed, out.span(), end)) {
            to.take(0, out.span().first(end));
            return {std::move(to).pieces(), end};
        }
    }
    const auto reached = walker(compressed).run(end, to);
    return {std::move(to).pieces(), reached};
}

fault broken(std::uint64_t reached) {
    return {
      errc::corrupt, "gzip stream of the layer is damaged or ends behind byte " +
                       std::to_string(reached) + " of its content, before its last chunk does"};
}

result<buffer> verified(buffer content, const chunk_record& chunk) {
    const auto actual = digest::of(std::as_const(content).span());
    if (actual != chunk.chunk) {
        return fault(
          errc::corrupt, "chunk at blob offset " + std::to_string(chunk.blob_offset) + "+" +
                           std::to_string(chunk.inner_offset) + " is " + actual.to_string() +
                           ", but the layer's TOC says " + chunk.chunk.to_string());
    }
    return content;
}

} // namespace

result<std::vector<buffer>> decode_chunks(bytes compressed, std::span<const wanted_bytes> wanted) {
    for (const auto& w : wanted) {
        if (w.inner_offset > index_format::max_inner_offset) {
            return fault(errc::invalid_argument, "chunk lies too far into its stream");
        }
    }
    auto decoded = decode(compressed, wanted);
    if (decoded.reached < end_of(wanted)) {
        return broken(decoded.reached);
    }
    return std::move(decoded.pieces);
}

result<buffer> decode_and_verify(bytes compressed, const chunk_record& chunk) {
    const auto* only = &chunk;
    return std::move(decode_and_verify(compressed, {&only, 1}).front());
}

std::vector<result<buffer>>
decode_and_verify(bytes compressed, std::span<const chunk_record* const> chunks) {
    std::vector<wanted_bytes> wanted;
    wanted.reserve(chunks.size());
    for (const auto* c : chunks) {
        wanted.push_back({c->inner_offset, c->size});
    }
    auto decoded = decode(compressed, wanted);
    std::vector<result<buffer>> outcomes;
    outcomes.reserve(chunks.size());
    for (std::size_t i = 0; i < chunks.size(); ++i) {
        // Where the stream breaks, what lies before that is good.
        if (wanted[i].inner_offset + wanted[i].size > decoded.reached) {
            outcomes.emplace_back(broken(decoded.reached));
        } else {
            outcomes.push_back(verified(std::move(decoded.pieces[i]), *chunks[i]));
        }
    }
    return outcomes;
}

} // namespace firstlight
