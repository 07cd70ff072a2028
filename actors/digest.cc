#include "actors/digest.h"

#include <openssl/evp.h>

#include <stdexcept>

namespace firstlight {

namespace {

constexpr std::string_view prefix = "sha256:";

// The values of hexadecimal digits; 255 for what is none. A TOC has one for each
// half byte of its digests.
constexpr std::uint8_t no_digit = 255;
constexpr auto nibbles = [] {
    std::array<std::uint8_t, 256> values{};
    values.fill(no_digit);
    for (std::uint8_t i = 0; i < 10; ++i) {
        values['0' + i] = i;
    }
    for (std::uint8_t i = 0; i < 6; ++i) {
        values['a' + i] = 10 + i;
    }
    return values;
}();

std::uint8_t nibble(char c) noexcept {
    return nibbles[static_cast<unsigned char>(c)];
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
    unsigned seen = 0;
    for (std::size_t i = 0; i < size; ++i) {
        const unsigned high = nibble(text[2 * i]);
        const unsigned low = nibble(text[2 * i + 1]);
        seen |= high | low;
        parsed.raw_[i] = static_cast<std::byte>(high << 4 | low);
    }
    if (seen > 15) {
        return refuse();
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
