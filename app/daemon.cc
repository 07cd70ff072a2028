#include "app/daemon.h"

#include "actors/call.h"
#include "actors/runtime.h"
#include "app/certs_directory.h"
#include "app/credential_sources.h"
#include "app/image_service_proxy.h"
#include "app/metrics_exporter.h"
#include "app/rpc_server.h"
#include "app/snapshots_service.h"
#include "cache/chunk_cache.h"
#include "fs/fuse_operations.h"
#include "fs/fuse_session.h"
#include "fs/layer_filler.h"
#include "fs/layer_manager.h"
#include "fs/layer_reader.h"
#include "fs/learned_prefetch.h"
#include "fs/overlay_probe.h"
#include "fs/snapshotter.h"
#include "net/registry_client.h"
#include "net/registry_hub.h"

#include <boost/asio/use_future.hpp>

#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <optional>
#include <utility>

namespace firstlight {

namespace {

constexpr auto rpc_patience = std::chrono::seconds(10);

registry_endpoint to_endpoint(const config::endpoint& e) {
    registry_endpoint to;
    to.host = e.host;
    to.transport = e.plain_http ? transport_choice::plain : transport_choice::by_host;
    to.headers = e.headers;
    to.timeout = e.request_timeout.value_or(std::chrono::hours(24));
    return to;
}

tls_files tls_of(const config::registry_section& section, const std::string& host) {
    tls_files to;
    const auto known = section.hosts.find(host);
    if (known == section.hosts.end()) {
        return to;
    }
    const auto& from = known->second;
    if (!from.ca_file.empty()) {
        to.authorities.push_back(from.ca_file);
        to.in_place_of_the_system = true;
    }
    if (!from.certificate_file.empty()) {
        to.clients.push_back({from.certificate_file, from.key_file});
    }
    to.skip_verify = from.insecure_skip_verify;
    return to;
}

registry_config to_registry_config(const config::registry_section& section) {
    registry_config to;
    for (const auto& [name, host] : section.hosts) {
        auto& known = to.hosts[name];
        for (const auto& mirror : host.mirrors) {
            known.mirrors.push_back(to_endpoint(mirror));
            known.mirrors.back().tls = tls_of(section, mirror.host);
        }
        known.origin.tls = tls_of(section, name);
    }
    to.request_timeout = section.request_timeout;
    to.max_retries = section.max_retries;
    to.min_wait = section.min_backoff;
    to.max_wait = section.max_backoff;
    const auto all = std::max(section.connections_per_host, 4U);
    to.connections = {all, all - 2, all / 2};
    return to;
}

result<void> make_directory(const std::string& path) {
    std::error_code failed;
    std::filesystem::create_directories(path, failed);
    if (failed) {
        return errno_fault(failed.value(), "create " + path);
    }
    return ::chmod(path.c_str(), 0700) == 0 ? result<void>() : errno_fault(errno, "chmod " + path);
}

task<result<void>> stop_client(registry_client& client) {
    co_await client.stop();
    co_return result<void>();
}

task<result<void>> reload_client(registry_client& client) {
    client.reload();
    co_return result<void>();
}

task<result<void>> distrust(certs_directory& hosts) {
    hosts.distrust();
    co_return result<void>();
}

task<result<void>> stop_fetcher(chunk_fetcher& fetcher) {
    co_await fetcher.stop();
    co_return result<void>();
}

} // namespace

/// Members in the order of construction; what comes later may use what is above.
class daemon::parts {
public:
    explicit parts(const config& settings)
      : settings_(settings)
      , runtime_({
          .shards = settings.runtime.shards,
          .pin = settings.runtime.pin,
          .io_threads = settings.runtime.io_threads,
          .cpu_threads = settings.runtime.cpu_threads,
        })
      , metrics_(runtime_.size())
      , mountpoint_(settings.root + "/m") {}

