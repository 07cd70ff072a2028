// Readers of cold chunks, with a background download and without, in turns, so that a
// drift of the machine meets both.

#include "bench/lanes/scenarios.h"
#include "bench/lanes/stage.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

namespace firstlight::lanes {

namespace {

using seconds = std::chrono::duration<double>;

constexpr seconds warm_up{1};      // connections
constexpr seconds settling{2};     // of both: the pace finds its level
constexpr seconds nobody_reads{3}; // and before it: demand lingers for a second
constexpr std::uint64_t file_seed = 1'000'000;

struct round_ratio {
    double p50 = 0;
    double p99 = 0;
};

class background_run {
public:
    explicit background_run(const settings& s);
    void run();

private:
    static std::vector<layer_plan> plans(const settings& s);
    reading_order order(seconds length) const;
    void measure(phase& p);
    void one_round();
    void without_readers();
    void print_summary() const;

    const settings settings_;
    const seconds length_;     // of a phase
    const seconds head_start_; // of the background, alone: it can measure the link
    stage stage_;
    fresh_node node_;
    phase_meter meter_;
    csv_file csv_;
    std::vector<layer_ptr> layers_;
    std::shared_ptr<cold_chunks> cold_;
    phase off_{"off"};
    phase on_{"on"};
    phase idle_{"on, nobody reads"};
    std::vector<round_ratio> ratios_;
    bool ran_out_ = false; // all layers were complete before a phase was over
};

std::vector<layer_plan> background_run::plans(const settings& s) {
    std::vector<layer_plan> all;
    for (unsigned i = 0; i < s.layers; ++i) {
        layer_plan p;
        p.megabytes = s.layer_mb;
        p.packed = s.scenario == "fast";
        p.seed = i + 1;
        all.push_back(p);
    }
    const double reading = 2 * s.seconds + warm_up.count() + s.rounds * settling.count();
    const auto files = plan_files(files_for(s, reading), file_seed);
    all.insert(all.end(), files.begin(), files.end());
    return all;
}

background_run::background_run(const settings& s)
  : settings_(s)
  , length_(s.seconds / s.rounds)
  , head_start_(s.head_start)
  , stage_(s, plans(s))
  , meter_(node_.itself, stage_.processes())
  , csv_(s.csv, s.scenario) {
    std::vector<layer_ptr> files;
    for (const auto& o : stage_.registry().layers()) {
        auto& to = layers_.size() < s.layers ? layers_ : files;
        to.push_back(node_.itself.mount(o, stage_.host(), "library/thing"));
    }
    cold_ = std::make_shared<cold_chunks>(files, 7);
}

reading_order background_run::order(seconds length) const {
    reading_order o;
    o.from = cold_;
    o.end = deadline::after(std::chrono::duration_cast<deadline::clock::duration>(length));
    o.think = std::chrono::nanoseconds(static_cast<std::int64_t>(settings_.think_ms * 1e6));
    return o;
}

void background_run::measure(phase& p) {
    meter_.begin();
    meter_.add_to(p, node_.itself.read(order(length_), settings_.readers));
}

void background_run::one_round() {
    phase off("off"), on("on");
    measure(off);
    const auto complete = node_.itself.layers_complete();
    node_.itself.fill(layers_);
    std::this_thread::sleep_for(head_start_);
    (void)node_.itself.read(order(settling), settings_.readers);
    measure(on);
    ran_out_ = ran_out_ || node_.itself.layers_complete() - complete >= layers_.size();
    node_.itself.stop_filling(layers_);

    round_ratio r;
    const auto a = off.sorted(), b = on.sorted();
    r.p50 = quantile(b, 0.5) / quantile(a, 0.5);
    r.p99 = quantile(b, 0.99) / quantile(a, 0.99);
    ratios_.push_back(r);
    off_ += off;
    on_ += on;
}

void background_run::without_readers() {
    node_.itself.fill(layers_);
    std::this_thread::sleep_for(nobody_reads);
    meter_.begin();
    std::this_thread::sleep_for(nobody_reads);
    meter_.add_to(idle_, {});
    node_.itself.stop_filling(layers_);
}

void background_run::run() {
    const auto base = phase_meter::resident_mb();
    (void)node_.itself.read(order(warm_up), settings_.readers);
    for (unsigned i = 0; i < settings_.rounds; ++i) {
        one_round();
    }
    without_readers();
    print_head();
    for (const auto* p : {&off_, &on_, &idle_}) {
        print_row(*p);
        csv_.add(*p);
    }
    fmt::print("\nresident before the first read: {:.0f} MB\n", base);
    print_summary();
}

void background_run::print_summary() const {
    const auto a = off_.sorted(), b = on_.sorted();
    fmt::print(
      "on / off: p50 {:.2f}, p99 {:.2f}; of each round:", quantile(b, 0.5) / quantile(a, 0.5),
      quantile(b, 0.99) / quantile(a, 0.99));
    for (const auto& r : ratios_) {
        fmt::print(" {:.2f} {:.2f};", r.p50, r.p99);
    }
    fmt::print(
      "\nbackground, of what it gets alone: {:.0f} %\n",
      100 * on_.background_mbit() / idle_.background_mbit());
    if (settings_.rate_mbit > 0) { // without a link there is no rate to leave anything of
        fmt::print(
          "background, of what demand left of the link's rate: {:.0f} %, of what it gets alone: "
          "{:.0f} %\n",
          100 * on_.background_mbit() / (settings_.rate_mbit - on_.demand_mbit()),
          100 * on_.background_mbit() / (idle_.background_mbit() - on_.demand_mbit()));
    }
    const auto t = stage_.registry().asked();
    fmt::print(
      "bytes asked for twice: {:.2f} % of {:.0f} MB\n",
      100 * static_cast<double>(t.twice) / static_cast<double>(t.all),
      static_cast<double>(t.all) * 1e-6);
    if (ran_out_) {
        fmt::print("NOTE: the layers were complete before the end: more --layers\n");
    }
}

} // namespace

void run_background(const settings& s) {
    background_run(s).run();
}

} // namespace firstlight::lanes
