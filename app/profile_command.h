#pragma once

#include "app/cli.h"

namespace firstlight {

/// `firstlight profile list | export | import`: the read profiles of a node. An exported
/// file is profiles one behind the other, so two of them may simply be put together.
void add_profile_command(CLI::App& app, cli_context& context);

} // namespace firstlight
