#include "actors/digest.h"

#include <openssl/evp.h>

#include <stdexcept>

namespace firstlight {

namespace {

constexpr std::string_view prefix = "sha256:";

int nibble(char c) noexcept {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return -1;
}

void check(int ok) {
    if (ok != 1) {
        throw std::runtime_error("OpenSSL refuses SHA-256");
    }
}

} // namespace

result<digest> digest::parse(std::string_view text) {
    const auto refuse = [&] {
        return fault(errc::invalid_argument, "not a sha256 digest: " + std::string(text));
    };
    if (!text.starts_with(prefix) || text.size() != prefix.size() + 2 * size) {
        return refuse();
    }
    text.remove_prefix(prefix.size());
    digest parsed;
    for (std::size_t i = 0; i < size; ++i) {
        const int high = nibble(text[2 * i]);
        const int low = nibble(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return refuse();
        }
        parsed.raw_[i] = static_cast<std::byte>(high << 4 | low);
    }
    return parsed;
}

digest digest::of(std::span<const std::byte> data) {
    hasher h;
    h.update(data);
    return h.finish();
}

std::string digest::to_string() const {
    return std::string(prefix) + hex();
}

std::string digest::hex() const {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text;
    text.reserve(2 * size);
    for (const auto b : raw_) {
        text += digits[std::to_integer<unsigned>(b) >> 4];
        text += digits[std::to_integer<unsigned>(b) & 15];
    }
    return text;
}

struct hasher::context {
    EVP_MD_CTX* evp = EVP_MD_CTX_new();
    context() { begin(); }
    ~context() { EVP_MD_CTX_free(evp); }
    context(const context&) = delete;
    context& operator=(const context&) = delete;
    void begin() const { check(EVP_DigestInit_ex(evp, EVP_sha256(), nullptr)); }
};

hasher::hasher()
  : context_(std::make_unique<context>()) {
}
hasher::~hasher() = default;
hasher::hasher(hasher&&) noexcept = default;
hasher& hasher::operator=(hasher&&) noexcept = default;

void hasher::update(std::span<const std::byte> data) {
    check(EVP_DigestUpdate(context_->evp, data.data(), data.size()));
}

digest hasher::finish() {
    std::array<std::byte, digest::size> raw;
    check(EVP_DigestFinal_ex(context_->evp, reinterpret_cast<unsigned char*>(raw.data()), nullptr));
    context_->begin();
    return digest(raw);
}

} // namespace firstlight
