// Every key of a configuration file, section by section. What the reference's keys
// mean was read from stargz-snapshotter's configuration types; docs/config.md is the
// operator's view of this file and changes with it.

#include "app/config_keys.h"

#include <limits>

namespace firstlight {

namespace {

constexpr std::int64_t unlimited = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t year_sec = 366LL * 24 * 3600;
constexpr std::int64_t most_threads = 1024;
constexpr std::int64_t longest_learn_sec = 3600;

// An explicit 0 means the default, as it does in the reference.
template <class T>
void number(config_section& from, std::string_view key, std::int64_t max, T& to) {
    if (const auto n = from.integer(key, 0, max); n && *n != 0) {
        to = static_cast<T>(*n);
    }
}

template <class Duration>
void duration(config_section& from, std::string_view key, std::int64_t max, Duration& to) {
    if (const auto n = from.integer(key, 0, max); n && *n != 0) {
        to = Duration(*n);
    }
}

// A 0 that means 0.
template <class T>
void plain_number(config_section& from, std::string_view key, std::int64_t max, T& to) {
    if (const auto n = from.integer(key, 0, max)) {
        to = static_cast<T>(*n);
    }
}

void flag(config_section& from, std::string_view key, bool& to) {
    to = from.boolean(key).value_or(to);
}

void absolute_path(config_section& from, std::string_view key, std::string& to) {
    const auto path = from.text(key);
    if (!path || path->empty()) {
        return;
    }
    if (path->front() != '/') {
        from.fail(key, "expected an absolute path, found \"" + *path + "\"");
    }
    to = *path;
}

void read_metrics(config_section& top, config& to) {
    to.metrics_address = top.text("metrics_address").value_or(to.metrics_address);
    const auto port = to.metrics_address.rfind(':');
    if (!to.metrics_address.empty() && port == std::string::npos) {
        top.fail("metrics_address", "expected \"host:port\", found \"" + to.metrics_address + "\"");
    }
    if (top.boolean("no_prometheus").value_or(false)) {
        to.metrics_address.clear();
    }
}

void read_verification(config_section& top, config& to) {
    flag(top, "disable_verification", to.verification.disabled);
    flag(top, "allow_no_verification", to.verification.allow_skip_label);
    if (to.verification.disabled) {
        top.warn("disable_verification", "layers are mounted without checking any digest");
    }
}

void read_prefetch(config_section& top, config& to) {
    plain_number(top, "prefetch_size", unlimited, to.prefetch.bytes);
    duration(top, "prefetch_timeout_sec", year_sec, to.prefetch.timeout);
    plain_number(top, "prefetch_async_size", unlimited, to.prefetch.async_bytes);
    if (top.boolean("noprefetch").value_or(false)) {
        to.prefetch.enabled = false;
    }
    if (top.boolean("no_background_fetch").value_or(false)) {
        to.background.enabled = false;
    }
    number(top, "max_concurrency", most_threads, to.background.max_concurrency);
}

void read_stores(config_section& top) {
    top.no_effect_text("http_cache_type", "", "compressed bytes are not kept at all");
    top.no_effect_text(
      "filesystem_cache_type", "",
      "chunks are kept on disk; the kernel's page cache has the hot ones");
    const auto store = top.text("metadata_store").value_or("memory");
    if (store != "memory" && store != "db") {
        top.fail("metadata_store", "expected \"memory\" or \"db\", found \"" + store + "\"");
    }
    top.no_effect_text(
      "metadata_store", "memory", "the index of a layer is always a mapped file on disk");
}

void read_top(config_section& top, config& to) {
    absolute_path(top, "root_path", to.root); // the in-process plugin's name for it
    absolute_path(top, "root", to.root);
    absolute_path(top, "address", to.address);
    read_metrics(top, to);
    read_verification(top, to);
    read_prefetch(top, to);
    read_stores(top);
    duration(top, "resolve_result_entry_ttl_sec", year_sec, to.mount.resolved_ttl);
    top.no_effect_flag("debug", false, "requests of the kernel are not traced");
    top.no_effect_number("resolve_result_entry", 0, "withdrawn by the reference as well");
    top.no_effect_flag("log_file_access", false, "first accesses of files are not logged");
    top.no_effect_text("debug_address", "", "there is no debug endpoint");
    top.no_effect_flag("ipfs", false, "layers are not read from IPFS");
}

void read_blob(config_section& top, config& to) {
    config_section s(top.table("blob"), "blob", top.findings());
    auto& r = to.registry;
    constexpr std::string_view no_check = "a container's start does not ask the registry";
    s.no_effect_number("valid_interval", 60, no_check);
    s.no_effect_flag("check_always", false, no_check);
    duration(s, "fetching_timeout_sec", year_sec, to.read.deadline);
    plain_number(s, "prefetch_chunk_size", unlimited, to.prefetch.request_bytes);
    number(s, "max_retries", 1000, r.max_retries);
    duration(s, "min_wait_msec", year_sec * 1000, r.min_backoff);
    duration(s, "max_wait_msec", year_sec * 1000, r.max_backoff);
    if (r.max_backoff < r.min_backoff) {
        const bool said = s.any("max_wait_msec") != nullptr;
        if (said) {
            s.fail("max_wait_msec", "expected at least min_wait_msec");
        }
        r.max_backoff = r.min_backoff;
    }
    (void)s.boolean("force_single_range_mode"); // as it is: a request never has two ranges
    s.no_effect_number("chunk_size", 50000, "ranges follow the chunks of the layer");
}

void read_directory_cache(config_section& top) {
    config_section s(top.table("directory_cache"), "directory_cache", top.findings());
    constexpr std::string_view why = "the cache is shared by all layers; see [cache]";
    s.no_effect_number("max_lru_cache_entry", 10, why);
    s.no_effect_number("max_cache_fds", 10, why);
    s.no_effect_flag("sync_add", false, "readers are answered before the disk is");
    s.no_effect_flag("direct", true, why);
    s.no_effect_flag("fadv_dontneed", false, why);
}

void read_fuse(config_section& top, config& to) {
    config_section s(top.table("fuse"), "fuse", top.findings());
    duration(s, "attr_timeout", year_sec, to.fuse.attr_timeout);
    duration(s, "entry_timeout", year_sec, to.fuse.entry_timeout);
    number(s, "max_background", 65535, to.fuse.max_background); // 16 bits in FUSE_INIT
    s.no_effect_flag("passthrough", false, "reads are answered by the daemon");
    s.no_effect_number("merge_buffer_size", 419430400, "it belongs to passthrough");
    s.no_effect_number("merge_worker_count", 10, "it belongs to passthrough");
}

void read_snapshotter(config_section& top) {
    config_section s(top.table("snapshotter"), "snapshotter", top.findings());
    s.no_effect_flag(
      "allow_invalid_mounts_on_restart", true,
      "a layer that cannot be mounted again keeps no other from it");
}

void read_keychains(config_section& top, config& to) {
    auto& k = to.keychain;
    config_section kube(top.table("kubeconfig_keychain"), "kubeconfig_keychain", top.findings());
    flag(kube, "enable_keychain", k.kubernetes);
    absolute_path(kube, "kubeconfig_path", k.kubeconfig);
    config_section cri(top.table("cri_keychain"), "cri_keychain", top.findings());
    flag(cri, "enable_keychain", k.cri);
    absolute_path(top, "cri_keychain_image_service_path", k.image_service); // of the plugin
    absolute_path(cri, "image_service_path", k.image_service);
    absolute_path(cri, "listen_path", k.image_service_listen);
    const bool ours = k.image_service == to.address || k.image_service == k.image_service_listen;
    if (k.cri && ours) {
        cri.fail("image_service_path", "expected containerd's socket, found one of our own");
    }
}

void read_fuse_manager(config_section& top) {
    config_section s(top.table("fuse_manager"), "fuse_manager", top.findings());
    constexpr std::string_view why = "there is no separate FUSE manager";
    s.no_effect_flag("enable", false, why);
    s.no_effect_text("address", "/run/containerd-stargz-grpc/fuse-manager.sock", why);
    s.no_effect_text("path", "", why);
    s.no_effect_text("metrics_address", "", why);
}

void read_own(config_section& top, config& to) {
    config_section log(top.table("log"), "log", top.findings());
    if (const auto name = log.text("level")) {
        const auto level = parse_log_level(*name);
        if (!level) {
            log.fail("level", level.error().context());
        }
        to.log_level = *level;
    }
    config_section runtime(top.table("runtime"), "runtime", top.findings());
    number(runtime, "shards", most_threads, to.runtime.shards);
    flag(runtime, "pin", to.runtime.pin);
    number(runtime, "io_threads", most_threads, to.runtime.io_threads);
    number(runtime, "cpu_threads", most_threads, to.runtime.cpu_threads);
    number(runtime, "buffer_bytes", unlimited, to.runtime.buffer_bytes);
    for (const auto* threads : {"io_threads", "cpu_threads"}) {
        if (runtime.integer(threads, 0, most_threads) == 1) {
            runtime.fail(threads, "expected 0 or at least 2, found 1: one is kept for demand");
        }
    }
    config_section mount(top.table("mount"), "mount", top.findings());
    duration(mount, "deadline_sec", year_sec, to.mount.deadline);
}

void read_data_path(config_section& top, config& to) {
    config_section cache(top.table("cache"), "cache", top.findings());
    absolute_path(cache, "directory", to.cache.directory);
    number(cache, "max_bytes", unlimited, to.cache.max_bytes);
    number(cache, "memory_bytes", unlimited, to.cache.memory_bytes);
    config_section read(top.table("read"), "read", top.findings());
    duration(read, "deadline_sec", year_sec, to.read.deadline); // over fetching_timeout_sec
    plain_number(read, "readahead_bytes", unlimited, to.read.readahead_bytes);
    config_section prefetch(top.table("prefetch"), "prefetch", top.findings());
    flag(prefetch, "learn", to.prefetch.learn);
    duration(prefetch, "learn_sec", longest_learn_sec, to.prefetch.learn_time);
    config_section background(top.table("background"), "background", top.findings());
    number(background, "request_bytes", unlimited, to.background.request_bytes);
    plain_number(background, "bytes_per_second", unlimited, to.background.bytes_per_second);
}

} // namespace

void read_config_keys(const toml_table& document, config_findings& findings, config& to) {
    config_section top(document, "", findings);
    read_top(top, to);
    read_blob(top, to);
    read_directory_cache(top);
    read_fuse(top, to);
    read_snapshotter(top);
    read_keychains(top, to);
    read_fuse_manager(top);
    read_registry_keys(top, to);
    read_own(top, to);
    read_data_path(top, to);
}

} // namespace firstlight
