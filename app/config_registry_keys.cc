// [resolver], as the standalone daemon of the reference has it, and [registry], as
// its in-process form (and containerd's CRI plugin) has it.

#include "app/config_keys.h"
#include "app/header_table.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

namespace firstlight {

namespace {

using std::chrono::seconds;

constexpr std::int64_t longest_sec = 366LL * 24 * 3600;

bool plain_host(std::string_view host) {
    return !host.empty() && std::ranges::all_of(host, [](unsigned char c) {
        return c > ' ' && c < 0x7f && c != '/' && c != '?' && c != '#' && c != '@';
    });
}

// Source: containerd's docker.MatchLocalhost: such a host is spoken to in plain HTTP.
bool local(std::string_view host) {
    return host == "localhost" || host.starts_with("localhost:") || host.starts_with("127.") ||
           host == "::1" || host.starts_with("[::1]");
}

// docker.io is a name in references only.
std::string canonical(std::string host) {
    return host == "docker.io" ? "registry-1.docker.io" : host;
}

std::optional<seconds> request_timeout(config_section& from, seconds global) {
    const auto n = from.integer("request_timeout_sec", -longest_sec, longest_sec).value_or(0);
    if (n < 0) {
        return std::nullopt;
    }
    return n == 0 ? global : seconds(n);
}

void read_mirror(config_section& from, const config& so_far, config::registry_host& to) {
    config::endpoint mirror;
    mirror.host = from.text("host").value_or("");
    mirror.plain_http = from.boolean("insecure").value_or(false) || local(mirror.host);
    mirror.request_timeout = request_timeout(from, so_far.registry.request_timeout);
    mirror.headers = read_header_table(from);
    if (!plain_host(mirror.host)) {
        from.warn(
          "host", "mirror left out: expected host or host:port, found \"" + mirror.host + "\"");
        return;
    }
    mirror.host = canonical(std::move(mirror.host));
    to.mirrors.push_back(std::move(mirror));
}

void read_mirrors(config_section& from, const config& so_far, config::registry_host& to) {
    const auto* node = from.any("mirrors");
    if (!node) {
        return;
    }
    const auto* all = std::get_if<toml_array>(&node->value);
    if (!all) {
        from.fail("mirrors", "expected an array of tables, found " + std::string(node->kind()));
    }
    for (const auto& each : *all) {
        const auto* table = std::get_if<toml_table>(&each.value);
        if (!table) {
            from.fail("mirrors", "expected an array of tables, found " + std::string(each.kind()));
        }
        config_section mirror(*table, from.full_name("mirrors"), from.findings());
        read_mirror(mirror, so_far, to);
    }
}

void read_resolver(config_section& top, config& to) {
    config_section s(top.table("resolver"), "resolver", top.findings());
    // As in the reference, what is not positive means the default.
    const auto timeout = s.integer("request_timeout_sec", -longest_sec, longest_sec).value_or(0);
    if (timeout > 0) {
        to.registry.request_timeout = seconds(timeout);
    }
    const auto connections = s.integer("connections_per_host", 0, 1024).value_or(0);
    if (connections > 0) {
        to.registry.connections_per_host = static_cast<unsigned>(connections);
    }
    to.registry.docker_config = s.text("docker_config").value_or("");
    if (!to.registry.docker_config.empty() && to.registry.docker_config[0] != '/') {
        s.fail("docker_config", "expected an absolute path");
    }
    const auto& names = s.table("host");
    config_section hosts(names, "resolver.host", s.findings());
    for (const auto& entry : names) {
        config_section host(hosts.table(entry.key), hosts.full_name(entry.key), hosts.findings());
        read_mirrors(host, to, to.registry.hosts[entry.key]);
    }
}

// "https://host:port", as containerd's CRI configuration writes a mirror; it may name
// the API's root as well. Nothing if it is none, or has another path.
std::optional<config::endpoint> parse_endpoint(std::string_view url) {
    config::endpoint e;
    if (url.starts_with("http://")) {
        e.plain_http = true;
        url.remove_prefix(7);
    } else if (url.starts_with("https://")) {
        url.remove_prefix(8);
    } else {
        e.plain_http = local(url); // no scheme
    }
    for (const std::string_view end : {"/", "/v2", "/"}) {
        if (url.ends_with(end)) {
            url.remove_suffix(end.size());
        }
    }
    if (!plain_host(url)) {
        return std::nullopt;
    }
    e.host = canonical(std::string(url));
    return e;
}

void read_cri_mirrors(config_section& registry, config& to) {
    const auto& names = registry.table("mirrors");
    config_section hosts(names, "registry.mirrors", registry.findings());
    for (const auto& entry : names) {
        config_section host(hosts.table(entry.key), hosts.full_name(entry.key), hosts.findings());
        for (const auto& url : host.texts("endpoint")) {
            auto endpoint = parse_endpoint(url);
            if (!endpoint) {
                host.warn(
                  "endpoint",
                  "mirror left out: expected \"http(s)://host[:port]\", found \"" + url + "\"");
                continue;
            }
            endpoint->request_timeout = to.registry.request_timeout;
            to.registry.hosts[entry.key].mirrors.push_back(std::move(*endpoint));
        }
    }
}

// RFC 4648, section 4. Nothing if `text` is not base64.
std::optional<std::string> decode_base64(const std::string& text) {
    if (text.empty() || text.size() % 4 != 0) {
        return std::nullopt;
    }
    std::string out(text.size() / 4 * 3, '\0');
    const auto n = EVP_DecodeBlock(
      reinterpret_cast<unsigned char*>(out.data()),
      reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
    if (n < 0) {
        return std::nullopt;
    }
    const auto padding = text.size() - 1 - text.find_last_not_of('=');
    out.resize(static_cast<std::size_t>(n) - std::min<std::size_t>(padding, 2));
    return out;
}

void read_auth(config_section& s, config::registry_host& to) {
    to.username = s.text("username").value_or(to.username);
    to.password = s.text("password").value_or(to.password);
    to.identity_token = s.text("identitytoken").value_or(to.identity_token);
    const auto encoded = s.text("auth").value_or("");
    if (encoded.empty() || !to.username.empty()) {
        return;
    }
    const auto pair = decode_base64(encoded);
    const auto colon = pair ? pair->find(':') : std::string::npos;
    if (colon == std::string::npos) {
        s.fail("auth", "expected base64 of \"username:password\""); // and never show it
    }
    to.username = pair->substr(0, colon);
    to.password = pair->substr(colon + 1);
}

void read_tls(config_section& s, config::registry_host& to) {
    to.insecure_skip_verify = s.boolean("insecure_skip_verify").value_or(false);
    to.ca_file = s.text("ca_file").value_or("");
    to.certificate_file = s.text("cert_file").value_or("");
    to.key_file = s.text("key_file").value_or("");
    if (to.certificate_file.empty() && !to.key_file.empty()) {
        s.fail("key_file", "expected a cert_file besides");
    }
}

void read_cri_hosts(config_section& registry, config& to) {
    const auto& names = registry.table("configs");
    config_section hosts(names, "registry.configs", registry.findings());
    for (const auto& entry : names) {
        config_section host(hosts.table(entry.key), hosts.full_name(entry.key), hosts.findings());
        auto& target = to.registry.hosts[entry.key];
        config_section auth(host.table("auth"), host.full_name("auth"), host.findings());
        read_auth(auth, target);
        config_section tls(host.table("tls"), host.full_name("tls"), host.findings());
        read_tls(tls, target);
    }
}

// "/a:/b", as containerd's CRI plugin has it, or a list, as the reference.
void read_config_path(config_section& registry, config& to) {
    if (!registry.any("config_path")) {
        return;
    }
    to.registry.config_paths.clear();
    for (std::string_view paths : registry.text_or_texts("config_path")) {
        while (!paths.empty()) {
            const auto path = paths.substr(0, paths.find(':'));
            paths.remove_prefix(std::min(path.size() + 1, paths.size()));
            if (path.empty()) {
                continue;
            }
            if (path.front() != '/') {
                registry.fail(
                  "config_path", "expected absolute paths, found \"" + std::string(path) + "\"");
            }
            to.registry.config_paths.emplace_back(path);
        }
    }
}

} // namespace

void read_registry_keys(config_section& top, config& to) {
    read_resolver(top, to);
    config_section registry(top.table("registry"), "registry", top.findings());
    read_config_path(registry, to);
    read_cri_mirrors(registry, to);
    read_cri_hosts(registry, to);
}

} // namespace firstlight
