#pragma once

#include "actors/result.h"
#include "actors/shard.h"

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

#include <exception>
#include <optional>

namespace firstlight {

namespace detail {
// Nothing thrown may leave the shard it was thrown on; it becomes a fault here.
// The optional is for co_spawn, which default-constructs a result it never uses.
template <class R, class F>
task<std::optional<R>> guarded(F work) {
    try {
        co_return co_await work();
    } catch (const std::exception& e) {
        co_return fault(errc::unknown, e.what());
    } catch (...) {
        co_return fault(errc::unknown, "not a std::exception");
    }
}
} // namespace detail

/// Runs `work` (a callable returning task<result<T>>) on `target` in lane `l`,
/// and resumes the caller on its own executor with the outcome.
///
/// `work` and T cross threads: capture and return by value only, and name the
/// lambda on a line of its own. The caller's cancellation does not follow the
/// call; put a deadline in the message. An exception arrives as errc::unknown.
///
/// Calls must form a DAG (fs → cache, fs → net): an actor never calls back into
/// one that may be waiting for it.
template <class F, class R = typename std::invoke_result_t<F&>::value_type>
task<R> call_on(shard& target, lane l, F work) {
    auto start = [&target, l, work = std::move(work)](auto done) mutable {
        auto home = asio::get_associated_executor(done);
        auto reply = [done = std::move(done),
                      home](std::exception_ptr, std::optional<R> r) mutable {
            asio::post(home, [done = std::move(done), r = std::move(r)]() mutable {
                std::move(done)(std::move(r));
            });
        };
        asio::co_spawn(target.on(l), detail::guarded<R>(std::move(work)), std::move(reply));
    };
    auto pending = asio::async_initiate<const asio::use_awaitable_t<>, void(std::optional<R>)>(
      std::move(start), asio::use_awaitable);
    auto outcome = co_await std::move(pending);
    co_return std::move(*outcome);
}

} // namespace firstlight
