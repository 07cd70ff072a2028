#include "net/circuit_breaker.h"

#include <fmt/format.h>

#include <algorithm>

namespace firstlight {

namespace {

using pass = circuit_breaker::pass;
using change = circuit_breaker::change;
using evidence = circuit_breaker::evidence;

// A rest is between this and all of its nominal length.
constexpr double shortest_part = 0.75;

double seconds(circuit_breaker::clock::duration d) {
    return std::chrono::duration<double>(d).count();
}

} // namespace

pass circuit_breaker::admit(lane l, clock::time_point now) noexcept {
    if (!open_) {
        return pass::free;
    }
    if (probing_ || now < next_probe(l)) {
        return pass::refused;
    }
    probing_ = true;
    return pass::probe;
}

// Who gives up early says nothing of the server.
evidence circuit_breaker::evidence_of(
  const fault& f, clock::duration took, clock::duration allowed) noexcept {
    switch (f.code()) {
    case errc::unavailable:
        return evidence::broken;
    case errc::timed_out:
        return took >= allowed / 2 ? evidence::silent : evidence::none;
    case errc::corrupt: // not HTTP, or a certificate that does not hold
    case errc::failed_precondition:
        return evidence::alive;
    default:
        return evidence::none;
    }
}

change circuit_breaker::ended(const report& r, clock::time_point now, double jitter) {
    const bool probe = r.as == pass::probe && probing_;
    if (r.is == evidence::alive) {
        last_answer_ = now;
        failures_ = 0;
        return close();
    }
    if (probe) {
        probing_ = false;
        if (r.is != evidence::none) {
            why_ = r.why;
            ++failed_probes_;
            rest_ = std::min<clock::duration>(2 * rest_, rules_.longest_rest);
            rest(now, jitter);
        } // otherwise the next one may try at once
        return change::none;
    }
    if (open_ || r.is == evidence::none) {
        return change::none;
    }
    count(r, now);
    if (failures_ < rules_.failures) {
        return change::none;
    }
    open_ = true;
    rest_ = rules_.first_rest;
    rest(now, jitter);
    return change::opened;
}

void circuit_breaker::count(const report& r, clock::time_point now) {
    if (now - last_failure_ > rules_.window) {
        failures_ = 0;
    }
    if (failures_ > 0 && r.is != evidence::silent && r.began < last_failure_) {
        return; // part of what was counted
    }
    if (failures_ == 0) {
        since_ = now;
    }
    ++failures_;
    last_failure_ = now;
    why_ = r.why;
}

void circuit_breaker::rest(clock::time_point now, double jitter) noexcept {
    const double part = shortest_part + (1 - shortest_part) * jitter;
    const auto of = [part](clock::duration d) {
        return std::chrono::duration_cast<clock::duration>(part * d);
    };
    probe_at_ = now + of(rest_);
    demand_probe_at_ = now + of(std::min<clock::duration>(rest_, rules_.demand_rest));
}

change circuit_breaker::close() noexcept {
    failures_ = 0;
    if (!open_) {
        return change::none;
    }
    open_ = probing_ = false;
    troubled_until_ = {};
    return change::closed;
}

change circuit_breaker::told_dead(
  clock::time_point since, std::string why, clock::time_point now, double jitter) {
    if (open_ || last_answer_ > since) {
        return change::none;
    }
    open_ = true;
    since_ = since;
    why_ = std::move(why);
    rest_ = rules_.first_rest;
    rest(now, jitter);
    return change::opened;
}

change circuit_breaker::told_alive() noexcept {
    return close();
}

circuit_breaker::clock::time_point circuit_breaker::next_probe(lane l) const noexcept {
    return l == lane::demand ? demand_probe_at_ : probe_at_;
}

fault circuit_breaker::refusal(lane l, clock::time_point now) const {
    const auto left = std::max(next_probe(l) - now, clock::duration::zero());
    const auto next = probing_ ? std::string("a try is under way")
                               : fmt::format("the next try is in {:.1f} s", seconds(left));
    return {
      errc::unavailable, fmt::format(
                           "not asked, since it has not answered for {:.1f} s ({}); {}",
                           seconds(now - since_), why_, next)};
}

} // namespace firstlight
