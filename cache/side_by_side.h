#pragma once

#include "actors/event.h"
#include "actors/task.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/this_coro.hpp>

#include <exception>
#include <optional>
#include <vector>

namespace firstlight {

namespace detail {
template <class T>
struct gathering {
    explicit gathering(std::size_t n)
      : outcomes(n)
      , left(n) {}
    std::vector<std::optional<T>> outcomes;
    std::size_t left;
    std::exception_ptr thrown;
    event landed;
};

template <class T>
task<void> run_one(task<T> one, gathering<T>& all, std::size_t i) {
    try {
        all.outcomes[i].emplace(co_await std::move(one));
    } catch (...) {
        all.thrown = std::current_exception();
    }
    if (--all.left == 0) {
        all.landed.notify_all();
    }
}
} // namespace detail

/// Runs all of them at once on the caller's executor; their outcomes, in order.
/// Returns when the last is done; rethrows if one threw.
template <class T>
task<std::vector<T>> side_by_side(std::vector<task<T>> all) {
    detail::gathering<T> g(all.size());
    auto here = co_await asio::this_coro::executor;
    for (std::size_t i = 0; i < all.size(); ++i) {
        asio::co_spawn(here, detail::run_one(std::move(all[i]), g, i), asio::detached);
    }
    while (g.left > 0) {
        co_await g.landed.wait();
    }
    if (g.thrown) {
        std::rethrow_exception(g.thrown);
    }
    std::vector<T> outcomes;
    outcomes.reserve(g.outcomes.size());
    for (auto& o : g.outcomes) {
        outcomes.push_back(std::move(*o));
    }
    co_return outcomes;
}

} // namespace firstlight
