#include "net/pulled_credentials.h"

#include "net/auth_documents.h"
#include "net/docker_key.h"
#include "net/image_reference.h"

namespace firstlight {

namespace {

std::string key_of(const std::string& host, const std::string& repository) {
    return (is_docker_hub(host) ? "docker.io" : host) + "/" + repository;
}

} // namespace

result<std::optional<credentials>> credentials_in(const cri_auth& from, const std::string& host) {
    using found = std::optional<credentials>;
    const auto& server = from.server_address;
    if (!server.empty() && docker_key_rank(server, credential_query(host)) == 0) {
        return found();
    }
    if (!from.username.empty()) {
        return found(credentials(from.username, from.password));
    }
    if (!from.identity_token.empty()) {
        return found(credentials("", from.identity_token));
    }
    if (from.auth.empty()) {
        return found();
    }
    auto pair = unpack_auth(from.auth);
    if (!pair) {
        return pair.error();
    }
    return found(credentials(std::move(pair->first), std::move(pair->second)));
}

pulled_credentials::pulled_credentials(std::size_t most)
  : most_(most) {
}

result<void> pulled_credentials::remember(const std::string& image, const cri_auth& auth) {
    const auto reference = image_reference::parse(image);
    if (!reference) {
        return reference.error();
    }
    auto held = credentials_in(auth, reference->registry());
    if (!held) {
        return held.error().in("pull of " + image);
    }
    if (!*held) {
        return {};
    }
    auto key = key_of(reference->registry(), reference->repository());
    if (const auto old = known_.find(key); old != known_.end()) {
        by_age_.erase(old->second);
        known_.erase(old);
    }
    by_age_.push_back({key, std::move(**held)});
    known_[std::move(key)] = std::prev(by_age_.end());
    if (known_.size() > most_) {
        known_.erase(by_age_.front().key);
        by_age_.pop_front();
    }
    return {};
}

task<result<std::optional<credentials>>> pulled_credentials::find(credential_query what) {
    const auto known = known_.find(key_of(what.host(), what.repository()));
    if (known == known_.end()) {
        co_return std::optional<credentials>();
    }
    co_return std::optional(known->second->held);
}

} // namespace firstlight
