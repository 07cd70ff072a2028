// The index: what it costs to compile one from a TOC, to open a stored one, and to
// find a name in it.
//
//     build/release/bench/index_bench [--benchmark_filter=…] [BLOB…]
//
// BLOB: eStargz layers; without any, one that is made up of 4,000 files.

#include "fs/estargz_footer.h"
#include "fs/index.h"
#include "fs/index_compiler.h"
#include "fs/index_store.h"
#include "test/estargz_builder.h"
#include "test/temporary_directory.h"

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

using namespace firstlight;

namespace {

[[noreturn]] void give_up(const std::string& why) {
    std::cerr << "index_bench: " << why << '\n';
    std::exit(1);
}

std::string made_up_blob() {
    test::estargz_builder builder;
    for (int d = 0; d < 40; ++d) {
        const auto directory = "usr/lib/python3/dist-packages/package" + std::to_string(d) + "/";
        builder.directory(directory);
        for (int f = 0; f < 100; ++f) {
            builder.file(
              directory + "module_" + std::to_string(f) + ".py", std::to_string(d * 100 + f));
        }
    }
    return builder.build().bytes;
}

std::string read_blob(const char* path) {
    std::ifstream from(path, std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(from)), {});
    if (!from) {
        give_up(std::string("cannot read ") + path);
    }
    return bytes;
}

/// A TOC as it comes from a registry.
struct fetched_toc {
    explicit fetched_toc(std::string blob)
      : bytes(std::move(blob)) {
        const auto all = std::as_bytes(std::span(bytes));
        const auto where = parse_footer(all, all.size());
        if (!where) {
            give_up(where.error().context());
        }
        input.member = all.subspan(where->toc_offset, where->toc_size);
        input.payload_size = where->payload_size();
    }
    std::string bytes;
    toc_input input;
};

compiled_index compiled(const fetched_toc& from) {
    auto made = compile_index(from.input);
    if (!made) {
        give_up(made.error().context());
    }
    return std::move(*made);
}

void compile(benchmark::State& state, const fetched_toc& from) {
    for (auto _ : state) {
        benchmark::DoNotOptimize(compile_index(from.input));
    }
    state.counters["TOC bytes"] = static_cast<double>(from.input.member.size());
}

void open_stored(benchmark::State& state, const fetched_toc& from) {
    const auto made = compiled(from);
    const test::temporary_directory disk;
    auto store = index_store::open(disk.path());
    if (!store || !store->put(made.toc, made.bytes.span())) {
        give_up("cannot store an index in " + disk.path());
    }
    for (auto _ : state) {
        benchmark::DoNotOptimize(store->get(made.toc));
    }
    state.counters["index bytes"] = static_cast<double>(made.bytes.size());
}

void find_names(benchmark::State& state, const fetched_toc& from) {
    const auto opened = index::from_buffer(compiled(from).bytes);
    if (!opened) {
        give_up(opened.error().context());
    }
    const auto& toc = **opened;
    std::size_t names = 0;
    for (auto _ : state) {
        for (entry_id id = 0; id < toc.size(); ++id) {
            for (std::uint32_t i = 0; i < toc.child_count(id); ++i, ++names) {
                benchmark::DoNotOptimize(toc.find(id, toc.child(id, i).name));
            }
        }
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(names));
    state.counters["entries"] = toc.size();
}

} // namespace

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    std::vector<std::unique_ptr<fetched_toc>> tocs;
    for (int i = 1; i < argc; ++i) {
        tocs.push_back(std::make_unique<fetched_toc>(read_blob(argv[i])));
    }
    if (tocs.empty()) {
        tocs.push_back(std::make_unique<fetched_toc>(made_up_blob()));
    }
    for (std::size_t i = 0; i < tocs.size(); ++i) {
        const auto which = "/" + std::to_string(i);
        const auto& toc = *tocs[i];
        benchmark::RegisterBenchmark(("compile" + which).c_str(), compile, std::cref(toc))
          ->Unit(benchmark::kMillisecond);
        benchmark::RegisterBenchmark(("open" + which).c_str(), open_stored, std::cref(toc))
          ->Unit(benchmark::kMillisecond);
        benchmark::RegisterBenchmark(("find" + which).c_str(), find_names, std::cref(toc))
          ->Unit(benchmark::kMillisecond);
    }
    benchmark::RunSpecifiedBenchmarks();
}
