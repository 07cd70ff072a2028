#pragma once

#include "net/dial_terms.h"
#include "net/tls_material.h"

namespace boost::asio::ssl {
class context;
}

namespace firstlight {

/// Takes long, so it is made at start-up or on a worker pool. Throws std::runtime_error
/// naming the file that is of no use.
shared_tls_context make_tls_context(const tls_material& from);

/// To make a stream of, on any shard.
boost::asio::ssl::context& openssl_of(const tls_context& of) noexcept;

} // namespace firstlight