    result<void> start();
    void reload();
    void stop();

private:
    template <class T>
    T run(task<T> work) {
        auto& home = runtime_.at(0);
        return asio::co_spawn(home.on(lane::demand), std::move(work), asio::use_future).get();
    }
    result<void> prepare_disk();
    void build_registry();
    result<void> build_layers(index_store indexes);
    result<void> build_learning();
    result<void> mount_fuse();
    result<void> serve();
    result<void> listen();
    void stop_clients();
    void stop_fetchers();

    const config settings_;
    runtime runtime_;
    metrics metrics_;
    const std::string mountpoint_;
    overlay_options overlay_;

    std::optional<credential_sources> credentials_;
    std::optional<net_metrics> net_metrics_;
    std::optional<certs_directory> hosts_;
    std::optional<registry_hub> hub_;
    std::vector<std::unique_ptr<layer_services>> services_;
    std::optional<chunk_cache> cache_;

    std::optional<fs_metrics> fs_metrics_;
    std::optional<layer_errors> errors_;
    std::optional<layer_table> layers_;
    std::vector<std::unique_ptr<chunk_fetcher>> fetchers_;
    std::optional<learned_prefetch> learned_;
    std::optional<layer_reader> reader_;
    std::optional<layer_filler> filler_;
    std::optional<fuse_operations> operations_;
    std::unique_ptr<fuse_session_host> fuse_;

