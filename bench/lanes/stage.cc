#include "bench/lanes/stage.h"

#include <algorithm>

namespace firstlight::lanes {

namespace {

constexpr unsigned files_a_layer = 6000;
constexpr double slack = 1.05;

} // namespace

std::vector<layer_plan> plan_files(unsigned files, std::uint64_t seed) {
    std::vector<layer_plan> plans;
    while (files > 0) {
        layer_plan p;
        p.files = std::min(files, files_a_layer);
        p.seed = seed + plans.size();
        files -= p.files;
        plans.push_back(p);
    }
    return plans;
}

unsigned files_for(const settings& s, double seconds) {
    if (s.files > 0) {
        return s.files;
    }
    double most = 8000; // a second, of two processors
    if (s.rate_mbit > 0) {
        most = std::min(most, s.rate_mbit * 1e6 / 8 / static_cast<double>(file_size));
    }
    const auto pause = s.think_ms + (s.rate_mbit > 0 ? 2 * s.delay_ms : 0);
    if (pause > 0) {
        most = std::min(most, s.readers * 1000 / pause);
    }
    return static_cast<unsigned>(most * seconds * slack) + s.readers;
}

} // namespace firstlight::lanes
