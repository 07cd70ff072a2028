// What a reader of cold chunks feels of a background download on the same link, and
// what the download gets of what readers leave.
//
//     build/release/bench/lanes [--rate-mbit N] [--delay-ms N] [--layers N] …
//
// A registry in this process, the emulated link (test/link/linkproxy) in front of it, and
// a node's shards, registry clients, cache, fetchers and filler; neither kernel nor
// containerd. Contents are random and stored, so that decoding costs nothing but its
// digests; seeds are fixed.

#include "actors/call.h"
#include "actors/log.h"
#include "fs/index_compiler.h"
#include "fs/layer_filler.h"
#include "net/registry_hub.h"
#include "test/estargz_builder.h"
#include "test/imposter/registry_imposter.h"
#include "test/rig.h"
#include "test/temporary_directory.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <optional>
#include <random>
#include <thread>

using namespace firstlight;
using test::estargz_builder;

namespace {

struct settings {
    double rate_mbit = 500; // 0: no link in between
    double delay_ms = 5;    // one way
    unsigned layers = 16;
    unsigned layer_mb = 200;
    unsigned readers = 8;
    unsigned seconds = 10; // of each phase
    unsigned files = 24000;
    std::string linkproxy;
};

[[noreturn]] void give_up(const std::string& why) {
    fmt::print(stderr, "lanes: {}\n", why);
    std::exit(1);
}

std::string noise(std::size_t size, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::string text(size, '\0');
    for (std::size_t i = 0; i + 8 <= size; i += 8) {
        const auto word = random();
        std::memcpy(text.data() + i, &word, sizeof word);
    }
    return text;
}

/// test/link/linkproxy in front of the registry, until this object goes.
class link_process {
public:
    link_process(const settings& s, const std::string& to) {
        std::array<int, 2> out{};
        if (::pipe(out.data()) != 0) {
            give_up("no pipe");
        }
        const auto delay = fmt::format("{}", s.delay_ms);
        const auto rate = fmt::format("{}", s.rate_mbit);
        pid_ = ::fork();
        if (pid_ == 0) {
            ::dup2(out[1], STDOUT_FILENO);
            ::execl(
              s.linkproxy.c_str(), "linkproxy", "--to", to.c_str(), "--delay-ms", delay.c_str(),
              "--rate-mbit", rate.c_str(), nullptr);
            ::_exit(127);
        }
        ::close(out[1]);
        std::array<char, 128> line{};
        const auto n = ::read(out[0], line.data(), line.size() - 1);
        const std::string said(line.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
        if (!said.starts_with("listening ")) {
            give_up(s.linkproxy + " does not run");
        }
        host_ = said.substr(10, said.find('\n') - 10);
    }
    ~link_process() {
        ::kill(pid_, SIGTERM);
        ::waitpid(pid_, nullptr, 0);
    }
    link_process(const link_process&) = delete;
    link_process& operator=(const link_process&) = delete;
    const std::string& host() const { return host_; }

private:
    pid_t pid_ = -1;
    std::string host_;
};

class nobody final : public credential_source {
public:
    task<result<std::optional<credentials>>> find(std::string) override {
        co_return std::optional<credentials>();
    }
};

template <class T>
task<result<void>> stopping(T& part) {
    co_await part.stop();
    co_return result<void>();
}

using durations = std::vector<double>; // ms

/// A node of this machine's processors that mounts layers of one registry.
class node {
public:
    explicit node(const std::string& cache_directory)
      : shards_(runtime::options{})
      , metrics_(shards_.size())
      , net_(metrics_)
      , fs_(metrics_)
      , hub_(shards_.at(0), registry_config{}, nobody_, net_) {
        chunk_cache_options o;
        o.directory = cache_directory;
        o.max_bytes = 64ULL << 30;
        cache_.emplace(shards_, metrics_, o);
        errors_.emplace(shards_);
        for (unsigned id = 0; id < shards_.size(); ++id) {
            clients_.push_back(std::make_unique<registry_client>(shards_.at(id), hub_));
            fetchers_.push_back(std::make_unique<chunk_fetcher>(
              shards_, shards_.at(id), *cache_, *clients_[id], *errors_, fs_));
        }
        filler_.emplace(shards_, fetchers_, fs_, layer_filler::options{});
        shards_.start();
        if (!run(cache_->start())) {
            give_up("the cache does not start in " + cache_directory);
        }
    }
    ~node() {
        for (unsigned id = 0; id < shards_.size(); ++id) {
            auto work = [&c = *clients_[id]] { return stopping(c); };
            run(call_on(shards_.at(id), lane::demand, std::move(work)));
        }
        run(stopping(*filler_));
        for (unsigned id = 0; id < shards_.size(); ++id) {
            auto work = [&f = *fetchers_[id]] { return stopping(f); };
            run(call_on(shards_.at(id), lane::demand, std::move(work)));
        }
        run(stopping(*cache_));
        run(stopping(hub_));
        shards_.stop();
    }
    node(const node&) = delete;
    node& operator=(const node&) = delete;

