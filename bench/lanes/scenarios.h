#pragma once

#include "bench/lanes/settings.h"

namespace firstlight::lanes {

// Each prints its tables. Zeros in the settings have been filled in.

/// Readers beside a background download: on an emulated link (`link`), or without one and
/// with layers that cost decoding (`fast`).
void run_background(const settings& s);
/// Many containers, each of an image of its own, that begin to read at once.
void run_many(const settings& s);
/// Readers of a live registry beside readers of a dead one.
void run_dead(const settings& s);

} // namespace firstlight::lanes
