#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace firstlight::lanes {

/// What the command line says. Zero: as the scenario has it.
struct settings {
    std::string scenario = "link";
    double rate_mbit = -1; // 0: no link in between
    double delay_ms = 5;   // one way
    unsigned layers = 0;   // downloaded in the background
    unsigned layer_mb = 200;
    unsigned readers = 8;
    double think_ms = -1;  // between two reads of a reader
    double seconds = 0;    // of each kind of phase, all rounds together
    unsigned rounds = 0;   // phases of each kind
    double head_start = 2; // seconds of background before the readers begin
    unsigned files = 0;    // of 64 KiB, for the readers
    unsigned images = 200;
    unsigned reads = 20; // of each image's container
    unsigned flood = 64; // readers of the image that floods the others
    std::string csv;     // every read, if not empty
    std::string linkproxy;
};

/// A benchmark that cannot go on has nothing to clean up that the kernel does not.
[[noreturn]] inline void give_up(std::string_view why) {
    std::fprintf(stderr, "lanes: %.*s\n", static_cast<int>(why.size()), why.data());
    std::_Exit(1);
}

} // namespace firstlight::lanes
