// firstlightd: reads its configuration, builds the daemon, and waits for the
// signal that ends it; SIGHUP has the hosts of registries looked up anew.

#include "actors/log.h"
#include "app/command_line.h"
#include "app/daemon.h"
#include "app/sd_notify.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>

using namespace firstlight;

namespace {

sigset_t awaited_signals() {
    sigset_t awaited;
    sigemptyset(&awaited);
    sigaddset(&awaited, SIGTERM);
    sigaddset(&awaited, SIGINT);
    sigaddset(&awaited, SIGHUP);
    return awaited;
}

// Until one that ends the daemon.
int serve_signals(const sigset_t& awaited, firstlight::daemon& daemon) {
    while (true) {
        int signal = 0;
        sigwait(&awaited, &signal);
        if (signal != SIGHUP) {
            return signal;
        }
        daemon.reload();
    }
}

int run(const command_line& line) {
    const auto awaited = awaited_signals();
    pthread_sigmask(SIG_BLOCK, &awaited, nullptr); // before any thread starts
    const auto manager = service_manager::from_environment();

    const auto loaded = load_config(line);
    if (!loaded) {
        std::fprintf(stderr, "firstlightd: %s\n", loaded.error().context().c_str());
        return EXIT_FAILURE;
    }
    log::start(loaded->values.log_level);
    for (const auto& warning : loaded->warnings) {
        log::warn("configuration", {{"warning", warning}});
    }
    auto started = firstlight::daemon::start(loaded->values);
    if (!started) {
        log::error("cannot start", {{"error", started.error().context()}});
        log::stop();
        return EXIT_FAILURE;
    }
    manager.ready();
    const int signal = serve_signals(awaited, **started);
    log::info("stopping", {{"signal", signal}});
    manager.stopping();
    (*started)->stop();
    log::info("stopped");
    log::stop();
    return EXIT_SUCCESS;
}

} // namespace

int main(int argc, char** argv) {
    const auto parsed = parse_command_line(argc, argv);
    if (const auto* instead = std::get_if<early_exit>(&parsed)) {
        std::fputs(instead->text.c_str(), instead->code == 0 ? stdout : stderr);
        return instead->code;
    }
    try {
        return run(std::get<command_line>(parsed));
    } catch (const std::exception& e) {
        std::fprintf(stderr, "firstlightd: %s\n", e.what());
        return EXIT_FAILURE;
    }
}
