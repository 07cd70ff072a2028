#pragma once
// What containerd's hosts.toml says about one registry. Pure: text to values, so that it can
// be fuzzed; certs_directory reads the files.

#include "actors/result.h"
#include "net/registry_config.h"

#include <string>
#include <string_view>
#include <vector>

namespace firstlight {

struct hosts_file {
    /// In the order to ask, the `server` last; only those that may be pulled from.
    std::vector<registry_endpoint> hosts;
    /// Unknown keys, one sentence each, with file and line.
    std::vector<std::string> warnings;
};

/// Reads a hosts.toml. `file` is its path, which relative paths in it start from, and which
/// messages name; `registry` is the host in image references that it is about.
///
/// Each `[host."url"]`, in the order of the file, then `server` (by default the registry
/// itself) with the same keys at the root: `capabilities`, `ca`, `client`, `skip_verify`,
/// `header`, `override_path`, `dial_timeout`. A host with TLS settings whose URL is http,
/// with a port other than 80, is spoken to in TLS if it can.
///
/// Errors: invalid_argument, "FILE:LINE: KEY: what was expected".
///
/// Source: containerd's docs/hosts.md.
result<hosts_file>
parse_hosts_file(std::string_view text, const std::string& file, const std::string& registry);

/// The registry itself, with the TLS settings of a directory as docker has them.
registry_endpoint registry_itself(const std::string& registry, tls_files tls);

} // namespace firstlight
