#pragma once
// What tests of the registry client share: a registry imposter, and a client on
// each of two shards with one hub between them.

#include "net/image_reference.h"
#include "net/registry_client.h"
#include "net/registry_hub.h"
#include "test/imposter/registry_imposter.h"
#include "test/noise.h"
#include "test/rig.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>

namespace firstlight::test {

using namespace std::chrono_literals;

/// Knows one pair for one host, and counts who asks.
class one_credential final : public credential_source {
public:
    task<result<std::optional<credentials>>> find(credential_query what) override {
        ++asked;
        last_repository = what.repository();
        if (failing) {
            co_return *failing;
        }
        if (what.host() == for_host) {
            co_return held;
        }
        co_return std::optional<credentials>();
    }
    std::string for_host;
    std::optional<credentials> held;
    std::optional<fault> failing; // what it says instead
    std::string last_repository;
    std::atomic<int> asked = 0;
};

inline std::string pattern(std::size_t size) {
    return noise(size, 1);
}

/// Retries that a test can wait for.
inline registry_config quick() {
    registry_config c;
    c.min_wait = 1ms;
    c.max_wait = 4ms;
    c.request_timeout = 5s;
    c.connect_timeout = 2s;
    c.circuit.first_rest = 2ms;
    c.circuit.longest_rest = 8ms;
    return c;
}

/// The calls that tests make, instantiated once, in net_rig.cc.
struct net_rig : two_shards {
    registry_imposter registry;
    one_credential who;
    metrics counted{2};
    net_metrics series{counted};
    std::unique_ptr<registry_hub> hub;
    std::unique_ptr<registry_client> client; // on shard a
    std::unique_ptr<registry_client> other;  // on shard b

    explicit net_rig(imposter_options o = {}, registry_config c = quick());
    ~net_rig();

    host_source* hosts = nullptr; // of the hub that begin() makes

    void begin(registry_config c);
    void end();
    void restart(registry_config c);

    blob_address at(const digest& blob, std::string repository = "library/thing") const;

    // Under way, on shard a or b.
    std::future<result<buffer>> reading(
      blob_address from, byte_range r, request_lane l = lane::demand,
      std::chrono::milliseconds patience = 5s);
    std::future<result<buffer>> reading_elsewhere(blob_address from, byte_range r);
    std::future<result<blob_tail>> tailing(blob_address from, std::uint64_t n);
    std::future<result<blob_tail>> tailing_elsewhere(blob_address from, std::uint64_t n);

    // To the end.
    result<blob_tail> tail(const digest& blob, std::uint64_t n);
    result<std::string>
    read(const digest& blob, byte_range r, std::chrono::milliseconds patience = 5s);
    result<std::string> read_elsewhere(const digest& blob, byte_range r);
    void warm(const digest& blob, unsigned connections);
    void stop_client();

    std::uint64_t total(const std::string& name, const metric_labels& labels = {}) const {
        return counted.counted(name, labels);
    }
};

inline std::string slice(const std::string& whole, byte_range r) {
    return whole.substr(r.begin(), r.size());
}

} // namespace firstlight::test