    layer_ptr mount(std::uint32_t number, const test::estargz_blob& blob, const std::string& host) {
        toc_input input;
        input.member = blob.toc_member();
        input.payload_size = blob.toc_offset;
        auto compiled = compile_index(input);
        if (!compiled) {
            give_up(compiled.error().context());
        }
        std::vector<blob_address> sources{{host, "library/thing", blob.layer}};
        return std::make_shared<const layer>(
          number, blob.layer, blob.bytes.size(), *index::from_buffer(std::move(compiled->bytes)),
          sources, std::make_shared<counter>(shards_.size()));
    }

    void fill(const std::vector<layer_ptr>& layers) {
        auto begin = [this, layers]() -> task<result<void>> {
            for (const auto& l : layers) {
                filler_->fill(l, 0, true);
            }
            co_return result<void>();
        };
        run(call_on(shards_.at(0), lane::background, std::move(begin)));
    }

    /// `readers` readers on all shards read chunks of `from`, each one once, one after
    /// the other, until the time is over.
    durations read(
      const layer_ptr& from, std::vector<std::uint32_t> chunks, unsigned readers, unsigned secs) {
        const auto end = deadline::after(std::chrono::seconds(secs));
        std::vector<std::future<durations>> all;
        const auto share = chunks.size() / readers;
        for (unsigned r = 0; r < readers; ++r) {
            std::vector<std::uint32_t> mine(
              chunks.begin() + static_cast<std::ptrdiff_t>(r * share),
              chunks.begin() + static_cast<std::ptrdiff_t>((r + 1) * share));
            const auto id = r % shards_.size();
            all.push_back(
              test::start(shards_.at(id), read_all(*fetchers_[id], from, std::move(mine), end)));
        }
        durations took;
        for (auto& each : all) {
            const auto its = each.get();
            took.insert(took.end(), its.begin(), its.end());
        }
        std::ranges::sort(took);
        return took;
    }

    std::uint64_t received(const std::string& in) const {
        return metrics_.counted("firstlight_registry_bytes_total", {{"lane", in}});
    }

private:
    template <class T>
    T run(task<T> t) {
        return test::start(shards_.at(0), std::move(t)).get();
    }
    static task<durations>
    read_all(chunk_fetcher& by, layer_ptr from, std::vector<std::uint32_t> chunks, deadline end) {
        durations took;
        for (const auto c : chunks) {
            if (end.expired()) {
                break;
            }
            const auto began = deadline::clock::now();
            std::vector<std::uint32_t> wanted(1, c);
            auto got = co_await by.get(
              from, std::move(wanted), lane::demand, deadline::after(std::chrono::seconds(30)));
            if (!got) {
                give_up(got.error().context());
            }
            took.push_back(
              std::chrono::duration<double, std::milli>(deadline::clock::now() - began).count());
        }
        co_return took;
    }

