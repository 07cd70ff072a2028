#include "fs/layer_errors.h"

#include "actors/call.h"

namespace firstlight {

void layer_errors::record(std::uint32_t number, std::string text) {
    asio::post(home_.on(lane::demand), [this, number, text = std::move(text)]() mutable {
        last_[number] = std::move(text);
    });
}

void layer_errors::forget(std::uint32_t number) {
    asio::post(home_.on(lane::demand), [this, number] { last_.erase(number); });
}

task<result<std::string>> layer_errors::find(std::uint32_t number) const {
    const auto found = last_.find(number);
    co_return found == last_.end() ? std::string() : found->second;
}

task<result<std::string>> layer_errors::of(std::uint32_t number) {
    auto work = [this, number] { return find(number); };
    co_return co_await call_on(home_, lane::demand, std::move(work));
}

} // namespace firstlight
