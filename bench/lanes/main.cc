// What readers of cold chunks feel of whatever else goes on in a node, and what that gets
// of what they leave.
//
//     build/release/bench/lanes link|fast|many|dead [--rate-mbit N] [--seconds N] …
//
// A registry in a process of its own, the emulated link (test/link/linkproxy) in front of
// it, and a node's shards, registry clients, cache, fetchers and filler; neither kernel nor
// containerd. Seeds are fixed.

#include "bench/lanes/scenarios.h"

#include <CLI/CLI.hpp>

#include <filesystem>

using firstlight::lanes::settings;

namespace {

// What the command line left open.
void complete(settings& s) {
    const bool fast = s.scenario == "fast";
    const bool background = fast || s.scenario == "link";
    const auto otherwise = [](auto& value, auto then) { value = value > 0 ? value : then; };
    s.rate_mbit = s.rate_mbit >= 0 ? s.rate_mbit : fast ? 0 : 500;
    // Without a link, readers that do not pause take both processors for themselves.
    s.think_ms = s.think_ms >= 0 ? s.think_ms : fast ? 10 : 0;
    otherwise(s.layers, background ? 16U : 4U);
    otherwise(s.seconds, 30.0);
    otherwise(s.rounds, 3U);
}

void add_options(CLI::App& app, settings& s) {
    app.add_option("scenario", s.scenario, "link (default), fast, many or dead")
      ->check(CLI::IsMember({"link", "fast", "many", "dead"}));
    app.add_option("--rate-mbit", s.rate_mbit, "of the link; 0: no link in between");
    app.add_option("--delay-ms", s.delay_ms, "of the link, one way");
    app.add_option("--layers", s.layers, "downloaded in the background");
    app.add_option("--layer-mb", s.layer_mb, "of each, unpacked");
    app.add_option("--readers", s.readers, "at once");
    app.add_option("--think-ms", s.think_ms, "a reader's pause after each read");
    app.add_option("--seconds", s.seconds, "of each kind of phase, all rounds together");
    app.add_option("--rounds", s.rounds, "phases of each kind");
    app.add_option(
      "--head-start", s.head_start, "link, fast: seconds of background before the readers begin");
    app.add_option("--files", s.files, "of 64 KiB, for the readers; 0: as many as they can read");
    app.add_option("--images", s.images, "many: started at once");
    app.add_option("--reads", s.reads, "many: of each image");
    app.add_option("--flood", s.flood, "many: readers of the image that floods the others");
    app.add_option("--csv", s.csv, "file for every read: scenario,phase,reader,ms");
    app.add_option("--linkproxy", s.linkproxy, "the program");
}

} // namespace

int main(int argc, char** argv) {
    settings s;
    s.linkproxy = (std::filesystem::canonical("/proc/self/exe").parent_path().parent_path() /
                   "test/link/linkproxy")
                    .string();
    CLI::App app("Demand reads beside other work of a node");
    add_options(app, s);
    CLI11_PARSE(app, argc, argv);
    complete(s);
    if (s.scenario == "many") {
        firstlight::lanes::run_many(s);
    } else if (s.scenario == "dead") {
        firstlight::lanes::run_dead(s);
    } else {
        firstlight::lanes::run_background(s);
    }
}
