#include "net/url.h"

#include <algorithm>
#include <charconv>

namespace firstlight {

namespace {

constexpr std::uint16_t http_port = 80;
constexpr std::uint16_t https_port = 443;
constexpr std::size_t longest_host = 255; // RFC 1035, section 2.3.4
constexpr std::size_t longest_url = 16384;

bool alphanumeric(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool hexadecimal(char c) noexcept {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool printable(char c) noexcept {
    return c > 0x20 && c < 0x7f;
}

char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::optional<std::uint16_t> parse_port(std::string_view text) noexcept {
    unsigned port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc() || end != text.data() + text.size() || port == 0 || port > 65535) {
        return std::nullopt;
    }
    return static_cast<std::uint16_t>(port);
}

fault refuse(std::string_view why) {
    // Not the text: it may carry a signature.
    return {errc::invalid_argument, "not a usable URL: " + std::string(why)};
}

bool is_ipv6(std::string_view text) noexcept {
    const auto allowed = [](char c) { return hexadecimal(c) || c == ':' || c == '.'; };
    return std::all_of(text.begin(), text.end(), allowed) && text.find(':') != text.npos;
}

bool is_name(std::string_view text) noexcept {
    const auto allowed = [](char c) { return alphanumeric(c) || c == '.' || c == '-' || c == '_'; };
    return !text.empty() && std::all_of(text.begin(), text.end(), allowed);
}

// Cuts "https://" or "http://" off; nothing if there is neither.
std::optional<bool> take_scheme(std::string_view& text) {
    const auto colon = text.find("://");
    if (colon == text.npos || colon > 5) {
        return std::nullopt;
    }
    std::string scheme(text.substr(0, colon));
    std::transform(scheme.begin(), scheme.end(), scheme.begin(), lower);
    if (scheme != "http" && scheme != "https") {
        return std::nullopt;
    }
    text.remove_prefix(colon + 3);
    return scheme == "https";
}

} // namespace

std::optional<host_parts> split_host(std::string_view text) {
    if (text.empty() || text.size() > longest_host) {
        return std::nullopt;
    }
    host_parts parts;
    std::string_view port;
    if (text.front() == '[') {
        const auto close = text.find(']');
        if (close == text.npos || !is_ipv6(text.substr(1, close - 1))) {
            return std::nullopt;
        }
        parts.name = text.substr(1, close - 1);
        port = text.substr(close + 1);
    } else {
        const auto colon = std::min(text.find(':'), text.size());
        if (!is_name(text.substr(0, colon))) {
            return std::nullopt;
        }
        parts.name = text.substr(0, colon);
        port = text.substr(colon);
    }
    if (!port.empty()) {
        const auto number = port.front() == ':' ? parse_port(port.substr(1)) : std::nullopt;
        if (!number) {
            return std::nullopt;
        }
        parts.port = *number;
    }
    std::transform(parts.name.begin(), parts.name.end(), parts.name.begin(), lower);
    return parts;
}

bool is_loopback(std::string_view name) noexcept {
    return name == "localhost" || name == "127.0.0.1" || name == "::1";
}

result<url> url::make(bool tls, std::string_view host, std::string target) {
    auto parts = split_host(host);
    if (!parts) {
        return refuse("bad host");
    }
    if (!std::all_of(target.begin(), target.end(), printable) || target.size() > longest_url) {
        return refuse("bad path");
    }
    url made;
    made.tls_ = tls;
    made.name_ = std::move(parts->name);
    made.port_ = parts->port;
    if (made.port_ == 0) {
        made.port_ = tls ? https_port : http_port;
    }
    made.target_ = std::move(target);
    return made;
}

result<url> url::parse(std::string_view text) {
    const auto tls = take_scheme(text);
    if (!tls) {
        return refuse("neither http nor https");
    }
    text = text.substr(0, text.find('#'));
    const auto slash = std::min(text.find_first_of("/?"), text.size());
    std::string target;
    if (slash == text.size() || text[slash] != '/') {
        target += '/';
    }
    target.append(text.substr(slash));
    // User information has an '@', which no host may contain.
    return make(*tls, text.substr(0, slash), std::move(target));
}

result<url> url::resolve(std::string_view reference) const {
    if (auto absolute = reference; take_scheme(absolute)) {
        return parse(reference);
    }
    if (reference.starts_with("//")) {
        return parse(std::string(tls_ ? "https:" : "http:").append(reference));
    }
    std::string target;
    if (!reference.starts_with('/')) {
        const auto path = std::string_view(target_).substr(0, target_.find('?'));
        target.append(path.substr(0, path.rfind('/') + 1));
    }
    target.append(reference.substr(0, reference.find('#')));
    url made(*this);
    if (!std::all_of(target.begin(), target.end(), printable) || target.size() > longest_url) {
        return refuse("bad path");
    }
    made.target_ = std::move(target);
    return made;
}

url url::in_plain() const {
    url made(*this);
    made.tls_ = false;
    return made;
}

std::string url::authority() const {
    const bool v6 = name_.find(':') != name_.npos;
    std::string text(v6 ? "[" : "");
    text.append(name_).append(v6 ? "]" : "");
    if (port_ != (tls_ ? https_port : http_port)) {
        text.append(":").append(std::to_string(port_));
    }
    return text;
}

std::string url::origin() const {
    return (tls_ ? "https://" : "http://") + authority();
}

std::string url::without_query() const {
    return origin() + target_.substr(0, target_.find('?'));
}

std::string_view url::parameter(std::string_view name) const noexcept {
    std::string_view query(target_);
    query.remove_prefix(std::min(query.find('?'), query.size()));
    while (!query.empty()) {
        query.remove_prefix(1); // '?' or '&'
        const auto pair = query.substr(0, query.find('&'));
        query.remove_prefix(pair.size());
        if (pair.size() > name.size() && pair.starts_with(name) && pair[name.size()] == '=') {
            return pair.substr(name.size() + 1);
        }
    }
    return {};
}

std::string percent_encoded(std::string_view text) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        if (alphanumeric(c) || c == '-' || c == '.' || c == '_' || c == '~') {
            out += c;
        } else {
            const auto u = static_cast<unsigned char>(c);
            out += '%';
            out += digits[u >> 4];
            out += digits[u & 15];
        }
    }
    return out;
}

} // namespace firstlight
