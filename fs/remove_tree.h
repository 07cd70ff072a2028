#pragma once

#include "actors/result.h"

#include <string>

namespace firstlight {

/// Deletes `path` and everything below it; nothing there is success. However deep
/// the tree, few descriptors are open at a time. Never follows a symbolic link.
/// Blocks: for the io pool.
///
/// Errors: io_error, naming the first entry that could not be deleted.
result<void> remove_tree(const std::string& path);

} // namespace firstlight
