#include "net/kubernetes_documents.h"

#include "net/base64.h"
#include "net/json_value.h"

namespace firstlight {

namespace {

constexpr std::string_view wanted_type = "kubernetes.io/dockerconfigjson";
constexpr double gone = 410;

kubernetes_secret secret_in(const json_value& object) {
    const auto& about = object["metadata"];
    kubernetes_secret to;
    to.name = about["namespace"].text() + "/" + about["name"].text();
    const auto text = base64_decoded(object["data"][".dockerconfigjson"].text());
    if (!text || object["type"].text() != wanted_type) {
        return to;
    }
    if (auto parsed = docker_config::parse(*text)) {
        to.held = std::make_shared<const docker_config>(std::move(*parsed));
        to.bytes = text->size();
    }
    return to;
}

secret_event::kind kind_of(const std::string& type, const json_value& object) {
    if (type == "ADDED" || type == "MODIFIED") {
        return secret_event::kind::stored;
    }
    if (type == "DELETED") {
        return secret_event::kind::deleted;
    }
    if (type == "BOOKMARK") {
        return secret_event::kind::bookmark;
    }
    const bool old = object["code"].number() == gone;
    return old ? secret_event::kind::expired : secret_event::kind::failed;
}

} // namespace

result<secret_page> parse_secret_page(std::string_view json) {
    const auto document = json_value::parse(json);
    if (!document || !((*document)["items"].is_array() || (*document)["items"].is_null())) {
        return fault(errc::corrupt, "not a list of secrets");
    }
    secret_page page;
    const auto& about = (*document)["metadata"];
    page.version = about["resourceVersion"].text();
    page.next = about["continue"].text();
    if (page.version.empty()) {
        return fault(errc::corrupt, "a list of secrets without a version");
    }
    for (const auto& each : (*document)["items"].items()) {
        page.secrets.push_back(secret_in(each));
    }
    return page;
}

result<secret_event> parse_secret_event(std::string_view json) {
    const auto document = json_value::parse(json);
    if (!document || !document->is_object()) {
        return fault(errc::corrupt, "not an event of a watch");
    }
    const auto& object = (*document)["object"];
    secret_event to;
    to.what = kind_of((*document)["type"].text(), object);
    if (to.what == secret_event::kind::expired || to.what == secret_event::kind::failed) {
        return to;
    }
    to.version = object["metadata"]["resourceVersion"].text();
    if (to.version.empty()) {
        return fault(errc::corrupt, "an event of a watch without a version");
    }
    if (to.what != secret_event::kind::bookmark) {
        to.secret = secret_in(object);
    }
    return to;
}

} // namespace firstlight
