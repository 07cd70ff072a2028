#pragma once

#include "app/config.h"
#include "app/config_section.h"

namespace firstlight {

/// Reads every key that firstlight knows, its own and stargz-snapshotter's, from
/// `document` into `to`. Throws config_findings::error (see there).
void read_config_keys(const toml_table& document, config_findings& findings, config& to);

/// The part of it that says how registries are reached: [resolver] and [registry].
void read_registry_keys(config_section& top, config& to);

} // namespace firstlight
