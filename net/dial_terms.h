#pragma once

#include <chrono>
#include <memory>
#include <utility>

namespace firstlight {

class tls_context;
/// Whom to believe in TLS, and who we are. Immutable once made, so all shards share it.
using shared_tls_context = std::shared_ptr<const tls_context>;

/// How a connection to a server comes about. A value.
class dial_terms {
public:
    // Implicit: where nothing but trust is at stake.
    dial_terms(
      shared_tls_context trust = nullptr, std::chrono::milliseconds limit = {},
      bool may_be_plain = false)
      : trust_(std::move(trust))
      , limit_(limit)
      , may_be_plain_(may_be_plain) {}

    const shared_tls_context& trust() const noexcept { return trust_; }
    /// It has to come up within this; 0: as usual.
    std::chrono::milliseconds limit() const noexcept { return limit_; }
    /// The URL says https, but a server that does not speak TLS is spoken to without.
    bool may_be_plain() const noexcept { return may_be_plain_; }

private:
    shared_tls_context trust_;
    std::chrono::milliseconds limit_;
    bool may_be_plain_;
};

} // namespace firstlight
