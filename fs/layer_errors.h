#pragma once

#include "actors/runtime.h"

#include <map>
#include <string>

namespace firstlight {

/// The last read error of each layer, for its state file. Lives on shard 0;
/// record() and of() may be called from any shard.
class layer_errors {
public:
    explicit layer_errors(runtime& shards)
      : home_(shards.at(0)) {}

    /// Remembers `text` for layer `number`; does not wait.
    void record(std::uint32_t number, std::string text);
    /// The last error, or an empty string.
    task<result<std::string>> of(std::uint32_t number);
    /// Forgets the layer.
    void forget(std::uint32_t number);

private:
    task<result<std::string>> find(std::uint32_t number) const;

    shard& home_;
    std::map<std::uint32_t, std::string> last_; // on home_ only
};

} // namespace firstlight
