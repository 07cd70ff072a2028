#pragma once

#include "actors/result.h"
#include "fs/overlay_mounts.h"

#include <string>

namespace firstlight {

/// Tries overlayfs with two lower directories under `root` (made if missing) and
/// finds out which options it needs here. Blocks: call it before the shards
/// start, or in the io pool.
///
/// Errors: unsupported, when such a mount fails or the file system below does not
/// tell file types in directory entries; invalid_argument, when the path holds a
/// character that separates overlay options (comma, colon, backslash).
result<overlay_options> probe_overlay(const std::string& root);

} // namespace firstlight
