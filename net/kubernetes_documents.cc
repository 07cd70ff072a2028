#include "net/kubernetes_documents.h"

#include "net/base64.h"

#include <rapidjson/document.h>

namespace firstlight {

namespace {

using value = rapidjson::Value;

constexpr unsigned parse_flags = rapidjson::kParseIterativeFlag;
constexpr std::string_view wanted_type = "kubernetes.io/dockerconfigjson";
constexpr int gone = 410;

const value& member(const value& object, const char* name) {
    static const value none;
    if (!object.IsObject()) {
        return none;
    }
    const auto found = object.FindMember(name);
    return found == object.MemberEnd() ? none : found->value;
}

std::string text_of(const value& object, const char* name) {
    const auto& found = member(object, name);
    return found.IsString() ? std::string(found.GetString(), found.GetStringLength()) : "";
}

kubernetes_secret secret_in(const value& object) {
    const auto& about = member(object, "metadata");
    kubernetes_secret to;
    to.name = text_of(about, "namespace") + "/" + text_of(about, "name");
    const auto text = base64_decoded(text_of(member(object, "data"), ".dockerconfigjson"));
    if (!text || text_of(object, "type") != wanted_type) {
        return to;
    }
    if (auto parsed = docker_config::parse(*text)) {
        to.held = std::make_shared<const docker_config>(std::move(*parsed));
        to.bytes = text->size();
    }
    return to;
}

secret_event::kind kind_of(const std::string& type, const value& object) {
    if (type == "ADDED" || type == "MODIFIED") {
        return secret_event::kind::stored;
    }
    if (type == "DELETED") {
        return secret_event::kind::deleted;
    }
    if (type == "BOOKMARK") {
        return secret_event::kind::bookmark;
    }
    const auto& code = member(object, "code");
    const bool old = code.IsInt() && code.GetInt() == gone;
    return old ? secret_event::kind::expired : secret_event::kind::failed;
}

} // namespace

result<secret_page> parse_secret_page(std::string_view json) {
    rapidjson::Document document;
    document.Parse<parse_flags>(json.data(), json.size());
    const auto& items = member(document, "items");
    if (document.HasParseError() || !(items.IsArray() || items.IsNull())) {
        return fault(errc::corrupt, "not a list of secrets");
    }
    secret_page page;
    const auto& about = member(document, "metadata");
    page.version = text_of(about, "resourceVersion");
    page.next = text_of(about, "continue");
    if (page.version.empty()) {
        return fault(errc::corrupt, "a list of secrets without a version");
    }
    if (items.IsArray()) {
        for (const auto& each : items.GetArray()) {
            page.secrets.push_back(secret_in(each));
        }
    }
    return page;
}

result<secret_event> parse_secret_event(std::string_view json) {
    rapidjson::Document document;
    document.Parse<parse_flags>(json.data(), json.size());
    if (document.HasParseError() || !document.IsObject()) {
        return fault(errc::corrupt, "not an event of a watch");
    }
    const auto& object = member(document, "object");
    secret_event to;
    to.what = kind_of(text_of(document, "type"), object);
    if (to.what == secret_event::kind::expired || to.what == secret_event::kind::failed) {
        return to;
    }
    to.version = text_of(member(object, "metadata"), "resourceVersion");
    if (to.version.empty()) {
        return fault(errc::corrupt, "an event of a watch without a version");
    }
    if (to.what != secret_event::kind::bookmark) {
        to.secret = secret_in(object);
    }
    return to;
}

} // namespace firstlight
