#include "net/tls_context.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/ssl/context.hpp>

#include <openssl/ssl.h>

#include <cstdlib>
#include <list>
#include <stdexcept>

namespace firstlight {

namespace asio = boost::asio;
using boost::system::error_code;

class tls_context {
public:
    explicit tls_context(const tls_material& from) {
        context_.set_verify_mode(
          from.skip_verify() ? asio::ssl::verify_none : asio::ssl::verify_peer);
        if (!from.skip_verify()) {
            trust(from);
        }
        present(from.clients());
    }
    tls_context(const tls_context&) = delete;
    tls_context& operator=(const tls_context&) = delete;

    asio::ssl::context& get() const noexcept { return context_; }

private:
    static void check(error_code failed, std::string_view what, const std::string& file) {
        if (failed) {
            throw std::runtime_error(
              "cannot use " + std::string(what) + " in " + file + ": " + failed.message());
        }
    }
    void trust(const tls_material& from) {
        if (!from.in_place_of_the_system()) {
            trust_system();
        }
        for (const auto& each : from.authorities()) {
            if (each.text.find("-----BEGIN ") == each.text.npos) {
                throw std::runtime_error("no certificates in " + each.file);
            }
            error_code failed;
            context_.add_certificate_authority(asio::buffer(each.text), failed);
            check(failed, "the certificates", each.file);
        }
    }
    // The bundle in one read here, rather than OpenSSL's default directory, which
    // it would search during handshakes, on a shard.
    void trust_system() {
        const char* named = std::getenv("SSL_CERT_FILE");
        const char* const bundle = named ? named : "/etc/ssl/certs/ca-certificates.crt";
        error_code failed;
        context_.load_verify_file(bundle, failed);
        if (failed) {
            context_.set_default_verify_paths();
        }
    }
    static void load(asio::ssl::context& to, const tls_material::client& from) {
        error_code failed;
        to.use_certificate_chain(asio::buffer(from.certificate.text), failed);
        check(failed, "the certificate", from.certificate.file);
        to.use_private_key(asio::buffer(from.key.text), asio::ssl::context::pem, failed);
        check(failed, "the key", from.key.file);
    }
    void present(const std::vector<tls_material::client>& clients) {
        if (clients.size() == 1) {
            load(context_, clients.front());
            return;
        }
        for (const auto& each : clients) {
            load(clients_.emplace_back(asio::ssl::context::tls_client), each);
        }
        if (!clients_.empty()) {
            ::SSL_CTX_set_cert_cb(context_.native_handle(), &choose, this);
        }
    }
    static bool issued_by_one_of(X509* certificate, const STACK_OF(X509_NAME) * names) {
        for (int i = 0; i < ::sk_X509_NAME_num(names); ++i) {
            if (
              ::X509_NAME_cmp(::X509_get_issuer_name(certificate), sk_X509_NAME_value(names, i)) ==
              0) {
                return true;
            }
        }
        return false;
    }
    // RFC 8446, section 4.2.4: a server may say whose certificates it takes.
    static bool suits(SSL_CTX* client, const STACK_OF(X509_NAME) * wanted) {
        if (
          !wanted || ::sk_X509_NAME_num(wanted) == 0 ||
          issued_by_one_of(::SSL_CTX_get0_certificate(client), wanted)) {
            return true;
        }
        STACK_OF(X509)* chain = nullptr;
        ::SSL_CTX_get_extra_chain_certs(client, &chain);
        for (int i = 0; chain && i < ::sk_X509_num(chain); ++i) {
            if (issued_by_one_of(sk_X509_value(chain, i), wanted)) {
                return true;
            }
        }
        return false;
    }
    // Called in a handshake, once the server has asked for a certificate.
    static int choose(SSL* ssl, void* self) {
        const auto* wanted = ::SSL_get0_peer_CA_list(ssl);
        for (auto& each : static_cast<tls_context*>(self)->clients_) {
            auto* client = each.native_handle();
            if (suits(client, wanted)) {
                STACK_OF(X509)* chain = nullptr;
                ::SSL_CTX_get_extra_chain_certs(client, &chain);
                return ::SSL_use_cert_and_key(
                  ssl, ::SSL_CTX_get0_certificate(client), ::SSL_CTX_get0_privatekey(client), chain,
                  1);
            }
        }
        return 1; // without one
    }

    mutable asio::ssl::context context_{asio::ssl::context::tls_client};
    std::list<asio::ssl::context> clients_; // each holds one, if there are several
};

shared_tls_context make_tls_context(const tls_material& from) {
    return std::make_shared<const tls_context>(from);
}

// SSL_new() only reads the context and counts a reference, atomically.
asio::ssl::context& openssl_of(const tls_context& of) noexcept {
    return of.get();
}

} // namespace firstlight
