#include "cache/journal.h"

#include <zlib.h>

#include <bit>
#include <cstring>
#include <map>
#include <unordered_map>

namespace firstlight {

namespace {

static_assert(
  std::endian::native == std::endian::little, "the journal is stored as it is in memory");

constexpr std::size_t checked = journal_record_size - sizeof(std::uint32_t);
constexpr std::uint32_t erased_bit = 1U << 31;
constexpr char magic[] = "FLCHUNK1";

template <class T>
void put(journal_bytes& to, std::size_t at, const T& value) noexcept {
    std::memcpy(to.data() + at, &value, sizeof value);
}

template <class T>
T get(std::span<const std::byte, journal_record_size> from, std::size_t at) noexcept {
    T value;
    std::memcpy(&value, from.data() + at, sizeof value);
    return value;
}

std::uint32_t checksum(const std::byte* raw) noexcept {
    return static_cast<std::uint32_t>(
      ::crc32(0, reinterpret_cast<const unsigned char*>(raw), checked));
}

// The live records by digest, while the file is walked.
class replay {
public:
    explicit replay(std::size_t records) { place_.reserve(records); }

    void apply(const journal_record& r) {
        const auto known = place_.find(r.id);
        if (!r.erased) {
            if (known != place_.end()) { // stored anew without an erasure: the last one counts
                all_[known->second].erased = true;
                known->second = all_.size();
            } else {
                place_.emplace(r.id, all_.size());
            }
            all_.push_back(r);
            auto& end = ends_[r.pack];
            end = std::max(end, r.offset + r.size);
            return;
        }
        // An erasure names the place, so that it cannot hit a later copy.
        if (known != place_.end()) {
            auto& stored = all_[known->second];
            if (stored.pack == r.pack && stored.offset == r.offset) {
                stored.erased = true;
                place_.erase(known);
            }
        }
    }

    void finish(journal_content& into) {
        for (auto& r : all_) {
            if (!r.erased) {
                into.live.push_back(r);
            }
        }
        into.pack_ends.assign(ends_.begin(), ends_.end());
    }

private:
    std::vector<journal_record> all_;
    std::unordered_map<digest, std::size_t> place_;
    std::map<std::uint32_t, std::uint64_t> ends_;
};

} // namespace

journal_bytes encode(const journal_record& r) noexcept {
    journal_bytes raw;
    std::memcpy(raw.data(), r.id.bytes().data(), digest::size);
    put(raw, 32, r.offset);
    put(raw, 40, r.sequence);
    put(raw, 48, r.size);
    put(raw, 52, r.pack | (r.erased ? erased_bit : 0U));
    put(raw, 56, r.stored_at);
    put(raw, checked, checksum(raw.data()));
    return raw;
}

std::optional<journal_record>
decode_record(std::span<const std::byte, journal_record_size> raw) noexcept {
    if (get<std::uint32_t>(raw, checked) != checksum(raw.data())) {
        return std::nullopt;
    }
    std::array<std::byte, digest::size> id;
    std::memcpy(id.data(), raw.data(), id.size());
    journal_record r;
    r.id = digest(id);
    r.offset = get<std::uint64_t>(raw, 32);
    r.sequence = get<std::uint64_t>(raw, 40);
    r.size = get<std::uint32_t>(raw, 48);
    r.pack = get<std::uint32_t>(raw, 52) & ~erased_bit;
    r.erased = (get<std::uint32_t>(raw, 52) & erased_bit) != 0;
    r.stored_at = get<std::uint32_t>(raw, 56);
    if (r.offset > (1ULL << 62)) { // nothing we write; keeps the sums below from overflowing
        return std::nullopt;
    }
    return r;
}

journal_bytes journal_header(std::uint32_t partition) noexcept {
    journal_bytes raw{};
    std::memcpy(raw.data(), magic, sizeof magic - 1);
    put(raw, 8, partition);
    put(raw, checked, checksum(raw.data()));
    return raw;
}

journal_content read_journal(std::span<const std::byte> file, std::uint32_t partition) {
    journal_content found;
    const auto header = journal_header(partition);
    if (
      file.size() < header.size() || std::memcmp(file.data(), header.data(), header.size()) != 0) {
        return found;
    }
    found.readable = true;
    found.end = header.size();
    replay records(file.size() / journal_record_size);
    for (auto at = header.size(); at + journal_record_size <= file.size();
         at += journal_record_size) {
        const auto r = decode_record(file.subspan(at).first<journal_record_size>());
        if (!r || r->sequence <= found.last_sequence) {
            ++found.bad_records;
            continue;
        }
        found.last_sequence = r->sequence;
        ++found.records;
        found.end = at + journal_record_size;
        records.apply(*r);
    }
    records.finish(found);
    return found;
}

} // namespace firstlight
