#include "actors/background.h"

#include "actors/call.h"
#include "actors/log.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <cassert>

namespace firstlight {

background_tasks::~background_tasks() {
    assert(running_ == 0 && "background tasks outlive their owner");
}

void background_tasks::spawn(std::string name, lane l, body work) {
    assert(home_.is_current());
    if (source_.stop_requested()) {
        return;
    }
    ++running_;
    asio::co_spawn(home_.on(l), run(std::move(name), std::move(work)), asio::detached);
}

task<void> background_tasks::run(std::string name, body work) {
    try {
        co_await work(source_.get_token());
    } catch (const std::exception& e) {
        log::error("background task failed", {{"task", name}, {"error", e.what()}});
    }
    if (--running_ == 0) {
        drained_.notify_all();
    }
}

task<void> background_tasks::stop() {
    source_.request_stop();
    while (running_ > 0) {
        co_await drained_.wait();
    }
}

task<void> background_tasks::stop_from_elsewhere() {
    auto there = [this]() -> task<result<void>> {
        co_await stop();
        co_return result<void>();
    };
    co_await call_on(home_, lane::demand, std::move(there));
}

} // namespace firstlight
