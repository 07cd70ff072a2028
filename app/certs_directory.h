#pragma once

#include "actors/worker_pool.h"
#include "app/host_directory.h"
#include "net/host_source.h"

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace firstlight {

/// The directories that containerd and docker keep about registries (certs.d), followed as
/// they change: what a registry's files say is read when it is first asked for, and again
/// when stat(2) says that one of them has changed.
///
/// An actor on the registry_hub's shard; files are read, and TLS contexts made, on `pool`,
/// which outlives it. Endpoints with equal TLS files share a context for as long as one of
/// them is in use, so that a change elsewhere in a file costs no connection. Files that
/// cannot be understood are logged once, and change nothing where something was known.
class certs_directory final : public host_source {
public:
    /// `roots` in the order to look.
    certs_directory(worker_pool& pool, std::vector<std::string> roots);

    /// The faults of parse_hosts_file(), and of files that cannot be read.
    task<result<endpoint_list>> find(std::string registry) override;
    /// Files are read again at the next find(), changed or not.
    void distrust();

private:
    using directory_ptr = std::shared_ptr<const host_directory>;
    using contexts = std::map<tls_material, shared_tls_context>;
    // What is known of a registry. Immutable.
    struct answer {
        directory_ptr from; // none: to be read again
        result<endpoint_list> says;
    };
    using answer_ptr = std::shared_ptr<const answer>;

    answer_ptr known(const std::string& registry) const;
    task<result<endpoint_list>> build(std::string registry, directory_ptr from);
    task<result<contexts>> contexts_for(directory_ptr from);

    worker_pool& pool_;
    const std::vector<std::string> roots_;
    std::unordered_map<std::string, answer_ptr> answers_;
    std::map<tls_material, std::weak_ptr<const tls_context>> contexts_;
};

} // namespace firstlight
