#pragma once

#include "actors/result.h"

#include <string>

namespace firstlight {

/// All of a file of at most 1 MiB, such as credentials come in. Blocks. not_found if there is
/// no such file, invalid_argument if it is larger, io_error.
result<std::string> read_small_file(const std::string& path);

} // namespace firstlight
