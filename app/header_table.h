#pragma once

#include "app/config_section.h"

#include <string>
#include <utility>
#include <vector>

namespace firstlight {

/// The `header` table of a host, as containerd and the reference have it: HTTP fields to be
/// sent with each request, each a string or a list of them. Empty if there is none. Fails
/// for what is no HTTP field (RFC 9110, sections 5.1 and 5.5).
std::vector<std::pair<std::string, std::string>> read_header_table(config_section& host);

} // namespace firstlight
