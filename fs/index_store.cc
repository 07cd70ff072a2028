#include "fs/index_store.h"

#include <limits>

namespace firstlight {

result<index_store> index_store::open(std::string directory) {
    auto opened = digest_directory::open(std::move(directory));
    if (!opened) {
        return opened.error();
    }
    return index_store(std::move(*opened));
}

// Nothing is synced: the checksum tells a file that a power failure tore, and it is
// compiled anew then, so a Prepare need not wait for the disk.
result<void> index_store::put(const digest& toc, std::span<const std::byte> compiled) const {
    auto done = files_.put(toc, compiled);
    if (!done) {
        return done.error().in("index");
    }
    return done;
}

result<std::shared_ptr<const index>> index_store::get(const digest& toc) const {
    auto opened = index::open(files_.path_of(toc), toc);
    if (opened) {
        files_.mark_used(toc);
        return opened;
    }
    if (opened.error().code() == errc::unsupported) {
        (void)files_.remove(toc); // what stays is replaced by the next put()
        return fault(errc::not_found, opened.error().context());
    }
    if (opened.error().code() == errc::corrupt) {
        (void)files_.remove(toc);
        return opened.error().in("removed");
    }
    return opened;
}

result<std::vector<index_store::stored>> index_store::list() const {
    const auto files = files_.list();
    if (!files) {
        return files.error();
    }
    std::vector<stored> all;
    all.reserve(files->size());
    for (const auto& f : *files) {
        all.push_back({f.name, f.bytes, f.used_ns});
    }
    return all;
}

result<std::uint64_t>
index_store::trim(std::uint64_t max_bytes, const std::function<bool(const digest&)>& keep) const {
    return files_.trim(max_bytes, std::numeric_limits<std::size_t>::max(), keep);
}

} // namespace firstlight
