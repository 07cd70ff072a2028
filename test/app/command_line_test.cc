#include "app/command_line.h"

#include "test/app/temporary_file.h"

#include <doctest/doctest.h>

#include <vector>

using namespace firstlight;

namespace {

std::variant<command_line, early_exit> parse(std::vector<const char*> args) {
    args.insert(args.begin(), "firstlightd");
    return parse_command_line(static_cast<int>(args.size()), args.data());
}

command_line parsed(std::vector<const char*> args) {
    auto outcome = parse(std::move(args));
    const auto* failed = std::get_if<early_exit>(&outcome);
    REQUIRE_MESSAGE(!failed, failed->text);
    return std::get<command_line>(outcome);
}

early_exit refused(std::vector<const char*> args) {
    auto outcome = parse(std::move(args));
    REQUIRE(std::holds_alternative<early_exit>(outcome));
    return std::get<early_exit>(outcome);
}

} // namespace

TEST_CASE("command line: nothing said leaves everything to the default file") {
    const auto line = parsed({});
    CHECK(line.config_file == "/etc/firstlight/config.toml");
    CHECK_FALSE(line.config_given);
    CHECK(!line.address);
    CHECK(!line.root);
    CHECK(!line.log_level);
}

TEST_CASE("command line: every option is read") {
    const auto line =
      parsed({"--config", "/c", "--address=/a", "--root", "/r", "--log-level", "debug"});
    CHECK(line.config_file == "/c");
    CHECK(line.config_given);
    CHECK(line.address == "/a");
    CHECK(line.root == "/r");
    CHECK(line.log_level == log::level::debug);
}

TEST_CASE("command line: --version and --help end with success") {
    CHECK(refused({"--version"}).code == 0);
    CHECK(refused({"--version"}).text.starts_with("firstlightd "));
    CHECK(refused({"--help"}).code == 0);
    CHECK(refused({"--help"}).text.find("--log-level") != std::string::npos);
}

TEST_CASE("command line: mistakes are named and end with 2") {
    CHECK(refused({"--nonsense"}).code == 2);
    CHECK(refused({"--nonsense"}).text.find("--nonsense") != std::string::npos);
    CHECK(refused({"stray"}).code == 2);
    CHECK(refused({"--root"}).code == 2);
    CHECK(refused({"--root", "relative"}).text.find("absolute") != std::string::npos);
    CHECK(refused({"--log-level", "loud"}).text.find("loud") != std::string::npos);
}

TEST_CASE("command line: it beats the file, which beats the defaults") {
    const test::temporary_file file(
      "root = '/file'\naddress = '/file.sock'\n[log]\nlevel = 'warn'\n");
    const auto loaded = load_config(parsed({"--config", file.path().c_str(), "--root", "/line"}));
    REQUIRE_MESSAGE(loaded.has_value(), loaded.error().context());
    CHECK(loaded->values.root == "/line");
    CHECK(loaded->values.address == "/file.sock");
    CHECK(loaded->values.log_level == log::level::warn);
    CHECK(loaded->values.cache_directory() == "/line/cache");
}

TEST_CASE("command line: a file asked for must be there") {
    const auto loaded = load_config(parsed({"--config", "/nonexistent/c.toml"}));
    REQUIRE(!loaded.has_value());
    CHECK(loaded.error().code() == errc::not_found);
}
