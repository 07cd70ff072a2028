#pragma once
// The journal of a partition: fixed-size records, each with its own checksum.
// A byte format and nothing else: no files, no coroutines.
//
// Layout: a header, then records, all of 64 bytes, little-endian.
//   header: "FLCHUNK1", partition u32, zeros, crc u32 of the first 60 bytes
//   record: digest[32], offset u64, sequence u64, size u32, pack u32 (bit 31:
//           erased), stored_at u32 (Unix seconds), crc u32 of the first 60 bytes
// The sequence only grows. A record is believed when its checksum is right and
// its sequence is above the last believed one: so neither a torn tail nor what an
// overwritten failed attempt left behind it can come to life.

#include "actors/digest.h"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace firstlight {

inline constexpr std::size_t journal_record_size = 64;
using journal_bytes = std::array<std::byte, journal_record_size>;

/// "Chunk `id` lies in `pack` at `offset`", or, when `erased`, that it no longer does.
struct journal_record {
    digest id;
    std::uint64_t offset = 0;
    std::uint64_t sequence = 0;
    std::uint32_t size = 0;
    std::uint32_t pack = 0; // below 2^31
    std::uint32_t stored_at = 0;
    bool erased = false;
};

journal_bytes encode(const journal_record& r) noexcept;
/// Nothing when the checksum is wrong.
std::optional<journal_record>
decode_record(std::span<const std::byte, journal_record_size> raw) noexcept;

journal_bytes journal_header(std::uint32_t partition) noexcept;

/// What a journal says, whatever its bytes are.
struct journal_content {
    /// False when the header is not one of ours for this partition: nothing that
    /// follows can be trusted.
    bool readable = false;
    std::vector<journal_record> live; // in the order stored
    std::uint64_t records = 0;        // believed ones, live or not
    std::uint64_t bad_records = 0;    // whole ones that were not believed
    std::uint64_t last_sequence = 0;
    std::uint64_t end = 0; // where the last believed record ends, in bytes
    /// By pack: the highest end of any record, live or not; nothing below it is free.
    std::vector<std::pair<std::uint32_t, std::uint64_t>> pack_ends;
};
journal_content read_journal(std::span<const std::byte> file, std::uint32_t partition);

} // namespace firstlight
