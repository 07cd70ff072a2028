#pragma once

#include "actors/result.h"
#include "net/tls_material.h"
#include "net/url.h"

#include <string>
#include <string_view>

namespace firstlight {

/// How to reach an API server of Kubernetes, and who we are to it. Never logged.
class kubernetes_access {
public:
    url server;
    tls_material trust;
    std::string token; // empty: the certificate is all
};

/// Where that may be written.
class kubeconfig_places {
public:
    std::string chosen;                     // a kubeconfig; empty: the next, and then as a pod
    std::string usual;                      // a kubeconfig
    std::string service_host, service_port; // of the API server, for pods
    std::string service_account = "/var/run/secrets/kubernetes.io/serviceaccount";

    /// `usual` is the first file of $KUBECONFIG, or else ~/.kube/config.
    static kubeconfig_places from_environment(std::string chosen);
};

/// What the first of the places says, and the files that it names, read anew: tokens are
/// replaced as time goes by. Blocks.
///
/// not_found if there is nothing there yet; invalid_argument, without the text, if it makes
/// no sense; unsupported for what we do not do, such as running programs for a token.
/// Source: kubernetes.io/docs/reference/config-api/kubeconfig.v1;
/// kubernetes.io/docs/tasks/run-application/access-api-from-pod.
result<kubernetes_access> load_kubernetes_access(const kubeconfig_places& places);

/// The current context of a kubeconfig. Paths in it are relative to `directory`. Otherwise as
/// load_kubernetes_access().
result<kubernetes_access> read_kubeconfig(std::string_view text, const std::string& directory);

} // namespace firstlight
