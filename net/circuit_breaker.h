#pragma once

#include "actors/lane.h"
#include "actors/result.h"
#include "net/registry_config.h"

#include <chrono>
#include <string>

namespace firstlight {

/// Whether a server is worth asking. One per server origin.
///
/// Closed: requests pass. It opens when several attempts in a row came to nothing, and
/// then refuses requests at once: a server that is away costs no socket and nobody's
/// patience. After a rest it lets one request through, the probe (half-open). An answer,
/// whatever its status, closes it; a failed probe doubles the rest.
///
/// Connections that break together are one event, so of failures that overlap the first
/// counts. A time-out has looked long enough to count by itself.
///
/// Who may probe: any lane once the rest is over. Demand need not wait longer than
/// `demand_rest` for it, however long the rest has become: a lower lane cannot take from it
/// what comes first, and a process that waits sees a probe within its deadline. Who finds
/// a probe under way waits for its outcome, which is as good as that of a request of its
/// own.
///
/// Pure arithmetic on the times it is given. One thread.
class circuit_breaker {
public:
    using clock = std::chrono::steady_clock;

    explicit circuit_breaker(const circuit_rules& rules) noexcept
      : rules_(rules) {}

    /// How a request was let through.
    enum class pass { refused, free, probe };
    pass admit(lane l, clock::time_point now) noexcept;

    /// What one attempt to reach the server says of it.
    enum class evidence {
        none,   // nothing: it was given up early, or for reasons of our own
        alive,  // it answered, if only with nonsense
        broken, // refused, dropped, not found
        silent, // nothing came for as long as it may take
    };
    /// Of an attempt that ended with `f` after `took`, and might have taken `allowed`.
    static evidence
    evidence_of(const fault& f, clock::duration took, clock::duration allowed) noexcept;

    /// What a report has changed.
    enum class change { none, opened, closed };
    /// An attempt let through as `p` has ended. `why` is for people; `jitter` in [0, 1)
    /// spreads the rests of many.
    struct report {
        pass as;
        evidence is;
        std::string why;
        clock::time_point began;
    };
    change ended(const report& r, clock::time_point now, double jitter);

    /// Others (same process, another shard) have found the server dead since `since`, or
    /// alive. Ignored if our own last answer is more recent than that.
    change
    told_dead(clock::time_point since, std::string why, clock::time_point now, double jitter);
    change told_alive() noexcept;

    /// It answered, but is of no use at present (5xx and the like).
    void troubled(clock::time_point now) noexcept { troubled_until_ = now + rules_.asked_last; }
    /// To be preferred to one that is not.
    bool well(clock::time_point now) const noexcept { return !open_ && now >= troubled_until_; }

    bool open() const noexcept { return open_; }
    bool probing() const noexcept { return probing_; }
    /// While open: from when on a request of lane `l` may probe, if none is under way.
    clock::time_point next_probe(lane l) const noexcept;
    /// Probes that failed so far.
    unsigned failed_probes() const noexcept { return failed_probes_; }
    /// When the failures began that opened it, and the last one's reason.
    clock::time_point since() const noexcept { return since_; }
    const std::string& why() const noexcept { return why_; }
    /// What a refused request is told: unavailable, since when, why, and until when.
    fault refusal(lane l, clock::time_point now) const;

private:
    void count(const report& r, clock::time_point now);
    void rest(clock::time_point now, double jitter) noexcept;
    change close() noexcept;

    circuit_rules rules_;
    bool open_ = false;
    bool probing_ = false;
    unsigned failures_ = 0; // in a row
    unsigned failed_probes_ = 0;
    std::string why_;
    clock::time_point since_{};
    clock::time_point last_failure_{};
    clock::time_point last_answer_{};
    clock::time_point troubled_until_{};
    clock::duration rest_{}; // the present one
    clock::time_point probe_at_{};
    clock::time_point demand_probe_at_{};
};

} // namespace firstlight
