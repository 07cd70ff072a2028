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
    tls_material made;
    made.in_place_of_the_system_ = from.in_place_of_the_system;
    made.skip_verify_ = from.skip_verify;
    for (const auto& file : from.authorities) {
        auto loaded = read_pem("certificate authorities", file);
        if (!loaded) {
            return loaded.error();
        }
        made.authorities_.push_back(std::move(*loaded));
    }
    for (const auto& each : from.clients) {
        auto loaded = read_client(each);
        if (!loaded) {
            return loaded.error();
        }
        made.clients_.push_back(std::move(*loaded));
    }
    return made;
}

tls_material tls_material::anonymous() const {
    auto made = *this;
    made.clients_.clear();
    return made;
}

} // namespace firstlight
