#pragma once

#include "actors/result.h"
#include "net/registry_config.h"

#include <compare>
#include <string>
#include <utility>
#include <vector>

namespace firstlight {

/// What a TLS context is made of: PEM texts, and the files they come from, for messages. A
/// value; equal ones make equal contexts. Never logged: it holds private keys.
class tls_material {
public:
    struct pem {
        std::string file;
        std::string text;
        friend auto operator<=>(const pem&, const pem&) = default;
    };
    struct client {
        pem certificate; // with those that vouch for it
        pem key;
        friend auto operator<=>(const client&, const client&) = default;
    };

    /// The system's authorities alone.
    tls_material() = default;
    tls_material(
      std::vector<pem> authorities, bool in_place_of_the_system, std::vector<client> clients,
      bool skip_verify)
      : authorities_(std::move(authorities))
      , clients_(std::move(clients))
      , in_place_of_the_system_(in_place_of_the_system)
      , skip_verify_(skip_verify) {}
    /// Blocks. not_found, io_error, invalid_argument (of more than 1 MiB), naming the file.
    static result<tls_material> read(const tls_files& from);

    const std::vector<pem>& authorities() const noexcept { return authorities_; }
    bool in_place_of_the_system() const noexcept { return in_place_of_the_system_; }
    const std::vector<client>& clients() const noexcept { return clients_; }
    bool skip_verify() const noexcept { return skip_verify_; }
    /// The same trust, but we present nothing.
    tls_material anonymous() const;

    friend auto operator<=>(const tls_material&, const tls_material&) = default;

private:
    std::vector<pem> authorities_;
    std::vector<client> clients_;
    bool in_place_of_the_system_ = false;
    bool skip_verify_ = false;
};

} // namespace firstlight
