#include "fs/layer_reader.h"

#include "actors/background.h"

#include <algorithm>

namespace firstlight {

namespace {

constexpr std::uint64_t first_window = 128 << 10; // compressed bytes
// A read that begins within this distance of where the last one ended, in the
// blob, goes on with it: requests of one reader arrive on several shards.
constexpr std::uint64_t same_pursuit = 1 << 20;
constexpr std::size_t pursued_layers = 256; // remembered by a shard

// The chunks of `file` that hold [begin, end), which is within the file.
std::span<const chunk_record>
covering(const index& toc, entry_id file, std::uint64_t begin, std::uint64_t end) {
    const auto all = toc.chunks(file);
    const auto first = std::ranges::upper_bound(all, begin, {}, &chunk_record::file_offset) - 1;
    const auto last = std::ranges::lower_bound(all, end, {}, &chunk_record::file_offset);
    return {first, last};
}

std::size_t
bytes_there(const layer& l, entry_id file, std::uint64_t offset, std::size_t room) noexcept {
    const auto size = l.toc().attributes(file).size;
    return offset >= size ? 0 : std::min<std::uint64_t>(room, size - offset);
}

} // namespace

struct layer_reader::part {
    std::uint64_t from = 0; // in the chunk
    std::span<std::byte> to;

