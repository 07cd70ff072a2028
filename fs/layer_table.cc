#include "fs/layer_table.h"

#include "actors/call.h"

namespace firstlight {

namespace {

task<result<void>> enter(layer_table::view& view, layer_ptr l) {
    const auto number = l->number();
    view.insert_or_assign(number, std::move(l));
    co_return result<void>();
}

task<result<void>> leave(layer_table::view& view, std::uint32_t number) {
    view.erase(number);
    co_return result<void>();
}

} // namespace

layer_table::layer_table(runtime& shards)
  : shards_(shards)
  , views_(shards.size()) {
}

const layer_table::view& layer_table::here() const noexcept {
    return views_[shard::current()->id()];
}

layer_ptr layer_table::find(std::uint32_t number) const noexcept {
    const auto& view = here();
    const auto found = view.find(number);
    return found == view.end() ? nullptr : found->second;
}

task<result<void>> layer_table::insert(layer_ptr l) {
    for (unsigned id = 0; id < shards_.size(); ++id) {
        auto work = [&view = views_[id], l] { return enter(view, l); };
        auto done = co_await call_on(shards_.at(id), lane::demand, std::move(work));
        if (!done) {
            co_return done.error();
        }
    }
    co_return result<void>();
}

task<result<void>> layer_table::remove(std::uint32_t number) {
    for (unsigned id = 0; id < shards_.size(); ++id) {
        auto work = [&view = views_[id], number] { return leave(view, number); };
        auto done = co_await call_on(shards_.at(id), lane::demand, std::move(work));
        if (!done) {
            co_return done.error();
        }
    }
    co_return result<void>();
}

} // namespace firstlight
