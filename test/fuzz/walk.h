#pragma once

#include "fs/index.h"

#include <cstdint>
#include <cstdlib>

namespace firstlight::test {

/// Reads all that an index tells, as its users do, and aborts where it breaks
/// its word. Returns a sum of what was read, so that nothing is optimised away.
inline std::uint64_t walk(const index& i) {
    const auto demand = [](bool holds) {
        if (!holds) {
            std::abort();
        }
    };
    std::uint64_t sum = i.payload_size() + i.content_bytes() + i.prefetch_end().value_or(0) +
                        (i.no_prefetch() ? 1 : 0) + i.toc_digest().hash() + i.file_bytes();
    const auto read = [&sum](std::string_view text) {
        for (const char c : text) {
            sum += static_cast<unsigned char>(c);
        }
    };
    std::uint64_t content = 0;
    for (entry_id id = 0; id < i.size(); ++id) {
        demand(i.contains(id));
        const auto a = i.attributes(id);
        sum +=
          a.mode + a.uid + a.gid + a.nlink + a.rdev_major + a.rdev_minor + (i.opaque(id) ? 1 : 0);
        demand(id == 0 ? i.parent(id) == 0 : i.parent(id) < id);
        demand(i.is_directory(i.parent(id)));
        constexpr std::string_view unlikely = "no such name\n"; // but a fuzzer reads it here
        bool there = false;
        for (std::uint32_t n = 0; n < i.child_count(id); ++n) {
            const auto child = i.child(id, n);
            read(child.name);
            there = there || child.name == unlikely;
            demand(i.contains(child.id) && i.find(id, child.name) == child.id);
        }
        demand(i.find(id, unlikely).has_value() == there);
        read(i.symlink_target(id));
        for (std::uint32_t n = 0; n < i.xattr_count(id); ++n) {
            const auto x = i.xattr(id, n);
            read(x.name);
            read(x.value);
            demand(i.find_xattr(id, x.name).has_value());
        }
        std::uint64_t covered = 0;
        for (const auto& c : i.chunks(id)) {
            demand(c.file_offset == covered && c.owner == id);
            demand(&i.all_chunks()[i.chunk_number(c)] == &c);
            covered += c.size;
        }
        demand(!i.is_regular(id) || covered == a.size);
        content += covered;
    }
    demand(content == i.content_bytes());
    std::uint64_t previous = 0;
    for (const auto number : i.by_offset()) {
        const auto& c = i.all_chunks()[number];
        demand(c.blob_offset >= previous && c.compressed_end <= i.payload_size());
        demand(i.by_offset()[i.lower_bound(c.blob_offset)] <= i.all_chunks().size());
        previous = c.blob_offset;
    }
    return sum;
}

} // namespace firstlight::test
