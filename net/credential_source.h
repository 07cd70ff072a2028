#pragma once

#include "actors/result.h"
#include "actors/task.h"

#include <optional>
#include <string>
#include <utility>

namespace firstlight {

/// What proves who we are to a registry. Never logged.
class credentials {
public:
    /// An empty `user` makes `secret` an identity (refresh) token.
    credentials(std::string user, std::string secret)
      : user_(std::move(user))
      , secret_(std::move(secret)) {}

    const std::string& user() const noexcept { return user_; }
    const std::string& secret() const noexcept { return secret_; }
    bool is_identity_token() const noexcept { return user_.empty(); }

private:
    std::string user_;
    std::string secret_;
};

/// What credentials are wanted for. A value.
class credential_query {
public:
    explicit credential_query(std::string host, std::string repository = {})
      : host_(std::move(host))
      , repository_(std::move(repository)) {}

    /// As in image references ("docker.io", "localhost:5000"), or a mirror's.
    const std::string& host() const noexcept { return host_; }
    /// "library/alpine"; empty: any.
    const std::string& repository() const noexcept { return repository_; }

private:
    std::string host_;
    std::string repository_;
};

/// Where credentials come from. Asked each time they are needed, which is at every 401 and
/// 403, so that a change works at once. Called on the registry_hub's shard.
class credential_source {
public:
    virtual ~credential_source() = default;
    /// Nothing when there are none for it: go on anonymously.
    virtual task<result<std::optional<credentials>>> find(credential_query what) = 0;
};

/// Never has any.
class no_credentials final : public credential_source {
public:
    task<result<std::optional<credentials>>> find(credential_query what) override;
};

} // namespace firstlight
