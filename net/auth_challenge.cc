#include "net/auth_challenge.h"

#include <algorithm>
#include <optional>

namespace firstlight {

namespace {

// token of RFC 9110, section 5.6.2
bool is_token(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

std::string lower(std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    return out;
}

class scanner {
public:
    explicit scanner(std::string_view text)
      : left_(text) {}

    bool done() const noexcept { return left_.empty(); }
    void skip(std::string_view what) noexcept {
        left_.remove_prefix(std::min(left_.find_first_not_of(what), left_.size()));
    }
    std::string_view token() noexcept {
        const auto end = std::find_if_not(left_.begin(), left_.end(), is_token);
        const auto found = left_.substr(0, static_cast<std::size_t>(end - left_.begin()));
        left_.remove_prefix(found.size());
        return found;
    }
    bool take(char c) noexcept {
        if (left_.empty() || left_.front() != c) {
            return false;
        }
        left_.remove_prefix(1);
        return true;
    }
    // A quoted string or, as some servers send, bare text up to the next comma.
    std::optional<std::string> value() {
        if (!take('"')) {
            const auto bare = left_.substr(0, left_.find_first_of(", \t"));
            left_.remove_prefix(bare.size());
            return std::string(bare);
        }
        std::string out;
        while (!left_.empty() && left_.front() != '"') {
            if (left_.front() == '\\' && left_.size() > 1) {
                left_.remove_prefix(1);
            }
            out += left_.front();
            left_.remove_prefix(1);
        }
        if (!take('"')) {
            return std::nullopt;
        }
        return out;
    }
    std::string_view left() const noexcept { return left_; }

private:
    std::string_view left_;
};

void assign(auth_challenge& c, const std::string& name, std::string value) {
    if (name == "realm") {
        c.realm = std::move(value);
    } else if (name == "service") {
        c.service = std::move(value);
    } else if (name == "scope") {
        c.scope = std::move(value);
    } else if (name == "error") {
        c.error = std::move(value);
    }
}

// Reads `name=value, …` until a token that begins the next challenge. False if
// the text makes no sense.
bool read_parameters(scanner& in, auth_challenge& into) {
    while (true) {
        in.skip(" \t,");
        auto ahead = in;
        const auto name = ahead.token();
        ahead.skip(" \t");
        if (name.empty() || !ahead.take('=')) {
            return in.done() || !name.empty();
        }
        ahead.skip(" \t");
        auto value = ahead.value();
        if (!value) {
            return false;
        }
        assign(into, lower(name), std::move(*value));
        in = ahead;
    }
}

} // namespace

std::vector<auth_challenge> parse_www_authenticate(std::string_view text) {
    std::vector<auth_challenge> found;
    scanner in(text);
    while (true) {
        in.skip(" \t,");
        const auto scheme = lower(in.token());
        if (scheme.empty()) {
            return found;
        }
        auth_challenge challenge;
        challenge.scheme =
          scheme == "bearer" ? auth_challenge::kind::bearer : auth_challenge::kind::basic;
        const bool sound = read_parameters(in, challenge);
        if (sound && (scheme == "bearer" || scheme == "basic")) {
            found.push_back(std::move(challenge));
        }
        if (!sound) {
            return found;
        }
    }
}

} // namespace firstlight
