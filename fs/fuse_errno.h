#pragma once

#include "actors/result.h"

namespace firstlight {

/// The errno that a reader sees for a fault. Anything that kept us from the
/// right bytes is EIO; read(2) on a regular file has no way to say "later".
int to_errno(const fault& f) noexcept;

} // namespace firstlight
