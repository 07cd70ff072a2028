#include "test/imposter/test_certificates.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <memory>
#include <stdexcept>

namespace firstlight::test {

namespace {

struct freer {
    void operator()(EVP_PKEY* p) const noexcept { EVP_PKEY_free(p); }
    void operator()(X509* p) const noexcept { X509_free(p); }
    void operator()(BIO* p) const noexcept { BIO_free(p); }
    void operator()(X509_EXTENSION* p) const noexcept { X509_EXTENSION_free(p); }
};
using key_ptr = std::unique_ptr<EVP_PKEY, freer>;
using x509_ptr = std::unique_ptr<X509, freer>;

constexpr long a_day = 24 * 3600;

void extend(X509* certificate, X509* issuer, int what, const char* value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    const std::unique_ptr<X509_EXTENSION, freer> extension(
      X509V3_EXT_conf_nid(nullptr, &context, what, value));
    if (!extension || X509_add_ext(certificate, extension.get(), -1) != 1) {
        throw std::runtime_error("cannot extend a certificate");
    }
}

x509_ptr make(const char* name, long serial, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key) {
    x509_ptr made(X509_new());
    X509_set_version(made.get(), 2); // X.509v3
    ASN1_INTEGER_set(X509_get_serialNumber(made.get()), serial);
    X509_gmtime_adj(X509_getm_notBefore(made.get()), -a_day);
    X509_gmtime_adj(X509_getm_notAfter(made.get()), a_day);
    X509_set_pubkey(made.get(), key);
    auto* subject = X509_get_subject_name(made.get());
    const auto* text = reinterpret_cast<const unsigned char*>(name);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, text, -1, -1, 0);
    auto* by = issuer ? issuer : made.get();
    X509_set_issuer_name(made.get(), X509_get_subject_name(by));
    if (issuer) {
        extend(made.get(), by, NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost");
    } else {
        extend(made.get(), by, NID_basic_constraints, "critical,CA:TRUE");
    }
    if (X509_sign(made.get(), issuer_key, EVP_sha256()) == 0) {
        throw std::runtime_error("cannot sign a certificate");
    }
    return made;
}

template <class Write>
std::string to_pem(Write write) {
    const std::unique_ptr<BIO, freer> out(BIO_new(BIO_s_mem()));
    write(out.get());
    char* data = nullptr;
    const auto size = BIO_get_mem_data(out.get(), &data);
    return {data, static_cast<std::size_t>(size)};
}

} // namespace

test_certificates make_certificates(const char* authority) {
    const key_ptr ca_key(EVP_EC_gen("P-256"));
    const key_ptr key(EVP_EC_gen("P-256"));
    const key_ptr client_key(EVP_EC_gen("P-256"));
    const auto ca = make(authority, 1, ca_key.get(), nullptr, ca_key.get());
    const auto leaf = make("127.0.0.1", 2, key.get(), ca.get(), ca_key.get());
    const auto client = make("firstlight test client", 3, client_key.get(), ca.get(), ca_key.get());
    const auto certificate = [](X509* x) {
        return to_pem([x](BIO* out) { PEM_write_bio_X509(out, x); });
    };
    const auto secret = [](EVP_PKEY* k) {
        return to_pem([k](BIO* out) {
            PEM_write_bio_PrivateKey(out, k, nullptr, nullptr, 0, nullptr, nullptr);
        });
    };
    test_certificates made;
    made.ca = certificate(ca.get());
    made.certificate = certificate(leaf.get());
    made.private_key = secret(key.get());
    made.client_certificate = certificate(client.get());
    made.client_key = secret(client_key.get());
    return made;
}

} // namespace firstlight::test
