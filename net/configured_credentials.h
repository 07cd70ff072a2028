#pragma once

#include "net/credential_source.h"

#include <map>
#include <string>

namespace firstlight {

/// What the operator wrote into the configuration, by host. Docker Hub may be under any of
/// its names.
class configured_credentials final : public credential_source {
public:
    explicit configured_credentials(std::map<std::string, credentials> by_host);
    task<result<std::optional<credentials>>> find(credential_query what) override;

private:
    const std::map<std::string, credentials> by_host_;
};

} // namespace firstlight
