#pragma once

#include "actors/log.h"
#include "app/config.h"

#include <optional>
#include <string>
#include <variant>

namespace firstlight {

/// What firstlightd was told on its command line; what it says beats the file.
struct command_line {
    std::string config_file = "/etc/firstlight/config.toml";
    bool config_given = false; // then the file must exist
    std::optional<std::string> address;
    std::optional<std::string> root;
    std::optional<log::level> log_level;
};

/// The command line asks for no daemon: --help, --version, or a mistake in it.
struct early_exit {
    int code = 0;
    std::string text; // for stdout if the code is 0, else for stderr
};

/// Reads `argv` as main gets it.
std::variant<command_line, early_exit> parse_command_line(int argc, const char* const* argv);

/// The file that `line` names, overridden by `line`. Errors: as load_config().
result<loaded_config> load_config(const command_line& line);

} // namespace firstlight
