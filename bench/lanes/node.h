#pragma once

#include "bench/lanes/layers.h"
#include "bench/lanes/readings.h"
#include "fs/layer_filler.h"
#include "net/registry_hub.h"

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace firstlight::lanes {

/// Chunks that nobody has read, each handed out once. Any thread.
class cold_chunks {
public:
    /// All chunks of `layers`, in an order of the seed's.
    cold_chunks(const std::vector<layer_ptr>& layers, std::uint64_t seed);

    using chunk = std::pair<layer_ptr, chunk_fetcher::chunk_number>;
    /// Null: none is left.
    const chunk* next() noexcept;

private:
    std::vector<chunk> all_;
    std::atomic<std::size_t> used_{0};
};

/// How a reader reads: one chunk after the other.
struct reading_order {
    std::shared_ptr<cold_chunks> from;
    deadline end = deadline::never(); // begins no read after this
    unsigned most = ~0U;              // reads
    std::chrono::nanoseconds think{0};
    std::chrono::milliseconds patience{30'000}; // for one read
    bool may_fail = false;                      // or the benchmark gives up
};

/// A node with all of this machine's processors, that mounts layers of registries: real
/// shards, registry clients, cache, fetchers and filler, and no kernel above them.
///
/// Methods are called from the main thread.
class node {
public:
    explicit node(const std::string& cache_directory);
    ~node();
    node(const node&) = delete;
    node& operator=(const node&) = delete;

    layer_ptr mount(const layer_outline& o, const std::string& host, const std::string& repository);

    /// Downloads them in the background, from their beginnings.
    void fill(const std::vector<layer_ptr>& layers);
    /// Ends that, and returns when nothing more of it arrives.
    void stop_filling(const std::vector<layer_ptr>& layers);

    /// A reader on one of the shards, in turn.
    std::future<readings> start_reader(reading_order o);
    /// `readers` at once, until all are done.
    std::vector<readings> read(const reading_order& o, unsigned readers);

    /// Body bytes so far.
    std::uint64_t received(const std::string& in) const {
        return metrics_.counted("firstlight_registry_bytes_total", {{"lane", in}});
    }
    std::uint64_t layers_complete() const {
        return metrics_.counted("firstlight_layers_complete_total");
    }

private:
    template <class T>
    T run(task<T> t);
    static task<readings> read_all(chunk_fetcher& by, reading_order o);

    runtime shards_;
    metrics metrics_;
    net_metrics net_;
    fs_metrics fs_;
    std::unique_ptr<credential_source> nobody_;
    registry_hub hub_;
    std::optional<chunk_cache> cache_;
    std::optional<layer_errors> errors_;
    std::vector<std::unique_ptr<registry_client>> clients_;
    std::vector<std::unique_ptr<chunk_fetcher>> fetchers_;
    std::optional<layer_filler> filler_;
    std::uint32_t mounted_ = 0;
    unsigned readers_ = 0;
};

} // namespace firstlight::lanes
