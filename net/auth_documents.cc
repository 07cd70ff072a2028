#include "net/auth_documents.h"

#include "net/base64.h"
#include "net/docker_key.h"
#include "net/json_value.h"

#include <algorithm>
#include <tuple>

namespace firstlight {

namespace {

constexpr std::int64_t longest_lifetime = std::int64_t{366} * 24 * 3600;

std::chrono::seconds lifetime_of(const json_value& answer) {
    const auto seconds = answer["expires_in"].number().value_or(0);
    const auto bounded = std::clamp(seconds, 0.0, static_cast<double>(longest_lifetime));
    return std::chrono::seconds(static_cast<std::int64_t>(bounded));
}

result<std::optional<credentials>> read_entry(const json_value& entry) {
    using found = std::optional<credentials>;
    if (!entry.is_object()) {
        return fault(errc::invalid_argument, "an entry of auths is not an object");
    }
    if (const auto& token = entry["identitytoken"].text(); !token.empty()) {
        return found(credentials("", token));
    }
    auto user = entry["username"].text();
    auto secret = entry["password"].text();
    if (const auto& packed = entry["auth"].text(); !packed.empty()) {
        auto pair = unpack_auth(packed);
        if (!pair) {
            return pair.error();
        }
        std::tie(user, secret) = std::move(*pair);
    }
    if (user.empty() || secret.empty()) {
        return found();
    }
    return found(credentials(std::move(user), std::move(secret)));
}

} // namespace

result<std::pair<std::string, std::string>> unpack_auth(const std::string& packed) {
    const auto plain = base64_decoded(packed);
    const auto colon = plain ? plain->find(':') : std::string::npos;
    if (colon == std::string::npos) {
        return fault(errc::invalid_argument, "auth is not base64 of user:password");
    }
    auto secret = plain->substr(colon + 1);
    secret.erase(std::find(secret.begin(), secret.end(), '\0'), secret.end()); // docker pads
    return std::pair(plain->substr(0, colon), std::move(secret));
}

result<token_answer> parse_token_answer(std::string_view json) {
    const auto document = json_value::parse(json);
    if (!document || !document->is_object()) {
        return fault(errc::corrupt, "token answer is not a JSON object");
    }
    token_answer answer;
    answer.token = (*document)["token"].text();
    if (answer.token.empty()) {
        answer.token = (*document)["access_token"].text();
    }
    const auto printable = [](char c) { return c > 0x20 && c < 0x7f; };
    if (answer.token.empty() || !std::all_of(answer.token.begin(), answer.token.end(), printable)) {
        return fault(errc::corrupt, "token answer holds no token");
    }
    answer.lifetime = lifetime_of(*document);
    return answer;
}

result<docker_config> docker_config::parse(std::string_view json) {
    const auto document = json_value::parse(json);
    if (!document || !document->is_object()) {
        return fault(errc::invalid_argument, "not a JSON object");
    }
    docker_config to;
    to.store_ = (*document)["credsStore"].text();
    for (const auto& [key, value] : (*document)["auths"].members()) {
        to.auths_.push_back({key, read_entry(value)});
    }
    for (const auto& [key, value] : (*document)["credHelpers"].members()) {
        to.helpers_.emplace_back(key, value.text());
    }
    return to;
}

result<std::optional<credentials>> docker_config::find(const credential_query& what) const {
    const entry* best = nullptr;
    std::size_t most = 0;
    for (const auto& each : auths_) {
        const bool empty = each.held && !*each.held;
        const auto rank = empty ? 0 : docker_key_rank(each.key, what);
        if (rank > most) {
            most = rank;
            best = &each;
        }
    }
    return best ? best->held : std::optional<credentials>();
}

const std::string& docker_config::helper_for(const credential_query& what) const {
    const std::string* best = &store_;
    std::size_t most = 0;
    for (const auto& [key, name] : helpers_) {
        const auto rank = docker_key_rank(key, what);
        if (rank > most) {
            most = rank;
            best = &name;
        }
    }
    return *best;
}

result<std::optional<credentials>> parse_helper_answer(std::string_view json) {
    using found = std::optional<credentials>;
    const auto document = json_value::parse(json);
    if (!document || !document->is_object()) {
        return fault(errc::corrupt, "its answer is not a JSON object");
    }
    auto user = (*document)["Username"].text();
    auto secret = (*document)["Secret"].text();
    if (user.empty() || secret.empty()) {
        return found();
    }
    if (user == "<token>") {
        user.clear();
    }
    return found(credentials(std::move(user), std::move(secret)));
}

} // namespace firstlight
