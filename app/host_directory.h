#pragma once
// The files of a certs.d directory about one registry, read. Blocks; certs_directory calls it
// on a worker pool.

#include "actors/result.h"
#include "app/file_stamps.h"
#include "net/registry_config.h"
#include "net/tls_material.h"

#include <optional>
#include <string>
#include <vector>

namespace firstlight {

/// What was found, and the state of the files that it depends on. Immutable once read.
struct host_directory {
    struct host {
        registry_endpoint settings;
        tls_material tls;
    };

    file_stamps stamps;
    std::string path; // empty: there is none for the registry
    /// In the order to ask; at least one if there is a directory and it is not bad.
    std::vector<host> hosts;
    std::vector<std::string> warnings;
    std::optional<fault> bad; // names the file
};

/// Looks in `roots`, one after the other, for <host>_<port>_, <host:port> and _default, and
/// reads the first directory that is there: its hosts.toml, or else, as docker has them,
/// *.crt (authorities), *.cert and *.key (what to present) for the registry itself.
///
/// Source: containerd's docs/hosts.md, and docs.docker.com/engine/security/certificates.
host_directory
read_host_directory(const std::vector<std::string>& roots, const std::string& registry);

} // namespace firstlight
