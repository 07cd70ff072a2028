#pragma once

#include "fs/layer.h"

#include <string>
#include <string_view>

namespace firstlight {

/// The hidden directory in every layer's root, and the name of its only file.
inline constexpr std::string_view state_directory_name = ".stargz-snapshotter";
std::string state_file_name(const layer& l);

/// The file's content: one JSON object and a newline, as stargz-snapshotter
/// writes it. `error` is the layer's last read error, left out when empty. The
/// URL stays out on purpose: it may carry a signature.
std::string state_file_content(const layer& l, std::string_view error);

} // namespace firstlight
