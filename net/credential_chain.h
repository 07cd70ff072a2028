#pragma once

#include "net/credential_source.h"

#include <set>
#include <string>
#include <vector>

namespace firstlight {

/// Several sources, asked in turn: the first that has something is right. One that fails is
/// passed over, so that a broken file does not keep another's credentials from being used;
/// if nobody has any, the first fault is the answer, rather than "none".
///
/// What a source fails with is logged once, until it has answered again.
class credential_chain final : public credential_source {
public:
    /// `name` is for logs and faults; `source` outlives the chain. Before the first find().
    void add(std::string name, credential_source& source);

    task<result<std::optional<credentials>>> find(credential_query what) override;

private:
    struct link {
        std::string name;
        credential_source* source;
        std::set<std::string> told; // faults in the log
    };
    void report(link& of, const fault& f);
    void recovered(link& of);

    std::vector<link> links_;
};

} // namespace firstlight
