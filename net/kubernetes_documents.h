#pragma once
// What the API server of Kubernetes answers when it is asked for secrets of type
// kubernetes.io/dockerconfigjson.
//
// Source: kubernetes.io/docs/reference/using-api/api-concepts, "Efficient detection of
// changes" and "Retrieving large results sets in chunks".

#include "actors/result.h"
#include "net/auth_documents.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace firstlight {

/// A secret, of which we keep what it says of registries. Never logged.
class kubernetes_secret {
public:
    std::string name; // "namespace/name"
    /// What it holds; nothing if that is no such document.
    std::shared_ptr<const docker_config> held;
    std::size_t bytes = 0; // of that document
};

/// A part of the list of them.
class secret_page {
public:
    std::string version; // of the list: where a watch goes on
    std::string next;    // what to ask for the next part with; empty: this is the last
    std::vector<kubernetes_secret> secrets;
};

/// corrupt, without the text, if it is no such list.
result<secret_page> parse_secret_page(std::string_view json);

/// One line of a watch.
class secret_event {
public:
    enum class kind {
        stored,   // added, or changed
        deleted,  // no longer there
        bookmark, // nothing happened up to `version`
        expired,  // the version asked for is too old: list again
        failed,   // the watch ends with another error
    };
    kind what = kind::failed;
    kubernetes_secret secret; // of the first two
    std::string version;      // of the first three
};

/// corrupt, without the text, if it is no such event.
result<secret_event> parse_secret_event(std::string_view json);

} // namespace firstlight
