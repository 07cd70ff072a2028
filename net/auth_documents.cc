#include "net/auth_documents.h"

#include "net/base64.h"

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

// "https://host:port/path" → "host:port"
std::string_view host_of(std::string_view key) noexcept {
    if (const auto scheme = key.find("://"); scheme != key.npos) {
        key.remove_prefix(scheme + 3);
    }
    return key.substr(0, key.find('/'));
}

bool is_hub(std::string_view host) noexcept {
    return host == "docker.io" || host == "index.docker.io" || host == "registry-1.docker.io";
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

result<std::optional<credentials>>
find_docker_credentials(std::string_view json, std::string_view host) {
    rapidjson::Document document;
    document.Parse<parse_flags>(json.data(), json.size());
    if (document.HasParseError() || !document.IsObject()) {
        return fault(errc::invalid_argument, "not a JSON object");
    }
    const auto auths = document.FindMember("auths");
    if (auths == document.MemberEnd() || !auths->value.IsObject()) {
        return std::optional<credentials>();
    }
    for (const auto& [key, entry] : auths->value.GetObject()) {
        const auto named = host_of({key.GetString(), key.GetStringLength()});
        if (named == host || (is_hub(named) && is_hub(host))) {
            return read_entry(entry);
        }
    }
    return std::optional<credentials>();
}

} // namespace firstlight
