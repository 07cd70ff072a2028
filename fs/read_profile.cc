#include "fs/read_profile.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace firstlight {

namespace {

static_assert(std::endian::native == std::endian::little, "profiles are written as they are");

constexpr std::array<char, 8> magic{'F', 'L', 'R', 'E', 'A', 'D', 'S', '\n'};
/// Raised whenever a byte changes its meaning.
constexpr std::uint32_t version = 1;

struct header {
    std::array<char, 8> magic;
    std::uint32_t version;
    std::uint32_t checksum; // CRC-32 of all bytes after this field
    std::uint32_t size;     // of the whole profile, header included
    std::uint32_t starts;
    std::uint32_t reads;  // records of read_profile::read, behind the header
    std::uint32_t images; // names, each a length of two bytes and so many bytes
    digest toc;
    digest blob;
};
static_assert(sizeof(header) == 96 && sizeof(read_profile::read) == 16);
constexpr std::size_t checked_from = offsetof(header, checksum) + sizeof(header::checksum);
constexpr std::size_t largest =
  sizeof(header) + read_profile::max_reads * sizeof(read_profile::read) +
  read_profile::max_images * (sizeof(std::uint16_t) + read_profile::max_image_size);

std::uint32_t checksum(std::span<const std::byte> profile) {
    const auto checked = profile.subspan(checked_from);
    return static_cast<std::uint32_t>(::crc32(
      0, reinterpret_cast<const Bytef*>(checked.data()), static_cast<uInt>(checked.size())));
}

bool earlier(const read_profile::read& a, const read_profile::read& b) noexcept {
    return std::pair(a.at_us, a.stream) < std::pair(b.at_us, b.stream);
}

// It is shown on terminals.
bool is_printable(std::string_view name) {
    return std::ranges::all_of(name, [](char c) { return c > ' ' && c < '\x7f'; });
}

bool is_good_image(std::string_view name) {
    return !name.empty() && name.size() <= read_profile::max_image_size && is_printable(name);
}

fault damaged(const char* how) {
    return {errc::corrupt, std::string("read profile: ") + how};
}

} // namespace

void read_profile::learn(std::span<const first_read> seen, const std::string& image) {
    if (seen.empty()) {
        return;
    }
    std::unordered_map<std::uint64_t, std::uint32_t> times;
    for (const auto& r : seen) {
        const auto [at, added] = times.emplace(r.stream, r.at_us);
        at->second = added ? r.at_us : std::min(at->second, r.at_us);
    }
    const bool whole = times.size() * 2 >= reads_.size();
    for (auto& known : reads_) {
        if (const auto found = times.find(known.stream); found != times.end()) {
            known.at_us = found->second;
            known.weight = std::min(known.weight + more_weight, most_weight);
            times.erase(found);
        } else if (whole) {
            --known.weight;
        }
    }
    std::erase_if(reads_, [](const read& r) { return r.weight == 0; });
    for (const auto& [stream, at_us] : times) {
        reads_.push_back({stream, at_us, first_weight});
    }
    keep_best();
    std::ranges::sort(reads_, earlier);
    ++starts_;
    add_image(image);
}

// Over the bound, what is read seldom goes first, and then what is read late.
void read_profile::keep_best() {
    if (reads_.size() <= max_reads) {
        return;
    }
    const auto better = [](const read& a, const read& b) {
        return a.weight != b.weight ? a.weight > b.weight : earlier(a, b);
    };
    std::ranges::nth_element(reads_, reads_.begin() + max_reads, better);
    reads_.resize(max_reads);
}

void read_profile::add_image(const std::string& image) {
    if (!is_good_image(image)) {
        return;
    }
    std::erase(images_, image);
    images_.insert(images_.begin(), image);
    images_.resize(std::min(images_.size(), max_images));
}

