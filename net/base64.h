#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace firstlight {

/// The standard alphabet with padding; RFC 4648, section 4.
std::string base64_encoded(std::string_view plain);

/// Also accepts missing padding and surrounding white space, as docker's
/// config.json may have. Nothing for anything else.
std::optional<std::string> base64_decoded(std::string_view text);

} // namespace firstlight