    std::optional<store_writer> store_;
    std::optional<layer_manager> manager_;
    std::optional<snapshotter> snapshotter_;
    std::optional<snapshots_service> service_;
    std::optional<image_service_proxy> images_;
    std::unique_ptr<rpc_server> server_;
    std::unique_ptr<rpc_server> image_server_; // where it is not the same
    std::unique_ptr<metrics_exporter> exporter_;
    bool serving_fuse_ = false;
    bool running_ = false;
};

result<void> daemon::parts::prepare_disk() {
    if (auto made = make_directory(settings_.root); !made) {
        return made;
    }
    if (auto gone = fuse_session_host::detach_stale(mountpoint_); !gone) {
        return gone;
    }
    if (auto made = make_directory(mountpoint_); !made) {
        return made;
    }
    auto overlay = probe_overlay(settings_.root);
    if (!overlay) {
        return overlay.error();
    }
    overlay_ = *overlay;
    return {};
}

void daemon::parts::build_registry() {
    credentials_.emplace(settings_, runtime_.at(0), runtime_.io());
    net_metrics_.emplace(metrics_);
    auto registries = to_registry_config(settings_.registry);
    registries.background_bytes_per_second = settings_.background.bytes_per_second;
    hosts_.emplace(runtime_.io(), settings_.registry.config_paths);
    hub_.emplace(
      runtime_.at(0), std::move(registries), credentials_->all(), *net_metrics_, &*hosts_);
}

result<void> daemon::parts::build_layers(index_store indexes) {
    chunk_cache_options cache;
    cache.directory = settings_.cache_directory();
    cache.max_bytes = settings_.cache.max_bytes;
    cache.memory_bytes = settings_.cache.memory_bytes;
    cache_.emplace(runtime_, metrics_, cache);
    fs_metrics_.emplace(metrics_);
    errors_.emplace(runtime_);
    layers_.emplace(runtime_);
    for (unsigned id = 0; id < runtime_.size(); ++id) {
        auto& home = runtime_.at(id);
        auto client = std::make_unique<registry_client>(home, *hub_);
        auto resolver = std::make_unique<layer_resolver>(runtime_, *client, indexes);
        fetchers_.push_back(std::make_unique<chunk_fetcher>(
          runtime_, home, *cache_, *client, *errors_, *fs_metrics_,
          settings_.runtime.buffer_bytes / runtime_.size()));
        services_.push_back(
          std::make_unique<layer_services>(std::move(client), std::move(resolver)));
    }
    if (auto built = build_learning(); !built) {
        return built;
    }
    layer_filler::options filling;
    filling.background_at_once = std::max(1U, settings_.background.max_concurrency);
    filling.background_stretch = settings_.background.request_bytes;
    if (settings_.prefetch.request_bytes > 0) {
        filling.prefetch_stretch = settings_.prefetch.request_bytes;
    }
    filler_.emplace(runtime_, fetchers_, *fs_metrics_, filling);
    layer_reader::options reading;
    reading.read_ahead_most = settings_.read.readahead_bytes;
    reading.recorder = learned_ ? &learned_->recorder() : nullptr;
    reading.waited = [this](std::uint32_t layer, std::uint64_t blob_offset) {
        auto attend = [this, layer, blob_offset] { filler_->attend(layer, blob_offset); };
        asio::post(runtime_.at(0).on(lane::background), attend);
    };
    reader_.emplace(runtime_, *cache_, fetchers_, std::move(reading));
    fuse_operations::options shown;
    shown.attr_timeout = settings_.fuse.attr_timeout;
    shown.entry_timeout = settings_.fuse.entry_timeout;
    shown.read_deadline = settings_.read.deadline;
    shown.user_xattr = overlay_.userxattr;
    operations_.emplace(runtime_, *layers_, *reader_, *errors_, *fs_metrics_, shown);
    return {};
}

result<void> daemon::parts::build_learning() {
    if (!settings_.prefetch.learn) {
        return {};
    }
    auto profiles = profile_store::open(profile_store::directory_under(settings_.root));
    if (!profiles) {
        return profiles.error();
    }
    learned_prefetch::options learning;
    learning.replay = settings_.prefetch.enabled;
    learning.recording.window = settings_.prefetch.learn_time;
    learned_.emplace(runtime_, std::move(*profiles), fetchers_, *fs_metrics_, learning);
    return {};
}

result<void> daemon::parts::mount_fuse() {
    fuse_session_host::options o;
    o.mountpoint = mountpoint_;
    o.max_background = settings_.fuse.max_background;
    o.interrupted = [this](std::uint64_t request) { operations_->interrupt(request); };
    auto mounted = fuse_session_host::mount(runtime_, fuse_operations::table(), &*operations_, o);
    if (!mounted) {
        return mounted.error();
    }
    fuse_ = std::move(*mounted);
    return {};
}

result<void> daemon::parts::start() {
    if (auto done = prepare_disk(); !done) {
        return done;
    }
    auto store = snapshot_store::open(settings_.root + "/metadata.sqlite");
    if (!store) {
        return store.error();
    }
    auto indexes = index_store::open(settings_.root + "/index");
    if (!indexes) {
        return indexes.error();
    }
    build_registry();
    if (auto done = build_layers(*indexes); !done) {
        return done;
    }
    if (auto done = mount_fuse(); !done) {
        return done;
    }
    store_.emplace(runtime_.io(), std::move(*store));
    layer_manager::options managing;
    managing.mountpoint = mountpoint_;
    managing.disable_verification = settings_.verification.disabled;
    managing.allow_skip_label = settings_.verification.allow_skip_label;
    managing.resolved_ttl = settings_.mount.resolved_ttl;
    managing.prefetch = settings_.prefetch.enabled;
    managing.prefetch_bytes = settings_.prefetch.bytes;
    managing.prefetch_wait = settings_.prefetch.timeout;
    managing.prefetch_async_bytes = settings_.prefetch.async_bytes;
    managing.background_fetch = settings_.background.enabled;
    auto forget = [this](const std::string& name) { return fuse_->forget_name(name); };
    manager_.emplace(
      runtime_, *layers_, *store_, *indexes, services_, *filler_, learned_ ? &*learned_ : nullptr,
      *errors_, *fs_metrics_, forget, managing);
    snapshotter::options snapshots;
    snapshots.root = settings_.root;
    snapshots.overlay = overlay_;
    snapshots.open_timeout = settings_.mount.deadline;
    snapshotter_.emplace(runtime_.at(0), runtime_.io(), *store_, *manager_, metrics_, snapshots);
    return serve();
}

result<void> daemon::parts::serve() {
    runtime_.start();
    running_ = true;
    fuse_->serve();
    serving_fuse_ = true;
    if (auto done = run(credentials_->start()); !done) {
        return done;
    }
    if (auto done = run(cache_->start()); !done) {
        return done;
    }
    if (auto done = run(manager_->restore()); !done) {
        return done;
    }
    if (auto done = run(snapshotter_->start()); !done) {
        return done;
    }
    if (!settings_.metrics_address.empty()) {
        auto exporter = metrics_exporter::start(metrics_, settings_.metrics_address);
        if (!exporter) {
            return exporter.error();
        }
        exporter_ = std::move(*exporter);
    }
    service_.emplace(*snapshotter_);
    if (auto done = listen(); !done) {
        return done;
    }
    log::info(
      "serving",
      {{"socket", settings_.address}, {"root", settings_.root}, {"shards", runtime_.size()}});
    return {};
}

result<void> daemon::parts::listen() {
    if (auto* pulled = credentials_->pulled()) {
        images_.emplace(runtime_.at(0), *pulled, settings_.keychain.image_service);
    }
    const auto& apart = settings_.keychain.image_service_listen;
    if (images_ && !apart.empty() && apart != settings_.address) {
        auto server = rpc_server::listen(apart, {}, &images_->grpc_service());
        if (!server) {
            return server.error();
        }
        image_server_ = std::move(*server);
    }
    auto* const fallback = images_ && !image_server_ ? &images_->grpc_service() : nullptr;
    auto server = rpc_server::listen(settings_.address, {&service_->grpc_service()}, fallback);
    if (!server) {
        return server.error();
    }
    server_ = std::move(*server);
    return {};
}

void daemon::parts::stop_clients() {
    for (unsigned id = 0; id < runtime_.size(); ++id) {
        auto work = [&client = *services_[id]->registry] { return stop_client(client); };
        run(call_on(runtime_.at(id), lane::demand, std::move(work)));
    }
}

void daemon::parts::stop_fetchers() {
    for (auto& f : fetchers_) {
        auto work = [&fetcher = *f] { return stop_fetcher(fetcher); };
        run(call_on(f->home(), lane::demand, std::move(work)));
    }
}

void daemon::parts::reload() {
    log::info("looking up the hosts of registries anew");
    run(distrust(*hosts_));
    for (unsigned id = 0; id < runtime_.size(); ++id) {
        auto work = [&client = *services_[id]->registry] { return reload_client(client); };
        run(call_on(runtime_.at(id), lane::demand, std::move(work)));
    }
}

// Requests first, then what they wait for, then what that is made of.
void daemon::parts::stop() {
    if (!running_) {
        return;
    }
    running_ = false;
    exporter_.reset();
    for (auto* server : {&image_server_, &server_}) {
        if (*server) {
            (*server)->stop(rpc_patience);
            server->reset();
        }
    }
    run(snapshotter_->stop());
    stop_clients();
    run(manager_->stop());
    run(reader_->stop());
    if (serving_fuse_) {
        fuse_->stop_serving();
        run(operations_->stop());
    }
    stop_fetchers();
    run(cache_->stop());
    run(store_->stop());
    run(hub_->stop());
    run(credentials_->stop());
    fuse_->unmount();
    runtime_.stop();
}

daemon::daemon(std::unique_ptr<parts> p)
  : parts_(std::move(p)) {
}

daemon::~daemon() {
    parts_->stop();
}

result<std::unique_ptr<daemon>> daemon::start(const config& settings) {
    std::unique_ptr<daemon> made(new daemon(std::make_unique<parts>(settings))); // private
    auto started = made->parts_->start();
    if (!started) {
        return started.error();
    }
    return made;
}

void daemon::reload() {
    parts_->reload();
}

void daemon::stop() {
    parts_->stop();
}

} // namespace firstlight
