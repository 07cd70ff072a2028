#pragma once
// The node-wide store of chunks: each is fetched once, verified before anyone
// sees it, and shared by all layers and images that contain it.

#include "actors/deadline.h"
#include "actors/metrics.h"
#include "actors/runtime.h"
#include "cache/chunk.h"
#include "cache/chunk_key.h"
#include "cache/fill_ticket.h"

#include <chrono>
#include <filesystem>
#include <memory>
#include <stop_token>
#include <vector>

namespace firstlight {

struct chunk_cache_options {
    /// Content goes to `directory`/chunks (0700), made when missing. One process
    /// at a time may use it.
    std::filesystem::path directory;
    /// Bytes allocated on disk for content, over all shards; 0: 20 GiB. The
    /// journals (64 bytes a chunk) come on top.
    std::uint64_t max_bytes = 0;
    /// Bytes of content that is not on disk (yet), over all shards.
    std::uint64_t memory_bytes = 128ULL << 20;
    /// Chunks that each shard can read without asking the owner.
    std::size_t handles_per_shard = 4096;
    /// A pack file takes no new content once it is this long; 0: 256 MiB, or more
    /// when max_bytes is large, so that at most 64 × 11 files are ever open.
    std::uint64_t pack_bytes = 0;
    /// How long storing rests after a failed write; doubles up to a minute.
    std::chrono::milliseconds store_retry{1000};
};

/// What lookup() says of one key.
class lookup_answer {
public:
    enum class kind {
        hit,    // handle() can be read
        joined, // somebody else is bringing it: wait()
        mine,   // nobody is: take_ticket() and bring it
    };

    lookup_answer() noexcept = default; // joined
    explicit lookup_answer(chunk_handle h) noexcept
      : kind_(kind::hit)
      , handle_(std::move(h)) {}
    explicit lookup_answer(fill_ticket t) noexcept
      : kind_(kind::mine)
      , ticket_(std::move(t)) {}

    kind what() const noexcept { return kind_; }
    const chunk_handle& handle() const noexcept { return handle_; }
    fill_ticket take_ticket() noexcept { return std::move(ticket_); }

private:
    kind kind_ = kind::joined;
    chunk_handle handle_;
    fill_ticket ticket_;
};

/// One object for the process: an owner (an actor) and a handle table per shard.
/// A chunk's owner is the shard of its digest; it alone decides on the chunk's
/// flight, place on disk and eviction.
///
/// All methods may be called on any shard, by any number of callers. Destroy it
/// after stop() and before the runtime.
///
///     if (auto h = cache.find_here(key)) { … h->read_now(…) … }    // no hop
///     auto answers = co_await cache.lookup(std::move(keys), lane::demand);
///     hit: read; joined: co_await cache.wait(…); mine: fetch, verify, fulfil.
class chunk_cache {
public:
    /// Registers its metrics; touches no file before start().
    chunk_cache(runtime& shards, metrics& m, chunk_cache_options o);
    ~chunk_cache();
    chunk_cache(const chunk_cache&) = delete;
    chunk_cache& operator=(const chunk_cache&) = delete;

    /// Opens the store and finds what an earlier process left, however it ended:
    /// leftovers are removed, and a chunk found is verified when it is first
    /// looked up. Errors: failed_precondition when another process uses the
    /// directory, io_error, no_space. Call once; stop() is due even if it fails.
    task<result<void>> start();

    /// Fails all flights with errc::stopping, writes out what is still in memory
    /// (while the disk takes it), and returns when nothing of the cache runs.
    task<void> stop();

    /// The chunk, if this shard has its handle at hand: no hop, no lock, no
    /// allocation. Null otherwise: lookup() knows more. Shards only.
    chunk_handle find_here(const chunk_key& key) noexcept;
    /// The same by digest alone; compare size() with what you expect.
    chunk_handle find_here(const digest& id) noexcept;

    /// What is known of each key, in the order asked: one message to each owner
    /// involved. A key that is given twice is `mine` once and then `joined`. Joining
    /// raises the flight to lane `l`. A chunk left by an earlier process is read and
    /// verified first, in runtime.io(); a damaged one counts as missing.
    /// Handles on disk are entered in this shard's table. `told` hears of it when a
    /// flight whose ticket this call gives is raised.
    /// Errors (of the whole call; tickets already given are abandoned): overloaded,
    /// stopping.
    task<result<std::vector<lookup_answer>>> lookup(
      std::vector<chunk_key> keys, lane l, std::shared_ptr<const raise_listener> told = nullptr);

    /// The content of a flight that lookup() said `joined` to. Raises it to lane `l`.
    /// `stop` is requested on the caller's shard.
    /// Errors: timed_out at the deadline and interrupted by `stop` (the flight goes
    /// on), what the filler abandoned it with, unavailable when the flight has ended
    /// meanwhile without content (look up again), overloaded, stopping.
    task<result<chunk_handle>>
    wait(chunk_key key, lane l, deadline until, std::stop_token stop = {});

    /// Gives the content to everyone who waits, at once, and stores it afterwards.
    /// The caller has verified `content` against ticket.key(). The handle is for
    /// the caller's own use. Never waits; any thread.
    /// Errors: corrupt when the size is wrong (the flight is abandoned with it).
    result<chunk_handle> fulfil(fill_ticket ticket, buffer content);

    /// Everyone who waits gets `why`; the next lookup may try again. Never waits;
    /// any thread.
    void abandon(fill_ticket ticket, fault why);

    /// The shard that owns a chunk: where its lookup costs no hop.
    shard& owner_of(const digest& id) noexcept;

    /// The state of all shards, each a moment old. Any thread.
    struct usage_snapshot {
        std::uint64_t bytes = 0;        // allocated on disk
        std::uint64_t chunks = 0;       // on disk
        std::uint64_t memory_bytes = 0; // content not on disk (yet)
        std::uint64_t flights = 0;      // tickets out
        std::uint64_t limit = 0;        // max_bytes in force
    };
    usage_snapshot usage() const noexcept;

private:
    std::shared_ptr<cache_core> core_;
};

} // namespace firstlight
