#include "cache/fill_ticket.h"

#include "cache/cache_core.h"

namespace firstlight {

namespace {

void give_up(std::shared_ptr<flight_link> link) {
    if (!link) {
        return;
    }
    if (const auto core = link->core.lock()) {
        auto why = fault(
          errc::unavailable,
          "chunk " + link->key.id().to_string() + ": whoever was to bring it gave up");
        core->land(std::move(link), std::move(why));
    }
}

} // namespace

fill_ticket& fill_ticket::operator=(fill_ticket&& o) noexcept {
    if (this != &o) {
        give_up(std::move(link_));
        link_ = std::move(o.link_);
    }
    return *this;
}

fill_ticket::~fill_ticket() {
    give_up(std::move(link_));
}

} // namespace firstlight
