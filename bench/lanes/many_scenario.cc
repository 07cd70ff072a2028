// Containers of many images that begin to read at once over one link.

#include "bench/lanes/scenarios.h"
#include "bench/lanes/stage.h"

#include <fmt/format.h>

#include <algorithm>

namespace firstlight::lanes {

namespace {

constexpr std::uint64_t image_seed = 10'000'000;

/// A container's reads, in two figures.
struct pace {
    double p50 = 0;
    double p99 = 0;
};

class many_run {
public:
    explicit many_run(const settings& s);
    void run();

private:
    static std::vector<layer_plan> plans(const settings& s);
    reading_order order(std::size_t image) const;
    phase start_all(const std::string& name, bool flooded);
    void print_images(const phase& p) const;

    const settings settings_;
    stage stage_;
    fresh_node node_;
    phase_meter meter_;
    csv_file csv_;
    // One for each image; the last image is the one that floods the others.
    std::vector<std::shared_ptr<cold_chunks>> cold_;
};

std::vector<layer_plan> many_run::plans(const settings& s) {
    std::vector<layer_plan> all;
    for (unsigned i = 0; i <= s.images; ++i) {
        layer_plan p;
        p.files = i < s.images ? s.reads * (s.rounds + 1) : s.reads * s.flood;
        p.seed = image_seed + i;
        all.push_back(p);
    }
    return all;
}

many_run::many_run(const settings& s)
  : settings_(s)
  , stage_(s, plans(s))
  , meter_(node_.itself, stage_.processes())
  , csv_(s.csv, s.scenario) {
    for (const auto& o : stage_.registry().layers()) {
        const auto repository = fmt::format("library/image-{}", cold_.size());
        std::vector<layer_ptr> layer(1, node_.itself.mount(o, stage_.host(), repository));
        cold_.push_back(std::make_shared<cold_chunks>(layer, cold_.size()));
    }
}

reading_order many_run::order(std::size_t image) const {
    reading_order o;
    o.from = cold_[image];
    o.most = settings_.reads;
    return o;
}

phase many_run::start_all(const std::string& name, bool flooded) {
    phase p(name);
    std::vector<std::future<readings>> flood, all;
    meter_.begin();
    for (unsigned i = 0; flooded && i < settings_.flood; ++i) {
        flood.push_back(node_.itself.start_reader(order(settings_.images)));
    }
    for (unsigned i = 0; i < settings_.images; ++i) {
        all.push_back(node_.itself.start_reader(order(i)));
    }
    std::vector<readings> took;
    for (auto& each : all) {
        took.push_back(each.get());
    }
    for (auto& each : flood) {
        (void)each.get(); // the flood's own reads are not what is asked about
    }
    meter_.add_to(p, std::move(took));
    return p;
}

void many_run::print_images(const phase& p) const {
    std::vector<pace> images;
    for (auto r : p.readers) {
        std::ranges::sort(r.took);
        pace its;
        its.p50 = quantile(r.took, 0.5);
        its.p99 = quantile(r.took, 0.99);
        images.push_back(its);
    }
    std::ranges::sort(images, {}, &pace::p99);
    const auto& fastest = images.front();
    const auto& middle = images[images.size() / 2];
    const auto& slowest = images.back();
    fmt::print(
      "| {} | {:.0f} / {:.0f} | {:.0f} / {:.0f} | {:.0f} / {:.0f} | {:.2f} |\n", p.name,
      fastest.p50, fastest.p99, middle.p50, middle.p99, slowest.p50, slowest.p99,
      slowest.p99 / fastest.p99);
}

void many_run::run() {
    std::vector<phase> phases;
    const auto base = phase_meter::resident_mb();
    for (unsigned i = 0; i < settings_.rounds; ++i) {
        phases.push_back(
          start_all(fmt::format("{} images, round {}", settings_.images, i + 1), false));
    }
    phases.push_back(start_all(
      fmt::format("{} images beside one with {} readers", settings_.images, settings_.flood),
      true));
    print_head();
    for (const auto& p : phases) {
        print_row(p);
        csv_.add(p);
    }
    fmt::print(
      "\n| p50 / p99 ms of an image's {} reads | fastest image | middle one | slowest | slowest "
      "p99 ÷ fastest |\n| --- | --- | --- | --- | --- |\n",
      settings_.reads);
    for (const auto& p : phases) {
        print_images(p);
    }
    fmt::print("\nresident before the first read: {:.0f} MB\n", base);
}

} // namespace

void run_many(const settings& s) {
    many_run(s).run();
}

} // namespace firstlight::lanes