    runtime shards_;
    metrics metrics_;
    net_metrics net_;
    fs_metrics fs_;
    nobody nobody_;
    registry_hub hub_;
    std::optional<chunk_cache> cache_;
    std::optional<layer_errors> errors_;
    std::vector<std::unique_ptr<registry_client>> clients_;
    std::vector<std::unique_ptr<chunk_fetcher>> fetchers_;
    std::optional<layer_filler> filler_;
};

test::estargz_blob layer_of_small_files(unsigned files) {
    estargz_builder::options how;
    how.level = 0;
    estargz_builder builder(how);
    for (unsigned i = 0; i < files; ++i) {
        builder.file("f" + std::to_string(i), noise(64 << 10, 1'000'000 + i));
    }
    return builder.build();
}

test::estargz_blob big_layer(unsigned number, unsigned megabytes) {
    estargz_builder::options how;
    how.level = 0;
    estargz_builder builder(how);
    builder.file("big", noise(std::size_t{megabytes} * 1'000'000, number + 1));
    return builder.build();
}

/// Bytes asked for more than once, of the ranges in the registry's log.
std::pair<std::uint64_t, std::uint64_t> asked_twice(const test::registry_imposter& registry) {
    std::map<std::string, std::vector<std::pair<std::uint64_t, std::uint64_t>>> ranges;
    for (const auto& r : registry.log()) {
        if (const auto range = r.bytes()) {
            ranges[r.path].push_back(*range);
        }
    }
    std::uint64_t all = 0;
    std::uint64_t twice = 0;
    for (auto& [path, of] : ranges) {
        std::ranges::sort(of);
        std::uint64_t seen = 0;
        for (const auto& [begin, end] : of) {
            all += end - begin;
            twice += std::min(end, std::max(seen, begin)) - begin;
            seen = std::max(seen, end);
        }
    }
    return {all, twice};
}

double at(const durations& sorted, double part) {
    if (sorted.empty()) {
        return 0;
    }
    const auto i = static_cast<std::size_t>(part * static_cast<double>(sorted.size()));
    return sorted[std::min(i, sorted.size() - 1)];
}

void print_row(const std::string& what, const durations& d, double demand, double background) {
    fmt::print(
      "| {} | {} | {:.1f} | {:.1f} | {:.1f} | {:.0f} | {:.0f} |\n", what, d.size(), at(d, 0.5),
      at(d, 0.99), at(d, 0.999), demand, background);
    std::fflush(stdout);
}

void run(const settings& s) {
    test::registry_imposter registry;
    const auto small = layer_of_small_files(s.files);
    registry.put_blob(small.layer, small.bytes);
    std::vector<test::estargz_blob> big;
    for (unsigned i = 0; i < s.layers; ++i) {
        big.push_back(big_layer(i, s.layer_mb));
        registry.put_blob(big.back().layer, big.back().bytes);
    }
    std::optional<link_process> link;
    auto host = registry.host();
    if (s.rate_mbit > 0) {
        link.emplace(s, registry.host());
        host = link->host();
    }
    const test::temporary_directory disk;
    node n(disk.path());
    const auto files = n.mount(1, small, host);
    std::vector<layer_ptr> layers;
    for (unsigned i = 0; i < s.layers; ++i) {
        layers.push_back(n.mount(2 + i, big[i], host));
        big[i].bytes.clear();
    }

    std::vector<std::uint32_t> order(files->toc().all_chunks().size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::shuffle(order, std::mt19937(7));
    const auto part = order.size() / 8;
    const auto slice = [&](std::size_t from, std::size_t to) {
        return std::vector<std::uint32_t>(
          order.begin() + static_cast<std::ptrdiff_t>(from * part),
          order.begin() + static_cast<std::ptrdiff_t>(to * part));
    };
    const auto mbit = [&](std::uint64_t bytes, double seconds) {
        return static_cast<double>(bytes) * 8e-6 / seconds;
    };
    const double secs = s.seconds;

    fmt::print(
      "| background | reads | p50 ms | p99 ms | p99.9 ms | demand Mbit/s | background Mbit/s |\n"
      "| --- | --- | --- | --- | --- | --- | --- |\n");
    (void)n.read(files, slice(0, 1), s.readers, 1); // connections
    auto demand = n.received("demand");
    const auto off = n.read(files, slice(1, 4), s.readers, s.seconds);
    print_row("off", off, mbit(n.received("demand") - demand, secs), 0);

    n.fill(layers);
    std::this_thread::sleep_for(std::chrono::seconds(2));
    (void)n.read(files, slice(4, 5), s.readers, 2); // the pace has found its level
    demand = n.received("demand");
    auto background = n.received("background");
    const auto on = n.read(files, slice(5, 8), s.readers, s.seconds);
    const double took = mbit(n.received("demand") - demand, secs);
    const double filled = mbit(n.received("background") - background, secs);
    print_row("on", on, took, filled);
    background = n.received("background");
    std::this_thread::sleep_for(std::chrono::seconds(3));
    fmt::print(
      "| on, nobody reads | | | | | 0 | {:.0f} |\n\n",
      mbit(n.received("background") - background, 3));

    fmt::print(
      "p50 on / off: {:.2f}, p99 on / off: {:.2f}\n", at(on, 0.5) / at(off, 0.5),
      at(on, 0.99) / at(off, 0.99));
    if (s.rate_mbit > 0) {
        fmt::print(
          "background, of what demand left: {:.0f} %\n", 100 * filled / (s.rate_mbit - took));
    }
    const auto [all, twice] = asked_twice(registry);
    fmt::print(
      "bytes asked for twice: {:.2f} % of {:.0f} MB\n",
      100 * static_cast<double>(twice) / static_cast<double>(all), static_cast<double>(all) * 1e-6);
}

} // namespace

int main(int argc, char** argv) {
    settings s;
    s.linkproxy = (std::filesystem::canonical("/proc/self/exe").parent_path().parent_path() /
                   "test/link/linkproxy")
                    .string();
    CLI::App app("Demand reads beside a background download");
    app.add_option("--rate-mbit", s.rate_mbit, "of the link; 0: no link in between");
    app.add_option("--delay-ms", s.delay_ms, "of the link, one way");
    app.add_option("--layers", s.layers, "downloaded in the background");
    app.add_option("--layer-mb", s.layer_mb, "of each");
    app.add_option("--readers", s.readers, "at once");
    app.add_option("--seconds", s.seconds, "of each phase");
    app.add_option("--files", s.files, "of 64 KiB, for the readers");
    app.add_option("--linkproxy", s.linkproxy, "the program");
    CLI11_PARSE(app, argc, argv);
    log::start(log::level::warn);
    run(s);
}
