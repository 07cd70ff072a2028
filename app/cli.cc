#include "app/cli.h"

#include "app/config.h"
#include "app/profile_command.h"

#include <CLI/CLI.hpp>

#include <filesystem>
#include <ostream>
#include <system_error>

namespace firstlight {

result<std::string> cli_context::root_directory() const {
    std::string directory;
    if (root) {
        directory = *root;
    } else {
        const auto loaded = load_config(config_file, config_given);
        if (!loaded) {
            return loaded.error();
        }
        directory = loaded->values.root;
    }
    std::error_code ignored;
    if (!std::filesystem::is_directory(directory, ignored)) {
        return fault(
          errc::not_found, directory + ": no such directory, or not to be read; name the " +
                             "daemon's with --root or --config");
    }
    return directory;
}

int run_cli(int argc, const char* const* argv, std::ostream& out, std::ostream& err) {
    cli_context context(out);
    CLI::App app("Works on what firstlightd keeps on this node, while it runs or not.");
    app.name("firstlight");
    app.fallthrough(); // of all subcommands too: the common options may stand behind them
    app.require_subcommand(1);
    const auto* config =
      app.add_option("--config", context.config_file, "The daemon's configuration file")
        ->capture_default_str();
    app.add_option("--root", context.root, "The daemon's root directory; beats the file");
    app.set_version_flag("--version", "firstlight " FIRSTLIGHT_VERSION);
    add_profile_command(app, context);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        return app.exit(e, out, err) == 0 ? 0 : 2;
    }
    context.config_given = config->count() > 0;
    const auto done = context.todo();
    out.flush();
    if (!done) {
        err << "firstlight: " << done.error().context() << '\n';
        return 1;
    }
    if (!out) {
        err << "firstlight: cannot write to the output\n";
        return 1;
    }
    return 0;
}

} // namespace firstlight
