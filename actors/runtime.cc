#include "actors/runtime.h"

#include <sched.h>

#include <algorithm>

namespace firstlight {

namespace {

std::vector<unsigned> usable_processors() {
    cpu_set_t set;
    CPU_ZERO(&set);
    std::vector<unsigned> found;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
            if (CPU_ISSET(cpu, &set)) {
                found.push_back(cpu);
            }
        }
    }
    if (found.empty()) {
        found.push_back(0);
    }
    return found;
}

unsigned at_least_two(unsigned wanted) {
    const auto processors = static_cast<unsigned>(usable_processors().size());
    return std::max(2U, wanted > 0 ? wanted : processors);
}

} // namespace

runtime::runtime(options o)
  : io_("io", at_least_two(o.io_threads))
  , cpu_("cpu", at_least_two(o.cpu_threads)) {
    const auto processors = usable_processors();
    const auto count = o.shards > 0 ? o.shards : static_cast<unsigned>(processors.size());
    // More shards than processors share them unpinned: pinning would stack them.
    const bool pin = o.pin && count <= processors.size();
    for (unsigned id = 0; id < count; ++id) {
        const auto cpu = pin ? std::optional(processors[id]) : std::nullopt;
        shards_.push_back(std::make_unique<shard>(id, cpu));
    }
}

runtime::~runtime() {
    stop();
}

void runtime::start() {
    for (auto& s : shards_) {
        s->start();
    }
    running_ = true;
}

void runtime::stop() {
    if (!running_) {
        return;
    }
    running_ = false;
    io_.stop();
    cpu_.stop();
    for (auto& s : shards_) {
        s->stop();
    }
}

} // namespace firstlight
