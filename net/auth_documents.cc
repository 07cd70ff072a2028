#include "net/auth_documents.h"

#include "net/base64.h"
#include "net/docker_key.h"

#include <rapidjson/document.h>

#include <algorithm>

namespace firstlight {

namespace {

// Deep nesting would overflow the stack of RapidJSON's recursive parser.
constexpr unsigned parse_flags = rapidjson::kParseIterativeFlag;
constexpr std::int64_t longest_lifetime = 366 * 24 * std::int64_t{3600};

std::string text_of(const rapidjson::Value& object, const char* name) {
    const auto found = object.FindMember(name);
    if (found == object.MemberEnd() || !found->value.IsString()) {
        return {};
    }
    return {found->value.GetString(), found->value.GetStringLength()};
}

std::chrono::seconds lifetime_of(const rapidjson::Value& object) {
    const auto found = object.FindMember("expires_in");
    if (found == object.MemberEnd() || !found->value.IsNumber()) {
        return std::chrono::seconds(0);
    }
    const double seconds = found->value.GetDouble();
    const auto bounded = std::clamp(seconds, 0.0, static_cast<double>(longest_lifetime));
    return std::chrono::seconds(static_cast<std::int64_t>(bounded));
}

result<std::optional<credentials>> read_entry(const rapidjson::Value& entry) {
    using found = std::optional<credentials>;
    if (!entry.IsObject()) {
        return fault(errc::invalid_argument, "an entry of auths is not an object");
    }
    if (auto token = text_of(entry, "identitytoken"); !token.empty()) {
        return found(credentials("", std::move(token)));
    }
    auto user = text_of(entry, "username");
    auto secret = text_of(entry, "password");
    if (const auto packed = text_of(entry, "auth"); !packed.empty()) {
        const auto plain = base64_decoded(packed);
        const auto colon = plain ? plain->find(':') : std::string::npos;
        if (colon == std::string::npos) {
            return fault(errc::invalid_argument, "auth is not base64 of user:password");
        }
        user = plain->substr(0, colon);
        secret = plain->substr(colon + 1);
        // docker pads with NULs.
        secret.erase(std::find(secret.begin(), secret.end(), '\0'), secret.end());
    }
    if (user.empty() || secret.empty()) {
        return found();
    }
    return found(credentials(std::move(user), std::move(secret)));
}

} // namespace

result<token_answer> parse_token_answer(std::string_view json) {
    rapidjson::Document document;
    document.Parse<parse_flags>(json.data(), json.size());
    if (document.HasParseError() || !document.IsObject()) {
        return fault(errc::corrupt, "token answer is not a JSON object");
    }
    token_answer answer;
    answer.token = text_of(document, "token");
    if (answer.token.empty()) {
        answer.token = text_of(document, "access_token");
    }
    const auto printable = [](char c) { return c > 0x20 && c < 0x7f; };
    if (answer.token.empty() || !std::all_of(answer.token.begin(), answer.token.end(), printable)) {
        return fault(errc::corrupt, "token answer holds no token");
    }
    answer.lifetime = lifetime_of(document);
    return answer;
}

result<docker_config> docker_config::parse(std::string_view json) {
    rapidjson::Document document;
    document.Parse<parse_flags>(json.data(), json.size());
    if (document.HasParseError() || !document.IsObject()) {
        return fault(errc::invalid_argument, "not a JSON object");
    }
    docker_config to;
    to.store_ = text_of(document, "credsStore");
    if (const auto auths = document.FindMember("auths");
        auths != document.MemberEnd() && auths->value.IsObject()) {
        for (const auto& [key, value] : auths->value.GetObject()) {
            to.auths_.push_back({{key.GetString(), key.GetStringLength()}, read_entry(value)});
        }
    }
    if (const auto helpers = document.FindMember("credHelpers");
        helpers != document.MemberEnd() && helpers->value.IsObject()) {
        for (const auto& [key, value] : helpers->value.GetObject()) {
            if (value.IsString()) {
                to.helpers_.emplace_back(
                  std::string(key.GetString(), key.GetStringLength()),
                  std::string(value.GetString(), value.GetStringLength()));
            }
        }
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
    rapidjson::Document document;
    document.Parse<parse_flags>(json.data(), json.size());
    if (document.HasParseError() || !document.IsObject()) {
        return fault(errc::corrupt, "its answer is not a JSON object");
    }
    auto user = text_of(document, "Username");
    auto secret = text_of(document, "Secret");
    if (user.empty() || secret.empty()) {
        return found();
    }
    if (user == "<token>") {
        user.clear();
    }
    return found(credentials(std::move(user), std::move(secret)));
}

} // namespace firstlight
