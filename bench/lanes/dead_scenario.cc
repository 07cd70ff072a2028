// Readers of a live registry, while others wait for one that is dead.

#include "bench/lanes/scenarios.h"
#include "bench/lanes/stage.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <thread>
#include <tuple>

namespace firstlight::lanes {

namespace {

using seconds = std::chrono::duration<double>;

constexpr seconds warm_up{1.5}; // connections; the dead host's readers are stuck
constexpr seconds background_for{3};
constexpr std::uint64_t live_seed = 1'000'000;
constexpr std::uint64_t dead_seed = 2'000'000;
constexpr unsigned dead_files = 6000;

/// How a host is dead.
enum class death { none, silent, refusing, lost };
constexpr std::array all_deaths{death::none, death::silent, death::refusing, death::lost};

const char* name_of(death d) {
    switch (d) {
    case death::none:
        return "alone";
    case death::silent:
        return "beside a host that accepts and never answers";
    case death::refusing:
        return "beside a host that refuses connections";
    case death::lost:
        return "beside a host that no packet reaches";
    }
    return "";
}

/// A port of this machine behind which nothing lives.
class dead_host {
public:
    explicit dead_host(death how) {
        const auto backlog = how == death::refusing ? -1 : how == death::lost ? 0 : 512;
        std::uint16_t port = 0;
        std::tie(listener_, port) = loopback_socket(backlog);
        name_ = fmt::format("127.0.0.1:{}", port);
        if (how == death::lost) {
            fill_queue(port);
        }
    }
    ~dead_host() {
        ::close(listener_);
        for (const auto fd : queued_) {
            ::close(fd);
        }
    }
    dead_host(const dead_host&) = delete;
    dead_host& operator=(const dead_host&) = delete;
    const std::string& name() const noexcept { return name_; }

private:
    // The kernel drops what would not fit into the queue of a listener that accepts nothing.
    void fill_queue(std::uint16_t port) {
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(port);
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        for (int i = 0; i < 4; ++i) {
            const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
            (void)::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to);
            queued_.push_back(fd);
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }

    int listener_ = -1;
    std::vector<int> queued_;
    std::string name_;
};

class dead_run {
public:
    explicit dead_run(const settings& s);
    void run();

private:
    struct party; // a node with its layers, and the readers of the dead host
    static std::vector<layer_plan> plans(const settings& s);
    void with_readers(death how, phase& p, phase& waiting);
    void without_readers(death how, phase& p);
    void print_summary(const std::vector<phase>& phases) const;

    const settings settings_;
    const seconds length_; // of a phase
    stage stage_;
    csv_file csv_;
};

/// A node of its own for each stretch: what waits for a dead host goes on waiting for
/// minutes after its readers have given up.
struct dead_run::party {
    party(const dead_run& of, death how)
      : host(how)
      , readers(of.settings_.readers) {
        std::vector<layer_ptr> dead;
        const auto& outlines = of.stage_.registry().layers();
        for (std::size_t i = 0; i < outlines.size(); ++i) {
            if (i == 0) {
                dead.push_back(itself.itself.mount(outlines[i], host.name(), "library/dead"));
                continue;
            }
            auto& to = i <= of.settings_.layers ? big : files;
            to.push_back(itself.itself.mount(outlines[i], of.stage_.host(), "library/live"));
        }
        order.from = std::make_shared<cold_chunks>(dead, 9);
        order.patience = std::chrono::seconds(2);
        order.may_fail = true;
    }
    void start_waiting(death how, seconds length) {
        order.end = deadline::after(std::chrono::duration_cast<deadline::clock::duration>(length));
        for (unsigned i = 0; how != death::none && i < readers; ++i) {
            stuck.push_back(itself.itself.start_reader(order));
        }
    }
    std::vector<readings> end_waiting() {
        std::vector<readings> all;
        for (auto& each : stuck) {
            all.push_back(each.get());
        }
        return all;
    }

    dead_host host;
    unsigned readers;
    fresh_node itself;
    std::vector<layer_ptr> files, big;
    reading_order order;
    std::vector<std::future<readings>> stuck;
};

std::vector<layer_plan> dead_run::plans(const settings& s) {
    auto all = plan_files(dead_files, dead_seed);
    for (unsigned i = 0; i < s.layers; ++i) {
        layer_plan p;
        p.megabytes = s.layer_mb;
        p.seed = i + 1;
        all.push_back(p);
    }
    // Each stretch reads from the beginning, with a cache of its own.
    const double reading = s.seconds / s.rounds + warm_up.count();
    const auto files = plan_files(files_for(s, reading), live_seed);
    all.insert(all.end(), files.begin(), files.end());
    return all;
}

dead_run::dead_run(const settings& s)
  : settings_(s)
  , length_(s.seconds / s.rounds)
  , stage_(s, plans(s))
  , csv_(s.csv, s.scenario) {
}

void dead_run::with_readers(death how, phase& p, phase& waiting) {
    party here(*this, how);
    here.start_waiting(how, warm_up + length_);
    reading_order o;
    o.from = std::make_shared<cold_chunks>(here.files, 7);
    const auto end = [](seconds s) {
        return deadline::after(std::chrono::duration_cast<deadline::clock::duration>(s));
    };
    o.end = end(warm_up);
    (void)here.itself.itself.read(o, settings_.readers);
    phase_meter meter(here.itself.itself, stage_.processes());
    meter.begin();
    o.end = end(length_);
    meter.add_to(p, here.itself.itself.read(o, settings_.readers));
    std::ranges::move(here.end_waiting(), std::back_inserter(waiting.readers));
}

void dead_run::without_readers(death how, phase& p) {
    party here(*this, how);
    here.start_waiting(how, warm_up + background_for);
    here.itself.itself.fill(here.big);
    std::this_thread::sleep_for(warm_up);
    phase_meter meter(here.itself.itself, stage_.processes());
    meter.begin();
    std::this_thread::sleep_for(background_for);
    meter.add_to(p, {});
    (void)here.end_waiting();
}

void dead_run::run() {
    std::vector<phase> phases, waiting;
    for (const auto d : all_deaths) {
        phases.emplace_back(name_of(d));
        waiting.emplace_back(name_of(d));
    }
    for (unsigned round = 0; round < settings_.rounds; ++round) {
        for (std::size_t i = 0; i < all_deaths.size(); ++i) {
            with_readers(all_deaths[i], phases[i], waiting[i]);
        }
    }
    print_head();
    for (const auto& p : phases) {
        print_row(p);
        csv_.add(p);
    }
    for (const auto d : {death::none, death::silent}) {
        phase p(
          d == death::none ? "background, nobody reads"
                           : "background, only a silent host's readers wait");
        without_readers(d, p);
        print_row(p);
    }
    print_summary(phases);
    for (std::size_t i = 1; i < waiting.size(); ++i) {
        fmt::print("{}: {} of its reads given up\n", waiting[i].name, waiting[i].failed());
    }
}

void dead_run::print_summary(const std::vector<phase>& phases) const {
    const auto alone = phases.front().sorted();
    fmt::print("\n");
    for (std::size_t i = 1; i < phases.size(); ++i) {
        const auto beside = phases[i].sorted();
        fmt::print(
          "{} / alone: p50 {:.2f}, p99 {:.2f}\n", phases[i].name,
          quantile(beside, 0.5) / quantile(alone, 0.5),
          quantile(beside, 0.99) / quantile(alone, 0.99));
    }
}

} // namespace

void run_dead(const settings& s) {
    dead_run(s).run();
}

} // namespace firstlight::lanes
