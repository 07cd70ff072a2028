#pragma once

#include "actors/result.h"
#include "net/blob_address.h"

#include <string>
#include <string_view>

namespace firstlight {

/// A name of an image, as people and containerd write it:
/// `[host[:port]/]repository[:tag][@digest]`.
///
/// A value. Source of the grammar and of the defaults (docker.io, library/):
/// github.com/distribution/reference.
class image_reference {
public:
    /// Checks the grammar, so that no part can smuggle anything into a request.
    /// invalid_argument otherwise.
    static result<image_reference> parse(std::string_view text);

    /// "docker.io", "localhost:5000", "[::1]:5000": as in the reference, with the
    /// default filled in. Docker Hub is docker.io however it was written.
    const std::string& registry() const noexcept { return registry_; }
    /// "library/alpine": without host and tag.
    const std::string& repository() const noexcept { return repository_; }
    /// Empty when there is none; no default is filled in.
    const std::string& tag() const noexcept { return tag_; }
    /// "sha256:…", or empty.
    const std::string& digest_text() const noexcept { return digest_; }

    /// The blob `d` of this image's repository.
    blob_address blob(const digest& d) const { return {registry_, repository_, d}; }

private:
    std::string registry_;
    std::string repository_;
    std::string tag_;
    std::string digest_;
};

/// Where a registry's API is: docker.io is a name in references only.
std::string host_of(const std::string& registry);

/// Whether `text` is a repository name by the same grammar.
bool is_repository(std::string_view text) noexcept;

} // namespace firstlight
