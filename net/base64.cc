#include "net/base64.h"

#include <cstdint>

namespace firstlight {

namespace {

constexpr std::string_view alphabet =
  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view blank = " \t\r\n";

std::string_view trimmed(std::string_view text) noexcept {
    const auto begin = text.find_first_not_of(blank);
    if (begin == text.npos) {
        return {};
    }
    text = text.substr(begin, text.find_last_not_of(blank) - begin + 1);
    for (int i = 0; i < 2 && text.ends_with('='); ++i) {
        text.remove_suffix(1);
    }
    return text;
}

} // namespace

std::string base64_encoded(std::string_view plain) {
    std::string out;
    std::uint32_t bits = 0;
    unsigned held = 0;
    for (const char c : plain) {
        bits = bits << 8 | static_cast<unsigned char>(c);
        for (held += 8; held >= 6; held -= 6) {
            out += alphabet[bits >> (held - 6) & 63];
        }
    }
    if (held > 0) {
        out += alphabet[bits << (6 - held) & 63];
    }
    out.append((4 - out.size() % 4) % 4, '=');
    return out;
}

std::optional<std::string> base64_decoded(std::string_view text) {
    text = trimmed(text);
    if (text.size() % 4 == 1) {
        return std::nullopt;
    }
    std::string out;
    std::uint32_t bits = 0;
    unsigned held = 0;
    for (const char c : text) {
        const auto value = alphabet.find(c);
        if (value == alphabet.npos) {
            return std::nullopt;
        }
        bits = bits << 6 | static_cast<std::uint32_t>(value);
        held += 6;
        if (held >= 8) {
            held -= 8;
            out += static_cast<char>(bits >> held & 255);
        }
    }
    return out;
}

} // namespace firstlight
