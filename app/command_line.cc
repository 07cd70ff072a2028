#include "app/command_line.h"

#include <CLI/CLI.hpp>

#include <sstream>
#include <utility>

namespace firstlight {

namespace {

// "text" for CLI11's check(), empty when it is fine.
std::string check_level(const std::string& name) {
    const auto level = parse_log_level(name);
    return level ? std::string() : level.error().context();
}

std::string check_absolute(const std::string& path) {
    return path.starts_with('/') ? std::string() : "expected an absolute path: " + path;
}

early_exit told_by(const CLI::App& app, const CLI::ParseError& e) {
    std::ostringstream out, err;
    const int code = app.exit(e, out, err);
    return early_exit{code == 0 ? 0 : 2, code == 0 ? out.str() : err.str()};
}

} // namespace

std::variant<command_line, early_exit> parse_command_line(int argc, const char* const* argv) {
    command_line line;
    std::string level;
    CLI::App app("A containerd snapshotter that starts containers before their images are here.");
    app.name("firstlightd");
    const auto* config_file =
      app.add_option("--config", line.config_file, "Configuration file (TOML)")
        ->capture_default_str();
    app.add_option("--address", line.address, "Unix socket to serve containerd on")
      ->check(check_absolute);
    app.add_option("--root", line.root, "Directory for snapshots, indexes and the cache")
      ->check(check_absolute);
    app.add_option("--log-level", level, "trace, debug, info, warn or error")->check(check_level);
    app.set_version_flag("--version", "firstlightd " FIRSTLIGHT_VERSION);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        return told_by(app, e);
    }
    line.config_given = config_file->count() > 0;
    if (!level.empty()) {
        line.log_level = parse_log_level(level).value();
    }
    return line;
}

result<loaded_config> load_config(const command_line& line) {
    auto loaded = load_config(line.config_file, line.config_given);
    if (!loaded) {
        return loaded;
    }
    auto& values = loaded->values;
    values.address = line.address.value_or(values.address);
    values.root = line.root.value_or(values.root);
    values.log_level = line.log_level.value_or(values.log_level);
    return loaded;
}

} // namespace firstlight
