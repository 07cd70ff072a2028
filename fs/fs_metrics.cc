#include "fs/fs_metrics.h"

namespace firstlight {

fs_metrics::fs_metrics(metrics& all)
  : reads_hit(all.add_counter(
      "firstlight_reads_total", "Reads answered, by what they had to wait for.",
      {{"from", "cache"}}))
  , reads_waited(all.add_counter(
      "firstlight_reads_total", "Reads answered, by what they had to wait for.",
      {{"from", "wait"}}))
  , reads_missed(all.add_counter(
      "firstlight_read_misses_total", "Reads for which a chunk had to be fetched or awaited."))
  , reads_failed(all.add_counter("firstlight_read_errors_total", "Reads answered with an error."))
  , reads_interrupted(all.add_counter(
      "firstlight_reads_interrupted_total",
      "Reads that waited and were given up, as their reader was killed or interrupted."))
  , bytes_read(all.add_counter("firstlight_read_bytes_total", "Bytes given to readers."))
  , chunks_fetched(all.add_counter(
      "firstlight_chunks_fetched_total", "Chunks fetched from a registry and verified."))
  , bytes_fetched(all.add_counter(
      "firstlight_chunk_fetched_bytes_total", "Compressed bytes of the chunks fetched."))
  , fetches_split(all.add_counter(
      "firstlight_fetches_split_total",
      "Fetches of a lower lane of which a part was fetched apart, for a reader who waits."))
  , chunks_corrupt(all.add_counter(
      "firstlight_chunks_corrupt_total", "Chunks whose bytes did not match their digest."))
  , layers_mounted(
      all.add_counter("firstlight_layers_mounted_total", "Layers mounted without a download."))
  , layers_complete(all.add_counter(
      "firstlight_layers_complete_total", "Layers whose chunks have all been fetched."))
  , profiles_learned(
      all.add_counter("firstlight_profiles_learned_total", "Layers of which a start was learned."))
  , profiles_replayed(all.add_counter(
      "firstlight_profiles_replayed_total", "Layers prefetched as their read profiles say."))
  , chunks_replayed(all.add_counter(
      "firstlight_profile_chunks_total",
      "Chunks asked for ahead because a read profile names them, or their neighbours."))
  , wait(all.add_histogram(
      "firstlight_read_wait", "Duration of reads that had to wait, arrival to reply."))
  , open_layer(
      all.add_histogram("firstlight_layer_open", "Duration of making a layer readable in Prepare."))
  , prefetch_wait(all.add_histogram(
      "firstlight_prefetch_wait",
      "Duration that making a container waited for its layers to be prefetched.")) {
}

} // namespace firstlight
