// A daemon with the snapshots service alone: every layer is ordinary. For the
// conformance suite, which knows no remote snapshots.
//
//     snapshotd SOCKET ROOT
//
// Ends at SIGTERM or SIGINT.

#include "actors/log.h"
#include "actors/runtime.h"
#include "app/rpc_server.h"
#include "app/snapshots_service.h"
#include "fs/overlay_probe.h"
#include "fs/snapshotter.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_future.hpp>

#include <csignal>
#include <cstdio>
#include <stdexcept>

using namespace firstlight;

namespace {

class no_layers final : public layer_provider {
public:
    task<result<lazy_layer>> open(const snapshot_labels&, deadline) override {
        co_return fault(errc::unsupported, "this daemon mounts no layers");
    }
    result<lazy_layer> find(std::uint32_t number) const override {
        return fault(errc::not_found, "there is no layer " + std::to_string(number));
    }
    task<void> close(std::uint32_t) override { co_return; }
    std::string directory(std::uint32_t) const override { return {}; }
};

template <class T>
T need(result<T> outcome) {
    if (!outcome) {
        throw std::runtime_error(outcome.error().context());
    }
    return std::move(*outcome);
}

void serve(const std::string& socket, const std::string& root) {
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, nullptr); // before any thread starts

    const auto overlay = need(probe_overlay(root));
    runtime rt({.shards = 1, .pin = false});
    metrics counts(rt.size());
    store_writer store(rt.io(), need(snapshot_store::open(root + "/metadata.sqlite")));
    no_layers layers;
    snapshotter snapshots(rt.at(0), rt.io(), store, layers, counts, {root, overlay});
    rt.start();
    const auto run = [&rt]<class T>(task<T> t) {
        return asio::co_spawn(rt.at(0).on(lane::demand), std::move(t), asio::use_future).get();
    };
    if (auto started = run(snapshots.start()); !started) {
        throw std::runtime_error(started.error().context());
    }
    snapshots_service service(snapshots);
    auto server = need(rpc_server::listen(socket, {&service.grpc_service()}));
    log::info("serving", {{"socket", socket}});

    int signal = 0;
    sigwait(&ends, &signal);
    server->stop(std::chrono::seconds(5));
    run(snapshots.stop());
    run(store.stop());
    rt.stop();
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 3) {
        std::fprintf(stderr, "usage: snapshotd SOCKET ROOT\n");
        return 2;
    }
    try {
        serve(argv[1], argv[2]);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "snapshotd: %s\n", e.what());
        return 1;
    }
    return 0;
}