buffer read_profile::encode() const {
    std::size_t size = sizeof(header) + reads_.size() * sizeof(read);
    for (const auto& image : images_) {
        size += sizeof(std::uint16_t) + image.size();
    }
    header h{
      magic,
      version,
      0,
      static_cast<std::uint32_t>(size),
      starts_,
      static_cast<std::uint32_t>(reads_.size()),
      static_cast<std::uint32_t>(images_.size()),
      toc_,
      blob_};
    buffer out(size);
    auto* at = out.data();
    const auto put = [&at](const void* from, std::size_t n) {
        if (n > 0) {
            std::memcpy(at, from, n);
            at += n;
        }
    };
    put(&h, sizeof h);
    put(reads_.data(), reads_.size() * sizeof(read));
    for (const auto& image : images_) {
        const auto length = static_cast<std::uint16_t>(image.size());
        put(&length, sizeof length);
        put(image.data(), image.size());
    }
    h.checksum = checksum(out.span());
    std::memcpy(out.data(), &h, sizeof h);
    return out;
}

/// Takes a profile apart whose header and checksum are right; the rest may lie.
class read_profile::reader {
public:
    explicit reader(std::span<const std::byte> body)
      : rest_(body) {}

    result<std::vector<read>> reads(std::uint32_t count) {
        std::vector<read> all(count);
        if (count > 0 && !take(all.data(), count * sizeof(read))) {
            return damaged("ends within its reads");
        }
        const auto bad = [](const read& r) { return r.weight == 0 || r.weight > most_weight; };
        const auto unordered = [](const read& a, const read& b) { return !earlier(a, b); };
        if (
          std::ranges::any_of(all, bad) ||
          std::ranges::adjacent_find(all, unordered) != all.end()) {
            return damaged("reads out of order or of no weight");
        }
        std::vector<std::uint64_t> streams;
        streams.reserve(all.size());
        for (const auto& r : all) {
            streams.push_back(r.stream);
        }
        std::ranges::sort(streams);
        if (std::ranges::adjacent_find(streams) != streams.end()) {
            return damaged("a stream is named twice");
        }
        return all;
    }

    result<std::vector<std::string>> images(std::uint32_t count) {
        std::vector<std::string> all;
        for (std::uint32_t i = 0; i < count; ++i) {
            std::uint16_t length = 0;
            if (!take(&length, sizeof length) || rest_.size() < length) {
                return damaged("ends within a name");
            }
            all.emplace_back(as_text(rest_.first(length)));
            rest_ = rest_.subspan(length);
            if (!is_good_image(all.back()) || std::ranges::count(all, all.back()) > 1) {
                return damaged("a name that is none");
            }
        }
        if (!rest_.empty()) {
            return damaged("bytes behind its end");
        }
        return all;
    }

private:
    bool take(void* to, std::size_t n) {
        if (rest_.size() < n) {
            return false;
        }
        std::memcpy(to, rest_.data(), n);
        rest_ = rest_.subspan(n);
        return true;
    }

    std::span<const std::byte> rest_;
};

result<read_profile::decoded> read_profile::decode(std::span<const std::byte> bytes) {
    header h;
    if (bytes.size() < sizeof h) {
        return damaged("too short");
    }
    std::memcpy(&h, bytes.data(), sizeof h);
    if (h.magic != magic) {
        return damaged("does not begin as one");
    }
    if (h.version != version) {
        return fault(
          errc::unsupported, "read profile: format version " + std::to_string(h.version) +
                               ", this program knows " + std::to_string(version));
    }
    if (h.size < sizeof h || h.size > largest || h.size > bytes.size()) {
        return damaged("its size is wrong");
    }
    if (h.checksum != checksum(bytes.first(h.size))) {
        return damaged("its checksum is wrong");
    }
    if (h.reads > max_reads || h.images > max_images) {
        return damaged("has too many parts");
    }
    reader body(bytes.subspan(sizeof h, h.size - sizeof h));
    auto reads = body.reads(h.reads);
    if (!reads) {
        return reads.error();
    }
    auto images = body.images(h.images);
    if (!images) {
        return images.error();
    }
    decoded out{read_profile(h.toc, h.blob), h.size};
    out.profile.starts_ = h.starts;
    out.profile.reads_ = std::move(*reads);
    out.profile.images_ = std::move(*images);
    return out;
}

} // namespace firstlight
