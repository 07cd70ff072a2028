#pragma once

#include "actors/result.h"
#include "fs/snapshot_info.h"

#include <string>

namespace firstlight {

/// Blocks and inodes of everything at and below `root`, hard links counted once.
/// Entries that vanish meanwhile are left out. Never leaves `root`'s file system
/// or follows a symbolic link. Blocks: for the io pool.
///
/// Errors: not_found when `root` is missing; io_error.
result<disk_use> measure_disk_use(const std::string& root);

} // namespace firstlight
