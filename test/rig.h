#pragma once
// What tests of actors share: two running shards, and a way in from the test's thread.

#include "actors/shard.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_future.hpp>

#include <future>

namespace firstlight::test {

/// Starts `t` on `s` and returns its outcome as a future.
template <class T>
std::future<T> start(shard& s, task<T> t, lane l = lane::demand) {
    return asio::co_spawn(s.on(l), std::move(t), asio::use_future);
}

struct two_shards {
    shard a{0}, b{1};
    two_shards() {
        a.start();
        b.start();
    }
    ~two_shards() {
        a.stop();
        b.stop();
    }
    template <class T>
    T run(task<T> t) {
        return start(a, std::move(t)).get();
    }
};

} // namespace firstlight::test
