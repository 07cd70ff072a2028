#include "net/configured_credentials.h"

#include "net/docker_key.h"

namespace firstlight {

configured_credentials::configured_credentials(std::map<std::string, credentials> by_host)
  : by_host_(std::move(by_host)) {
}

task<result<std::optional<credentials>>> configured_credentials::find(credential_query what) {
    if (const auto known = by_host_.find(what.host()); known != by_host_.end()) {
        co_return std::optional(known->second);
    }
    for (const auto& [host, held] : by_host_) {
        if (is_docker_hub(host) && is_docker_hub(what.host())) {
            co_return std::optional(held);
        }
    }
    co_return std::optional<credentials>();
}

} // namespace firstlight
