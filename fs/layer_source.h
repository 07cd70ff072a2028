#pragma once

#include "actors/digest.h"
#include "actors/result.h"
#include "fs/snapshot_info.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace firstlight {

/// Where a layer comes from and how it is to be trusted, as the client said in
/// the labels of Prepare.
struct layer_source {
    std::string image;              // reference, e.g. "docker.io/library/python:3.12"
    digest blob;                    // the layer
    std::vector<digest> neighbours; // the image's other lazy candidates, in manifest order
    std::optional<digest> toc;      // what the TOC must hash to
    std::optional<std::uint64_t> prefetch_bytes; // the client's wish; beats the configuration
    bool skip_verification = false; // the client asks for it; the configuration decides
};

/// Reads the labels that containerd's CRI plugin and transfer service set, or
/// those of ctr-remote, nerdctl and BuildKit.
/// Source: containerd, pkg/snapshotters/annotations.go; stargz-snapshotter, fs/source.
///
/// Errors: not_found when the labels name no source at all (an ordinary
/// snapshot, or annotations are disabled in containerd), invalid_argument when
/// they are malformed.
result<layer_source> source_from_labels(const snapshot_labels& labels);

} // namespace firstlight