    // Of a read from `offset` on into `out`, which `c` has some bytes of.
    static part of(const chunk_record& c, std::uint64_t offset, std::span<std::byte> out) {
        const auto begin = std::max(offset, c.file_offset);
        const auto end = std::min(offset + out.size(), c.file_offset + c.size);
        return {begin - c.file_offset, out.subspan(begin - offset, end - begin)};
    }
};

struct layer_reader::pursuit {
    std::uint64_t end = 0;    // blob offset up to which chunks were read
    std::uint64_t window = 0; // compressed bytes to look ahead
    std::uint64_t ahead = 0;  // blob offset up to which chunks were asked for
};

struct layer_reader::per_shard {
    explicit per_shard(shard& home)
      : tasks(home) {}
    std::map<std::uint32_t, pursuit> pursuits; // by layer number
    background_tasks tasks;
};

layer_reader::layer_reader(
  runtime& shards, chunk_cache& cache, std::vector<std::unique_ptr<chunk_fetcher>>& fetchers,
  options o)
  : shards_(shards)
  , cache_(cache)
  , fetchers_(fetchers)
  , options_(std::move(o)) {
    for (unsigned id = 0; id < shards.size(); ++id) {
        state_.push_back(std::make_unique<per_shard>(shards.at(id)));
    }
}

layer_reader::~layer_reader() = default;

layer_reader::per_shard& layer_reader::here() noexcept {
    return *state_[shard::current()->id()];
}

std::optional<std::size_t> layer_reader::read_now(
  const layer_ptr& l, entry_id file, std::uint64_t offset, std::span<std::byte> out) {
    const auto size = bytes_there(*l, file, offset, out.size());
    if (size == 0) {
        return 0;
    }
    const auto chunks = covering(l->toc(), file, offset, offset + size);
    for (const auto& c : chunks) {
        const auto handle = cache_.find_here(chunk_key(c.chunk, c.size));
        if (!handle) {
            return std::nullopt;
        }
        const auto p = part::of(c, offset, out.first(size));
        if (handle->read_now(p.from, p.to) != p.to.size()) {
            return std::nullopt;
        }
    }
    if (options_.recorder) {
        options_.recorder->note(*l, chunks);
    }
    if (nears_the_end(*l, chunks.back())) {
        look_ahead(l, l->toc().chunk_number(chunks.back()));
    }
    return size;
}

// Whether a reader that found everything here will soon run out of it.
bool layer_reader::nears_the_end(const layer& l, const chunk_record& c) noexcept {
    const auto& pursuits = here().pursuits;
    const auto found = pursuits.find(l.number());
    if (found == pursuits.end()) {
        return false;
    }
    const auto& p = found->second;
    return p.window > first_window && c.blob_offset >= p.end && c.compressed_end <= p.ahead &&
           p.ahead - c.compressed_end < p.window / 2;
}

task<result<layer_reader::content>> layer_reader::read(
  layer_ptr l, entry_id file, std::uint64_t offset, std::size_t size, deadline patience,
  std::stop_token stop) {
    size = bytes_there(*l, file, offset, size);
    if (size == 0) {
        co_return content();
    }
    const auto chunks = covering(l->toc(), file, offset, offset + size);
    std::vector<std::uint32_t> numbers;
    for (const auto& c : chunks) {
        numbers.push_back(l->toc().chunk_number(c));
    }
    if (options_.recorder) {
        options_.recorder->note(*l, chunks);
    }
    look_ahead(l, numbers.back());
    if (options_.waited) {
        options_.waited(l->number(), chunks.front().blob_offset);
    }
    auto& fetcher = *fetchers_[shard::current()->id()];
    auto got = co_await fetcher.get(l, std::move(numbers), lane::demand, patience, stop);
    if (!got) {
        co_return got.error();
    }
    content made;
    const auto demand = [] { return lane::demand; };
    made.memory = co_await fetcher.memory().take(size, demand);
    made.bytes = buffer(size);
    for (std::size_t i = 0; i < chunks.size(); ++i) {
        const auto p = part::of(chunks[i], offset, made.bytes.span());
        auto copied = co_await copy_out((*got)[i], p.from, p.to);
        if (!copied) {
            co_return copied.error();
        }
    }
    co_return std::move(made);
}

task<result<void>>
layer_reader::copy_out(chunk_handle from, std::uint64_t offset, std::span<std::byte> to) {
    if (from->read_now(offset, to) == to.size()) {
        co_return result<void>();
    }
    auto wait = [from, offset, to]() -> result<void> { return from->read_blocking(offset, to); };
    co_return co_await shards_.io().run(lane::demand, std::move(wait));
}

// Nothing is fetched ahead of a read that stands alone. The window opens when the
// next one goes on where it ended, wide enough for more of the same, and doubles
// from then on.
bool layer_reader::pursue(pursuit& p, const chunk_record& c) const noexcept {
    if (c.compressed_end == p.end) {
        return false; // the same chunk again
    }
    const bool goes_on = p.end != 0 && c.compressed_end > p.end &&
                         c.blob_offset <= std::max(p.end, p.ahead) + same_pursuit;
    if (goes_on) {
        const auto next = 2 * std::max(p.window, c.compressed_end - c.blob_offset);
        p.window = std::min(std::max(first_window, next), options_.read_ahead_most);
    } else {
        p.window = 0;
        p.ahead = 0;
    }
    p.end = c.compressed_end;
    p.ahead = std::max(p.ahead, p.end);
    return goes_on;
}

void layer_reader::look_ahead(const layer_ptr& l, std::uint32_t last_chunk) {
    auto& local = here();
    if (local.pursuits.size() >= pursued_layers && !local.pursuits.contains(l->number())) {
        local.pursuits.clear();
    }
    auto& p = local.pursuits[l->number()];
    const auto& toc = l->toc();
    const auto& chunk = toc.all_chunks()[last_chunk];
    if (!pursue(p, chunk)) {
        return;
    }
    const auto until = chunk.compressed_end + p.window;
    const auto order = toc.by_offset();
    std::vector<std::uint32_t> next;
    for (auto i = toc.lower_bound(p.ahead); i < order.size(); ++i) {
        const auto& c = toc.all_chunks()[order[i]];
        if (c.compressed_end > until) {
            break; // a chunk that is larger than the window waits until it has grown
        }
        p.ahead = c.compressed_end;
        if (!cache_.find_here(chunk_key(c.chunk, c.size))) {
            next.push_back(order[i]);
        }
    }
    if (next.empty()) {
        return;
    }
    auto& fetcher = *fetchers_[shard::current()->id()];
    local.tasks.spawn(
      "look ahead", lane::prefetch, [&fetcher, l, next](std::stop_token) -> task<void> {
          (void)co_await fetcher.prefetch(l, next, lane::prefetch);
      });
}

task<void> layer_reader::stop() {
    for (const auto& each : state_) {
        co_await each->tasks.stop_from_elsewhere();
    }
}

} // namespace firstlight
