#include "fs/profile_store.h"

#include <cerrno>
#include <fstream>

namespace firstlight {

namespace {

// As long as the longest profile, and a byte by which a longer file shows.
constexpr std::size_t longest = 256 << 10;

result<std::string> content_of(const std::string& path) {
    errno = 0;
    std::ifstream in(path, std::ios::binary);
    if (!in) {
        return errno_fault(errno, "open " + path);
    }
    std::string content(longest, '\0');
    in.read(content.data(), static_cast<std::streamsize>(content.size()));
    if (in.bad()) {
        return errno_fault(errno, "read " + path);
    }
    content.resize(static_cast<std::size_t>(in.gcount()));
    return content;
}

result<read_profile> only_profile_in(std::string_view content, const digest& toc) {
    auto decoded = read_profile::decode(as_bytes(content));
    if (!decoded) {
        return decoded.error();
    }
    if (decoded->bytes != content.size() || decoded->profile.toc() != toc) {
        return fault(errc::corrupt, "read profile: not the one that the file's name says");
    }
    return std::move(decoded->profile);
}

} // namespace

result<profile_store> profile_store::open(std::string directory, limits l) {
    auto opened = digest_directory::open(std::move(directory));
    if (!opened) {
        return opened.error();
    }
    return profile_store(std::move(*opened), l);
}

profile_store profile_store::beside_daemon(std::string directory) {
    return {digest_directory(std::move(directory)), limits()};
}

result<void> profile_store::put(const read_profile& profile) const {
    const auto bytes = profile.encode();
    if (auto done = files_.put(profile.toc(), bytes.span()); !done) {
        return done.error().in("read profile");
    }
    auto trimmed = files_.trim(
      limits_.bytes, limits_.files, [&profile](const digest& toc) { return toc == profile.toc(); });
    if (!trimmed) {
        return trimmed.error();
    }
    return {};
}

result<read_profile> profile_store::read(const digest& toc) const {
    const auto path = files_.path_of(toc);
    const auto content = content_of(path);
    if (!content) {
        return content.error();
    }
    auto profile = only_profile_in(*content, toc);
    if (!profile) {
        return profile.error().in(path);
    }
    return profile;
}

result<read_profile> profile_store::get(const digest& toc) const {
    auto profile = read(toc);
    const auto why = profile ? errc::unknown : profile.error().code();
    if (why != errc::corrupt && why != errc::unsupported) {
        return profile;
    }
    (void)files_.remove(toc); // what stays is replaced by the next put()
    return fault(
      why == errc::corrupt ? why : errc::not_found, "removed " + profile.error().context());
}

result<void> profile_store::update(
  const digest& toc, const digest& blob, const std::function<void(read_profile&)>& change) const {
    auto known = get(toc);
    read_profile profile = known ? std::move(*known) : read_profile(toc, blob);
    change(profile);
    return put(profile);
}

} // namespace firstlight
