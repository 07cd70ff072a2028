#pragma once

#include "actors/shard.h"
#include "app/grpc_status.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <grpcpp/grpcpp.h>

#include <utility>

namespace firstlight {

namespace detail {
// `handler` is a parameter, so that it lives in this coroutine's frame.
template <class F>
task<void> finish_with(grpc::ServerUnaryReactor* reactor, F handler) {
    try {
        auto outcome = co_await handler();
        reactor->Finish(outcome ? grpc::Status::OK : to_status(outcome.error()));
    } catch (const std::exception& e) {
        reactor->Finish(grpc::Status(grpc::StatusCode::INTERNAL, e.what()));
    }
}
} // namespace detail

/// Answers one gRPC call from a coroutine on `home`. gRPC's thread only starts
/// it, and Finish() may be called from any thread, so nothing hops back.
///
/// `handler` returns task<result<void>>, fills the response, and lives until it
/// completes. The client going away changes nothing: Prepare finishes or undoes
/// itself regardless.
template <class F>
grpc::ServerUnaryReactor* answer(grpc::CallbackServerContext* context, shard& home, F handler) {
    auto* reactor = context->DefaultReactor();
    asio::co_spawn(
      home.on(lane::demand), detail::finish_with(reactor, std::move(handler)), asio::detached);
    return reactor;
}

} // namespace firstlight
