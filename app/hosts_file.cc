#include "app/hosts_file.h"

#include "app/config_section.h"
#include "app/go_duration.h"
#include "app/header_table.h"
#include "net/image_reference.h"
#include "net/url.h"

#include <algorithm>
#include <filesystem>
#include <optional>

namespace firstlight {

namespace {

constexpr std::uint16_t http_port = 80;
constexpr std::string_view api_root = "/v2";

// The keys that may stand at the root as well as in a [host].
class host_reader {
public:
    host_reader(config_section& from, const std::filesystem::path& directory)
      : from_(from)
      , directory_(directory) {}

    // False: not to be pulled from.
    bool capable();
    registry_endpoint read();
    bool speaks_of_tls() const noexcept { return speaks_of_tls_; }
    bool overrides_path() const noexcept { return overrides_path_; }

private:
    std::string path(std::string_view key, const std::string& written) const;
    std::string path(std::string_view key, const toml_node& node) const;
    tls_files::client client(const toml_node& node) const;
    std::vector<tls_files::client> clients() const;
    std::chrono::milliseconds dial_timeout() const;

    config_section& from_;
    const std::filesystem::path& directory_;
    bool speaks_of_tls_ = false;
    bool overrides_path_ = false;
};

std::string lower(std::string text) {
    std::ranges::transform(text, text.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    return text;
}

bool host_reader::capable() {
    const auto named = from_.texts("capabilities");
    bool pull = named.empty();
    for (const auto& each : named) {
        const auto name = lower(each);
        if (name != "pull" && name != "resolve" && name != "push" && name != "referrers") {
            from_.fail(
              "capabilities", "expected pull, resolve, push or referrers, found \"" + each + "\"");
        }
        pull = pull || name == "pull";
    }
    return pull;
}

std::string host_reader::path(std::string_view key, const std::string& written) const {
    if (written.empty() || written.find('\0') != written.npos) {
        from_.fail(key, "expected the path of a file");
    }
    return (directory_ / written).lexically_normal().string();
}

std::string host_reader::path(std::string_view key, const toml_node& node) const {
    const auto* text = std::get_if<std::string>(&node.value);
    if (!text) {
        from_.fail(key, "expected a path, or a pair of them, found " + std::string(node.kind()));
    }
    return path(key, *text);
}

tls_files::client host_reader::client(const toml_node& node) const {
    const auto* pair = std::get_if<toml_array>(&node.value);
    if (!pair) {
        return {path("client", node), ""};
    }
    if (pair->size() != 2) {
        from_.fail("client", "expected a pair of a certificate and its key");
    }
    const auto* key = std::get_if<std::string>(&pair->back().value);
    const bool in_one_file = key && key->empty();
    return {path("client", pair->front()), in_one_file ? "" : path("client", pair->back())};
}

std::vector<tls_files::client> host_reader::clients() const {
    std::vector<tls_files::client> all;
    const auto* node = from_.any("client");
    if (!node) {
        return all;
    }
    const auto* list = std::get_if<toml_array>(&node->value);
    if (!list) {
        all.push_back(client(*node));
        return all;
    }
    for (const auto& each : *list) {
        all.push_back(client(each));
    }
    return all;
}

std::chrono::milliseconds host_reader::dial_timeout() const {
    const auto text = from_.text("dial_timeout");
    const auto parsed = parse_go_duration(text.value_or("0"));
    if (!parsed) {
        from_.fail("dial_timeout", "expected a duration such as \"1.5s\", found \"" + *text + "\"");
    }
    return *parsed;
}

registry_endpoint host_reader::read() {
    registry_endpoint to;
    for (const auto& each : from_.text_or_texts("ca")) {
        to.tls.authorities.push_back(path("ca", each));
    }
    to.tls.clients = clients();
    const auto skip = from_.boolean("skip_verify");
    to.tls.skip_verify = skip.value_or(false);
    speaks_of_tls_ = skip || !to.tls.empty();
    to.headers = read_header_table(from_);
    overrides_path_ = from_.boolean("override_path").value_or(false);
    to.connect_timeout = dial_timeout();
    return to;
}

// Both protocols may be meant by a URL that names one, and settings of the other.
transport_choice plain_unless_ambiguous(std::uint16_t port, bool speaks_of_tls) {
    const bool ambiguous = speaks_of_tls && port != 0 && port != http_port;
    return ambiguous ? transport_choice::tls_or_plain : transport_choice::plain;
}

void be_the_registry(registry_endpoint& to, const std::string& registry, bool speaks_of_tls) {
    to.host = host_of(registry);
    const auto parts = split_host(to.host);
    if (!parts || !is_loopback(parts->name)) {
        to.transport = transport_choice::tls;
    } else if (speaks_of_tls && parts->port != 0) {
        to.transport = plain_unless_ambiguous(parts->port, true);
    } else {
        to.transport = speaks_of_tls ? transport_choice::tls : transport_choice::by_host;
    }
}

// "/a//b/" → "/a/b"; the API's root is appended unless it is there, or not wanted.
std::string root_of(const std::string& path, bool override_path) {
    auto clean = std::filesystem::path(path).lexically_normal().string();
    while (clean.ends_with('/')) {
        clean.pop_back();
    }
    const bool whole = override_path || clean.ends_with(api_root);
    return whole ? clean : clean.append(api_root);
}

// False if it is no URL of a host.
bool be_at(registry_endpoint& to, std::string text, const host_reader& keys) {
    if (text.find("://") == text.npos) {
        text.insert(0, "https://");
    }
    const auto parsed = url::parse(text);
    if (!parsed || text.find_first_of("?#") != text.npos) {
        return false;
    }
    const auto begin = text.find("://") + 3;
    to.host = lower(text.substr(begin, text.find('/', begin) - begin));
    const auto port = split_host(to.host).value_or(host_parts()).port;
    to.transport =
      parsed->tls() ? transport_choice::tls : plain_unless_ambiguous(port, keys.speaks_of_tls());
    to.path = root_of(parsed->target(), keys.overrides_path());
    return true;
}

// The file being read, and what has been read of it.
struct reading {
    std::filesystem::path directory;
    const std::string& registry;
    hosts_file& to;
};

// An empty `url` is the registry's own. False if it is no URL of a host.
bool add_host(config_section& from, const std::string& url, const reading& file) {
    host_reader keys(from, file.directory);
    const bool capable = keys.capable();
    auto host = keys.read();
    if (url.empty()) {
        be_the_registry(host, file.registry, keys.speaks_of_tls());
    } else if (!be_at(host, url, keys)) {
        return false;
    }
    if (capable || url.empty()) { // containerd asks the registry itself in any case
        file.to.hosts.push_back(std::move(host));
    }
    return true;
}

constexpr const char* no_url = "expected \"http(s)://host[:port][/path]\"";

void read_hosts(config_section& top, const reading& file) {
    const auto& urls = top.table("host");
    config_section hosts(urls, "host", top.findings());
    for (const auto* entry : in_file_order(urls)) {
        config_section from(hosts.table(entry->key), hosts.full_name(entry->key), top.findings());
        if (entry->key.empty() || !add_host(from, entry->key, file)) {
            hosts.fail(entry->key, no_url);
        }
    }
}

void read_server(config_section& top, const reading& file) {
    if (!add_host(top, top.text("server").value_or(""), file)) {
        top.fail("server", no_url);
    }
}

} // namespace

result<hosts_file>
parse_hosts_file(std::string_view text, const std::string& file, const std::string& registry) {
    const auto document = parse_toml(text, file);
    if (!document) {
        return document.error();
    }
    config_findings findings(file);
    hosts_file read;
    try {
        const reading here{std::filesystem::path(file).parent_path(), registry, read};
        config_section top(*document, "", findings);
        read_hosts(top, here);
        read_server(top, here);
    } catch (const config_findings::error& e) {
        return fault(errc::invalid_argument, e.what());
    }
    read.warnings = findings.warnings();
    return read;
}

registry_endpoint registry_itself(const std::string& registry, tls_files tls) {
    registry_endpoint to;
    be_the_registry(to, registry, !tls.empty());
    to.tls = std::move(tls);
    return to;
}

} // namespace firstlight
