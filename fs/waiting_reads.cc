#include "fs/waiting_reads.h"

#include "actors/deadline.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <string>

namespace firstlight {

namespace {

using std::chrono::milliseconds;

// Between two looks at a reader: soon at first, and never so often that hundreds of
// readers were a load.
constexpr milliseconds first_pause{50};
constexpr milliseconds longest_pause{400};

} // namespace

struct waiting_reads::waiting {
    explicit waiting(pid_t r, bool d) noexcept
      : reader(r)
      , direct(d) {}
    const pid_t reader;
    const bool direct;
    bool watched = false;
    bool ended = false;
    std::stop_source give_up;
};

waiting_reads::waiting_reads(background_tasks& tasks, worker_pool& io, killed_test being_killed)
  : tasks_(tasks)
  , io_(io)
  , being_killed_(std::move(being_killed)) {
}

std::stop_token waiting_reads::begin(std::uint64_t request, pid_t reader, bool direct) {
    auto r = std::make_shared<waiting>(reader, direct);
    auto token = r->give_up.get_token();
    reads_.insert_or_assign(request, std::move(r));
    return token;
}

void waiting_reads::interrupt(std::uint64_t request) {
    const auto found = reads_.find(request);
    if (found == reads_.end()) {
        return;
    }
    const auto r = found->second;
    if (r->direct) {
        r->give_up.request_stop();
    } else if (!r->watched) {
        r->watched = true;
        tasks_.spawn("watch an interrupted read", lane::demand, [this, r](std::stop_token stop) {
            return watch(r, stop);
        });
    }
}

void waiting_reads::end(std::uint64_t request) noexcept {
    const auto found = reads_.find(request);
    if (found != reads_.end()) {
        found->second->ended = true;
        reads_.erase(found);
    }
}

task<void> waiting_reads::watch(std::shared_ptr<waiting> r, std::stop_token stop) {
    auto pause = first_pause;
    while (!r->ended && !stop.stop_requested()) {
        auto look = [this, r]() -> result<bool> { return being_killed_(r->reader); };
        const auto killed = co_await io_.run(lane::demand, std::move(look));
        if (!killed || *killed) {
            r->give_up.request_stop();
            co_return;
        }
        (void)co_await sleep_for(pause, stop);
        pause = std::min(2 * pause, longest_pause);
    }
}

bool kill_is_pending(std::string_view status) noexcept {
    constexpr std::string_view field = "\nSigPnd:\t"; // of the thread, in hexadecimal
    const auto at = status.find(field);
    if (at == std::string_view::npos) {
        return false;
    }
    const auto* begin = status.data() + at + field.size();
    std::uint64_t pending = 0;
    std::from_chars(begin, status.data() + status.size(), pending, 16);
    return (pending >> (SIGKILL - 1) & 1) != 0;
}

bool is_being_killed(pid_t thread) {
    const auto path = "/proc/" + std::to_string(thread) + "/status";
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return true;
    }
    std::array<char, 16384> text; // supplementary groups come first
    const auto got = ::read(fd, text.data(), text.size());
    ::close(fd);
    return got <= 0 || kill_is_pending({text.data(), static_cast<std::size_t>(got)});
}

} // namespace firstlight
