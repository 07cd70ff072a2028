#pragma once
// The coroutine type and the completion tokens that everything shares.

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace firstlight {

namespace asio = boost::asio;

/// A lazily started coroutine that runs where it is awaited or spawned.
template <class T>
using task = asio::awaitable<T>;

/// For operations whose failure is business as usual: co_await gives a tuple
/// whose first element is the error_code, and nothing is thrown.
inline constexpr auto quietly = asio::as_tuple(asio::use_awaitable);

} // namespace firstlight
