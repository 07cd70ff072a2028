#include "test/net/net_rig.h"

namespace firstlight::test {

namespace {

result<std::string> text_of(result<buffer> got) {
    if (!got) {
        return got.error();
    }
    return std::string(as_text(got->span()));
}

} // namespace

net_rig::net_rig(imposter_options o, registry_config c)
  : registry(std::move(o)) {
    begin(std::move(c));
}

net_rig::~net_rig() {
    end();
}

void net_rig::begin(registry_config c) {
    hub = std::make_unique<registry_hub>(a, std::move(c), who, series, hosts);
    client = std::make_unique<registry_client>(a, *hub);
    other = std::make_unique<registry_client>(b, *hub);
}

void net_rig::end() {
    if (!hub) {
        return;
    }
    stop_client();
    start(b, other->stop()).get();
    other.reset();
    start(a, hub->stop()).get();
    hub.reset();
}

void net_rig::stop_client() {
    if (client) {
        start(a, client->stop()).get();
        client.reset();
    }
}

void net_rig::restart(registry_config c) {
    end();
    begin(std::move(c));
}

blob_address net_rig::at(const digest& blob, std::string repository) const {
    return {registry.host(), std::move(repository), blob};
}

std::future<result<buffer>> net_rig::reading(
  blob_address from, byte_range r, request_lane l, std::chrono::milliseconds patience) {
    return start(a, client->read(std::move(from), r, std::move(l), deadline::after(patience)));
}

std::future<result<buffer>> net_rig::reading_elsewhere(blob_address from, byte_range r) {
    return start(b, other->read(std::move(from), r, lane::demand, deadline::after(5s)));
}

std::future<result<blob_tail>> net_rig::tailing(blob_address from, std::uint64_t n) {
    return start(a, client->tail(std::move(from), n, lane::demand, deadline::after(5s)));
}

std::future<result<blob_tail>> net_rig::tailing_elsewhere(blob_address from, std::uint64_t n) {
    return start(b, other->tail(std::move(from), n, lane::demand, deadline::after(5s)));
}

result<blob_tail> net_rig::tail(const digest& blob, std::uint64_t n) {
    return tailing(at(blob), n).get();
}

result<std::string>
net_rig::read(const digest& blob, byte_range r, std::chrono::milliseconds patience) {
    return text_of(reading(at(blob), r, lane::demand, patience).get());
}

result<std::string> net_rig::read_elsewhere(const digest& blob, byte_range r) {
    return text_of(reading_elsewhere(at(blob), r).get());
}

void net_rig::warm(const digest& blob, unsigned connections) {
    start(a, client->warm(at(blob), connections, deadline::after(5s))).get();
}

} // namespace firstlight::test
