#pragma once

#include "actors/metrics.h"

namespace firstlight {

/// What the file system counts. Made once, before the shards start.
struct fs_metrics {
    explicit fs_metrics(metrics& all);

    counter& reads_hit;         // answered from chunks that were here
    counter& reads_waited;      // had to wait for disk, decode or network
    counter& reads_missed;      // of those, for which something had to be fetched
    counter& reads_failed;      // answered with an errno
    counter& reads_interrupted; // given up, as their reader had a signal to attend to
    counter& bytes_read;        // to the kernel
    counter& chunks_fetched;    // verified and handed on, by any lane
    counter& bytes_fetched;     // compressed bytes of those
    counter& fetches_split;     // a part of a lower lane's fetch was fetched apart for a reader
    counter& chunks_corrupt;    // did not match their digest
    counter& layers_mounted;    // lazily
    counter& layers_complete;
    counter& profiles_learned;  // of layers, from one start each
    counter& profiles_replayed; // at mounts of layers
    counter& chunks_replayed;   // asked for ahead because of a profile
    histogram& wait;            // of reads_waited, arrival to reply
    histogram& open_layer;      // Prepare's part that makes a layer readable
    histogram& prefetch_wait;   // of new containers, where the configuration wants it
};

} // namespace firstlight
