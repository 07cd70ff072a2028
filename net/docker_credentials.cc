#include "net/docker_credentials.h"

#include "net/docker_key.h"
#include "net/small_file.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

namespace firstlight {

namespace {

constexpr mailbox::limits at_once{2, 1, 1};
// How a helper says that it has no credentials for a registry.
constexpr std::string_view not_there = "credentials not found in native keychain";

result<docker_config> load(const std::string& path) {
    auto text = read_small_file(path);
    if (!text && text.error().code() == errc::not_found) {
        return docker_config();
    }
    if (!text) {
        return text.error();
    }
    auto parsed = docker_config::parse(*text);
    if (!parsed) {
        return parsed.error().in(path);
    }
    return parsed;
}

// Part of a program's name, and no way to another directory.
bool is_helper_name(std::string_view name) noexcept {
    return !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) {
        return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
    });
}

result<std::optional<credentials>> judge(const process_outcome& said) {
    if (said.code() == 0) {
        return parse_helper_answer(said.output());
    }
    if (said.output().find(not_there) != std::string::npos) {
        return std::optional<credentials>();
    }
    return fault(
      errc::unavailable, "exited with " + std::to_string(said.code()) +
                           "; run it by hand to see why, since it may print a secret");
}

std::string from_environment(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

} // namespace

docker_credentials::docker_credentials(worker_pool& pool, std::string file)
  : docker_credentials(pool, std::move(file), options()) {
}

docker_credentials::docker_credentials(worker_pool& pool, std::string file, options o)
  : pool_(pool)
  , file_(std::move(file))
  , options_(std::move(o))
  , running_(at_once) {
}

std::string docker_credentials::default_path() {
    const auto folder = from_environment("DOCKER_CONFIG");
    if (!folder.empty()) {
        return folder + "/config.json";
    }
    return from_environment("HOME") + "/.docker/config.json";
}

task<result<std::optional<credentials>>> docker_credentials::find(credential_query what) {
    auto work = [file = file_] { return load(file); };
    auto config = co_await pool_.run(lane::demand, std::move(work));
    if (!config) {
        co_return config.error();
    }
    auto helper = config->helper_for(what);
    if (!helper.empty()) {
        auto server = what.host();
        if (is_docker_hub(server)) {
            server = docker_hub_server;
        }
        auto found = co_await ask(std::move(helper), std::move(server));
        if (!found || *found) {
            co_return found;
        }
    }
    auto held = config->find(what);
    if (!held) {
        co_return held.error().in(file_);
    }
    co_return held;
}

task<result<std::optional<credentials>>>
docker_credentials::ask(std::string helper, std::string server) {
    if (!is_helper_name(helper)) {
        co_return fault(errc::invalid_argument, file_ + ": a credential helper's name is not one");
    }
    process_request request("docker-credential-" + helper);
    request.add("get");
    request.set_input(server + "\n");
    request.set_path(options_.helper_path);
    request.set_time_limit(options_.helper_time);
    auto turn = co_await running_.admit(lane::demand, 2 * options_.helper_time);
    if (!turn) {
        co_return turn.error().in("waiting to run " + request.program());
    }
    auto work = [request] { return run_process(request); };
    // One that hangs may not have the thread that is kept for demand.
    const auto said = co_await pool_.run(lane::prefetch, std::move(work));
    if (!said && said.error().code() == errc::stopping) {
        co_return said.error();
    }
    if (!said) {
        co_return fault(errc::unavailable, said.error().context());
    }
    auto found = judge(*said);
    if (!found) {
        co_return fault(errc::unavailable, found.error().in(request.program()).context());
    }
    co_return found;
}

task<result<std::optional<credentials>>> no_credentials::find(credential_query) {
    co_return std::optional<credentials>();
}

} // namespace firstlight
