#include "net/tls_material.h"

#include "net/small_file.h"

namespace firstlight {

namespace {

result<tls_material::pem> read_pem(std::string_view what, const std::string& path) {
    auto text = read_small_file(path);
    if (!text) {
        return text.error().in("cannot load " + std::string(what));
    }
    return tls_material::pem{path, std::move(*text)};
}

result<tls_material::client> read_client(const tls_files::client& from) {
    auto certificate = read_pem("a client certificate", from.certificate);
    if (!certificate) {
        return certificate.error();
    }
    if (from.key.empty()) {
        return tls_material::client{*certificate, *certificate};
    }
    auto key = read_pem("the key of a client certificate", from.key);
    if (!key) {
        return key.error();
    }
    return tls_material::client{std::move(*certificate), std::move(*key)};
}

} // namespace

result<tls_material> tls_material::read(const tls_files& from) {
    std::vector<pem> authorities;
    for (const auto& file : from.authorities) {
        auto loaded = read_pem("certificate authorities", file);
        if (!loaded) {
            return loaded.error();
        }
        authorities.push_back(std::move(*loaded));
    }
    std::vector<client> clients;
    for (const auto& each : from.clients) {
        auto loaded = read_client(each);
        if (!loaded) {
            return loaded.error();
        }
        clients.push_back(std::move(*loaded));
    }
    return tls_material(
      std::move(authorities), from.in_place_of_the_system, std::move(clients), from.skip_verify);
}

tls_material tls_material::anonymous() const {
    auto made = *this;
    made.clients_.clear();
    return made;
}

} // namespace firstlight
