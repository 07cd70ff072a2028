#include "net/circuit_board.h"

#include "actors/log.h"

namespace firstlight {

void circuit_board::report(const member_ptr& by, const notice& n) {
    if (n.dead) {
        if (!dead_.emplace(n.origin, n.since).second) {
            return;
        }
        metrics_.circuit_opened();
        log::warn(
          "server does not answer: requests to it wait or fail, and it is tried now and then",
          {{"server", n.origin}, {"error", n.why}});
    } else {
        const auto known = dead_.find(n.origin);
        if (known == dead_.end()) {
            return;
        }
        const std::chrono::duration<double> away = clock::now() - known->second;
        dead_.erase(known);
        metrics_.circuit_closed();
        log::info("server answers again", {{"server", n.origin}, {"away_sec", away.count()}});
    }
    tell(by, n);
}

void circuit_board::forget(const std::string& origin) {
    if (dead_.erase(origin) > 0) {
        metrics_.circuit_closed();
    }
}

void circuit_board::tell(const member_ptr& by, const notice& n) {
    for (const auto& m : members_) {
        if (m != by) {
            asio::post(m->home.on(lane::demand), [m, n] {
                if (m->told) {
                    m->told(n);
                }
            });
        }
    }
}

} // namespace firstlight
