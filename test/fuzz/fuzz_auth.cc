// What a registry, a token server, a credential helper, an API server, or an operator may
// say about who is who, of anything: an answer, whatever it says, and soon. The first byte
// chooses which of them speaks.

#include "net/auth_challenge.h"
#include "net/auth_documents.h"
#include "net/docker_key.h"
#include "net/kubeconfig.h"
#include "net/kubernetes_documents.h"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace firstlight;

namespace {

void check(bool holds) {
    if (!holds) {
        std::abort();
    }
}

void challenge(std::string_view text) {
    for (const auto& each : parse_www_authenticate(text)) {
        check(each.realm.size() + each.service.size() + each.scope.size() <= text.size());
    }
}

// A token goes into a header as it is.
void token(std::string_view text) {
    const auto answer = parse_token_answer(text);
    if (!answer) {
        return;
    }
    check(!answer->token.empty() && answer->lifetime.count() >= 0);
    for (const char c : answer->token) {
        check(c > 0x20 && c < 0x7f);
    }
}

void config(std::string_view text) {
    const auto parsed = docker_config::parse(text);
    if (!parsed) {
        return;
    }
    for (const auto* host : {"docker.io", "quay.io", "localhost:5000", "a.b.c"}) {
        const credential_query what(host, "team/app");
        (void)parsed->find(what);
        (void)parsed->helper_for(what);
    }
}

void helper(std::string_view text) {
    const auto answer = parse_helper_answer(text);
    check(!answer || !*answer || !(*answer)->secret().empty());
}

void secrets(std::string_view text) {
    if (const auto page = parse_secret_page(text)) {
        check(!page->version.empty());
    }
    if (const auto event = parse_secret_event(text)) {
        const bool told = event->what <= secret_event::kind::bookmark;
        check(told == !event->version.empty());
    }
}

// A key matches itself, where it is a host at all.
void key(std::string_view text) {
    const std::string all(text);
    const bool host = !all.empty() && all.find_first_of("/*") == all.npos;
    check(!host || docker_key_rank(all, credential_query(all)) > 0);
    (void)docker_key_rank(all, credential_query("registry.example.com:5000", "team/app"));
}

// Files that it names would be read, so it may name none.
void kubeconfig(std::string_view text) {
    for (const std::string_view part : {"tokenFile", "client-", "authority"}) {
        if (text.find(part) != text.npos) {
            return;
        }
    }
    (void)read_kubeconfig(text, "/nonexistent");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) {
        return 0;
    }
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    switch (data[0]) {
    case 'W':
        challenge(text);
        break;
    case 'T':
        token(text);
        break;
    case 'D':
        config(text);
        break;
    case 'H':
        helper(text);
        break;
    case 'S':
        secrets(text);
        break;
    case 'P':
        key(text);
        break;
    case 'K':
        kubeconfig(text);
        break;
    default:
        break;
    }
    return 0;
}
