#pragma once

#include "actors/background.h"
#include "actors/event.h"
#include "actors/runtime.h"
#include "fs/chunk_fetcher.h"
#include "fs/fs_metrics.h"
#include "fs/layer.h"
#include "fs/profile_store.h"
#include "fs/read_recorder.h"
#include "fs/replay_plan.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

namespace firstlight {

/// Learns what starts of containers read of each layer, and has that fetched, in that
/// order, when the layer is mounted anew: what no landmark says, and better than one.
///
/// Profiles are hints. What one names too much is fetched in vain, what it does not name
/// is fetched when it is read, and a layer whose fetches fail is given up.
///
/// What is read first anywhere is fetched first, whichever layer it is in: profiles
/// count time from the first read of the image. Several requests are under way, so that
/// strewn chunks cost the link's time and not a round trip each; but only so many bytes,
/// since a read that nobody foresaw shares the link with them.
///
/// Lives on shard 0. Invariant across suspensions: a job is in jobs_ exactly while its
/// begin() runs.
class learned_prefetch {
public:
    struct options {
        bool replay = true; // false: only learns
        unsigned requests_at_once = 12;
        std::uint64_t bytes_at_once = 4 << 20; // compressed
        replay_limits plan;
        std::chrono::milliseconds longest_calm{3000};
        read_recorder::options recording;
    };

    learned_prefetch(
      runtime& shards, profile_store profiles,
      std::vector<std::unique_ptr<chunk_fetcher>>& fetchers, fs_metrics& counted, options o);
    ~learned_prefetch();

    /// Who must be told of reads.
    read_recorder& recorder() noexcept { return recorder_; }

    /// `l` was mounted for `image`: its reads are noted from now on. Returns when what
    /// its profile names is here or could not be had.
    task<void> begin(layer_ptr l, std::string image);
    /// Returns when the start of `image` is over as far as its profiles know it: until then
    /// a download in the background would take processors, disk and link from it, and
    /// has nothing to add. At once for an image without profiles; after `longest_calm` if
    /// it is not started, or reads for longer; when `stop` is requested on shard 0.
    task<void> calm(std::string image, std::stop_token stop);
    /// The layer goes.
    task<void> end(std::uint32_t number);
    /// Keeps what was learned so far. After the registry clients' stop.
    task<void> stop();

private:
    struct job;
    using job_ptr = std::shared_ptr<job>;

    struct recalled {
        std::vector<replay_stretch> plan;
        std::chrono::microseconds last_read{0};
    };
    task<recalled> recall(layer_ptr l);
    void keep(read_recorder::recording r);
    task<void> write(read_recorder::recording r);
    void serve();
    job_ptr most_urgent() const;
    task<void> fetch(job_ptr j, replay_stretch s);

    runtime& shards_;
    const profile_store profiles_;
    std::vector<std::unique_ptr<chunk_fetcher>>& fetchers_; // by shard id
    fs_metrics& counted_;
    const options options_;
    std::vector<job_ptr> jobs_;
    std::map<std::string, std::chrono::microseconds> last_reads_; // of replayed images
    unsigned under_way_ = 0;                                      // requests
    std::uint64_t bytes_under_way_ = 0;
    unsigned next_fetcher_ = 0;
    bool stopping_ = false;
    background_tasks tasks_;
    read_recorder recorder_;
};

} // namespace firstlight
