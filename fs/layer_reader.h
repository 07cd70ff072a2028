#pragma once

#include "actors/deadline.h"
#include "actors/runtime.h"
#include "fs/chunk_fetcher.h"
#include "fs/layer.h"
#include "fs/read_recorder.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

namespace firstlight {

/// Reads files of layers: at once from chunks that are here, else through the
/// fetcher of the shard that asks. Any shard.
///
/// Besides, it looks ahead, per layer and in the order of the blob: who reads on
/// where somebody has just read, be it in one big file or in small ones side by
/// side, gets what follows in the prefetch lane, the more the longer it goes on. A
/// read that stands alone fetches what it asks for and nothing else.
class layer_reader {
public:
    struct options {
        std::uint64_t read_ahead_most = 8 << 20; // compressed bytes; 0: never
        /// Told, on the reading shard, where in which layer's blob somebody waits.
        std::function<void(std::uint32_t layer, std::uint64_t blob_offset)> waited;
        read_recorder* recorder = nullptr; // is told of every read; null: nobody is
    };

    layer_reader(
      runtime& shards, chunk_cache& cache, std::vector<std::unique_ptr<chunk_fetcher>>& fetchers,
      options o);
    ~layer_reader();

    /// Bytes of the regular file `file` from `offset` on, as many as fit and
    /// exist; nothing if some of them would have to be waited for.
    std::optional<std::size_t>
    read_now(const layer_ptr& l, entry_id file, std::uint64_t offset, std::span<std::byte> out);

    /// What a read brought, and the part of the shard's memory budget that it takes.
    struct content {
        memory_budget::hold memory;
        buffer bytes;
    };
    /// The same, of `size` bytes, waiting for disk and network until `patience` ends or
    /// `stop` is requested, on this shard. While it waits it takes no room for the
    /// content: thousands may wait. Errors: those of chunk_fetcher::get, io_error.
    task<result<content>> read(
      layer_ptr l, entry_id file, std::uint64_t offset, std::size_t size, deadline patience,
      std::stop_token stop = {});

    /// Waits for the look-ahead of every shard; from shard 0.
    task<void> stop();

private:
    struct part;    // of a read: which bytes of a chunk go where
    struct pursuit; // how far a shard looks ahead in one layer
    struct per_shard;

    per_shard& here() noexcept;
    bool nears_the_end(const layer& l, const chunk_record& c) noexcept;
    bool pursue(pursuit& p, const chunk_record& c) const noexcept;
    void look_ahead(const layer_ptr& l, std::uint32_t last_chunk);
    task<result<void>> copy_out(chunk_handle from, std::uint64_t offset, std::span<std::byte> to);

    runtime& shards_;
    chunk_cache& cache_;
    std::vector<std::unique_ptr<chunk_fetcher>>& fetchers_; // by shard id
    const options options_;
    std::vector<std::unique_ptr<per_shard>> state_; // by shard id
};

} // namespace firstlight
