#pragma once

#include "actors/result.h"
#include "actors/task.h"
#include "net/endpoint.h"

#include <string>

namespace firstlight {

/// Where a registry is reached, as somebody else than the configuration says, and may say
/// otherwise tomorrow. Called on the registry_hub's shard, every few seconds for a registry
/// that is in use; slow work goes elsewhere.
class host_source {
public:
    virtual ~host_source() = default;
    /// The endpoints of `registry` (the host in image references) in the order to ask, at
    /// least one. Null: the configuration is to say. A fault for what cannot be understood,
    /// unless something could be before, which then holds.
    virtual task<result<endpoint_list>> find(std::string registry) = 0;
};

} // namespace firstlight
