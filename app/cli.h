#pragma once

#include "actors/result.h"

#include <functional>
#include <iosfwd>
#include <optional>
#include <string>

namespace CLI {
class App;
}

namespace firstlight {

/// What the commands of the program `firstlight` share: the options before or behind
/// any of them, where to write, and what is to be done once the line has been read.
///
/// A command is a function add_…_command(app, context): it adds its subcommands to
/// `app`, each with a callback that sets `todo`. run_cli() lists them.
struct cli_context {
    explicit cli_context(std::ostream& to)
      : out(to) {}

    /// The daemon's root directory: --root, or what the configuration says.
    /// Errors: as load_config(); not_found where there is no such directory.
    result<std::string> root_directory() const;

    std::string config_file = "/etc/firstlight/config.toml";
    bool config_given = false; // then the file must exist
    std::optional<std::string> root;
    std::ostream& out;
    std::function<result<void>()> todo;
};

/// The program `firstlight`, given what main gets. Returns its exit status: 0; 1 when
/// what was asked for could not be done, with a sentence on `err`; 2 for a mistake in
/// the command line.
int run_cli(int argc, const char* const* argv, std::ostream& out, std::ostream& err);

} // namespace firstlight
