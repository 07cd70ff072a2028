#include "app/config.h"

#include "app/config_keys.h"

#include <cerrno>
#include <fstream>
#include <sstream>

namespace firstlight {

namespace {

// No honest configuration is larger, and the parser's memory is a multiple of it.
constexpr std::size_t largest = 1U << 20;

result<std::string> read_file(const std::string& file) {
    errno = 0;
    std::ifstream in(file, std::ios::binary);
    if (!in) {
        return errno_fault(errno, "opening the configuration " + file);
    }
    std::string text(largest + 1, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (in.bad()) {
        return errno_fault(errno, "reading the configuration " + file);
    }
    text.resize(static_cast<std::size_t>(in.gcount()));
    if (text.size() > largest) {
        return fault(errc::invalid_argument, file + ": a configuration of more than 1 MiB");
    }
    return text;
}

} // namespace

std::string config::cache_directory() const {
    return cache.directory.empty() ? root + "/cache" : cache.directory;
}

result<loaded_config> parse_config(std::string_view text, const std::string& file) {
    const auto document = parse_toml(text, file);
    if (!document) {
        return document.error();
    }
    config_findings findings(file);
    loaded_config loaded;
    try {
        read_config_keys(*document, findings, loaded.values);
    } catch (const config_findings::error& e) {
        return fault(errc::invalid_argument, e.what());
    }
    loaded.warnings = findings.warnings();
    return loaded;
}

result<loaded_config> load_config(const std::string& file, bool required) {
    const auto text = read_file(file);
    if (!text && text.error().code() == errc::not_found && !required) {
        return loaded_config();
    }
    if (!text) {
        return text.error();
    }
    return parse_config(*text, file);
}

result<log::level> parse_log_level(std::string_view name) {
    if (name == "trace") {
        return log::level::trace;
    }
    if (name == "debug") {
        return log::level::debug;
    }
    if (name == "info") {
        return log::level::info;
    }
    if (name == "warn" || name == "warning") {
        return log::level::warn;
    }
    if (name == "error") {
        return log::level::error;
    }
    return fault(
      errc::invalid_argument,
      "expected trace, debug, info, warn or error, found \"" + std::string(name) + "\"");
}

} // namespace firstlight
