#pragma once

#include "net/credential_source.h"

#include <cstddef>
#include <list>
#include <string>
#include <unordered_map>

namespace firstlight {

/// What a CRI client says about itself when it has an image pulled: runtime.v1.AuthConfig.
/// A value; the fields as there.
class cri_auth {
public:
    std::string username;
    std::string password;
    std::string auth; // base64 of "user:password"
    std::string server_address;
    std::string identity_token;
};

/// The credentials in it for `host`: user and password, else the identity token, else
/// `auth`. Nothing if there are none, or if its server address names another host.
/// invalid_argument, without the text, if `auth` is none.
result<std::optional<credentials>> credentials_in(const cri_auth& from, const std::string& host);

/// Credentials that came with requests to pull images, kept in memory by host and repository
/// of the image; the latest of a repository counts. A mirror never gets them. Bounded: the
/// one that was given longest ago is forgotten first.
///
/// One per process, an actor on the registry_hub's shard; its methods are called there.
class pulled_credentials final : public credential_source {
public:
    static constexpr std::size_t usual_most = 4096;
    explicit pulled_credentials(std::size_t most = usual_most);

    /// `image` is to be pulled by whom `auth` says. Nothing in it changes nothing: whoever
    /// pulls anonymously may have been given the image by somebody who does not.
    /// invalid_argument if it is no reference, or as credentials_in().
    result<void> remember(const std::string& image, const cri_auth& auth);

    task<result<std::optional<credentials>>> find(credential_query what) override;
    std::size_t size() const noexcept { return known_.size(); }

private:
    struct entry {
        std::string key;
        credentials held;
    };
    const std::size_t most_;
    std::list<entry> by_age_; // the latest last
    std::unordered_map<std::string, std::list<entry>::iterator> known_;
};

} // namespace firstlight
