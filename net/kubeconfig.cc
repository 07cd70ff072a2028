#include "net/kubeconfig.h"

#include "net/base64.h"
#include "net/small_file.h"

#include <yaml-cpp/yaml.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>

namespace firstlight {

namespace {

namespace files = std::filesystem;

// Ends the reading; carries the fault out of it.
class refusal : public std::runtime_error {
public:
    explicit refusal(fault f)
      : std::runtime_error(f.context())
      , why(std::move(f)) {}
    fault why;
};

[[noreturn]] void refuse(errc code, std::string text) {
    throw refusal(fault(code, std::move(text)));
}

std::string text_of(const YAML::Node& at, const char* key) {
    const auto found = at[key];
    return found && found.IsScalar() ? found.Scalar() : std::string();
}

bool true_in(const YAML::Node& at, const char* key) {
    return text_of(at, key) == "true";
}

// `value` of the entry called `name` in the list `list`.
YAML::Node
named(const YAML::Node& root, const char* list, const char* value, const std::string& name) {
    const auto all = root[list];
    if (all && all.IsSequence()) {
        for (const auto& each : all) {
            if (each.IsMap() && text_of(each, "name") == name && each[value].IsMap()) {
                return each[value];
            }
        }
    }
    refuse(errc::invalid_argument, std::string(list) + ": none is called \"" + name + "\"");
}

std::string file_text(const std::string& path, const files::path& directory) {
    auto text = read_small_file((directory / path).string());
    if (!text) {
        refuse(text.error().code(), text.error().context());
    }
    return std::move(*text);
}

tls_material::pem pem_file(const std::string& path, const files::path& directory) {
    return {(directory / path).string(), file_text(path, directory)};
}

// As data in the document, or in the file that it names; empty if it has neither.
tls_material::pem
pem_of(const YAML::Node& at, const std::string& key, const files::path& directory) {
    const auto data = text_of(at, (key + "-data").c_str());
    const auto path = text_of(at, key.c_str());
    if (data.empty()) {
        return path.empty() ? tls_material::pem() : pem_file(path, directory);
    }
    auto decoded = base64_decoded(data);
    if (!decoded) {
        refuse(errc::invalid_argument, key + "-data is not base64");
    }
    return {key + "-data", std::move(*decoded)};
}

// A kubeconfig's authorities are the only ones, where it names any.
tls_material trusting(
  tls_material::pem authorities, tls_material::pem certificate, tls_material::pem key,
  bool skip_verify) {
    std::vector<tls_material::pem> all;
    if (!authorities.text.empty()) {
        all.push_back(std::move(authorities));
    }
    std::vector<tls_material::client> clients;
    if (!certificate.text.empty()) {
        clients.push_back({std::move(certificate), std::move(key)});
    }
    const bool in_place_of_the_system = !all.empty();
    return {std::move(all), in_place_of_the_system, std::move(clients), skip_verify};
}

std::string trimmed(std::string text) {
    constexpr std::string_view blank = " \t\r\n";
    const auto end = text.find_last_not_of(blank);
    text.resize(end == std::string::npos ? 0 : end + 1);
    return text;
}

void check_supported(const YAML::Node& user, const YAML::Node& cluster) {
    for (const auto* key : {"exec", "auth-provider"}) {
        if (user[key]) {
            refuse(
              errc::unsupported, std::string("user: ") + key +
                                   ": no program is run for a token; use a token, a tokenFile or "
                                   "a client certificate");
        }
    }
    if (user["username"] || user["password"]) {
        refuse(errc::unsupported, "user: no API server takes a user and password any more");
    }
    for (const auto* key : {"tls-server-name", "proxy-url"}) {
        if (cluster[key]) {
            refuse(errc::unsupported, std::string("cluster: ") + key);
        }
    }
}

url server_of(const std::string& text) {
    auto server = url::parse(text);
    if (!server) {
        refuse(errc::invalid_argument, "cluster: server: " + server.error().context());
    }
    return std::move(*server);
}

kubernetes_access read(std::string_view text, const files::path& directory) {
    const auto root = YAML::Load(std::string(text));
    if (!root.IsMap()) {
        refuse(errc::invalid_argument, "not a kubeconfig");
    }
    const auto context = named(root, "contexts", "context", text_of(root, "current-context"));
    const auto cluster = named(root, "clusters", "cluster", text_of(context, "cluster"));
    const auto user = named(root, "users", "user", text_of(context, "user"));
    check_supported(user, cluster);
    kubernetes_access to{server_of(text_of(cluster, "server")), {}, {}};
    to.trust = trusting(
      pem_of(cluster, "certificate-authority", directory),
      pem_of(user, "client-certificate", directory), pem_of(user, "client-key", directory),
      true_in(cluster, "insecure-skip-tls-verify"));
    to.token = text_of(user, "token");
    if (const auto path = text_of(user, "tokenFile"); !path.empty()) {
        to.token = trimmed(file_text(path, directory)); // beats the other
    }
    return to;
}

kubernetes_access read_service_account(const kubeconfig_places& from) {
    const bool v6 = from.service_host.find(':') != std::string::npos;
    const auto host = v6 ? "[" + from.service_host + "]" : from.service_host;
    const auto port = from.service_port.empty() ? "443" : from.service_port;
    kubernetes_access to{server_of("https://" + host + ":" + port), {}, {}};
    to.token = trimmed(file_text("token", from.service_account));
    to.trust = trusting(pem_file("ca.crt", from.service_account), {}, {}, false);
    return to;
}

template <class F>
result<kubernetes_access> guarded(const std::string& where, F read) {
    try {
        return read();
    } catch (const refusal& r) {
        return r.why.in(where);
    } catch (const YAML::Exception& e) { // its text may quote the document
        return fault(
          errc::invalid_argument, where + ":" + std::to_string(e.mark.line + 1) + ": no such YAML");
    }
}

std::string from_environment(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

} // namespace

kubeconfig_places kubeconfig_places::from_environment(std::string chosen) {
    kubeconfig_places to;
    to.chosen = std::move(chosen);
    const auto list = firstlight::from_environment("KUBECONFIG");
    to.usual = list.substr(0, list.find(':'));
    if (to.usual.empty()) {
        to.usual = firstlight::from_environment("HOME") + "/.kube/config";
    }
    to.service_host = firstlight::from_environment("KUBERNETES_SERVICE_HOST");
    to.service_port = firstlight::from_environment("KUBERNETES_SERVICE_PORT");
    return to;
}

result<kubernetes_access> read_kubeconfig(std::string_view text, const std::string& directory) {
    return guarded("kubeconfig", [&] { return read(text, directory); });
}

result<kubernetes_access> load_kubernetes_access(const kubeconfig_places& places) {
    const auto& path = places.chosen.empty() ? places.usual : places.chosen;
    const auto text = read_small_file(path);
    if (text) {
        const auto directory = files::path(path).parent_path();
        return guarded(path, [&] { return read(*text, directory); });
    }
    if (text.error().code() != errc::not_found) {
        return text.error();
    }
    if (!places.chosen.empty() || places.service_host.empty()) {
        return fault(errc::not_found, "there is no kubeconfig at " + path + " yet");
    }
    return guarded("service account", [&] { return read_service_account(places); });
}

} // namespace firstlight
