#include "fs/filter_syntax.h"

#include <array>
#include <stdexcept>

namespace firstlight {

namespace {

struct syntax_error : std::runtime_error {
    using runtime_error::runtime_error;
};

constexpr char32_t end_of_input = 0xFFFFFFFF;

bool is_field(char32_t c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

bool is_operator(char32_t c) {
    return c == '=' || c == '!' || c == '~';
}

bool is_quote(char32_t c) {
    return c == '/' || c == '|' || c == '"';
}

// Unicode's White_Space property.
bool is_space(char32_t c) {
    return (c >= '\t' && c <= '\r') || c == ' ' || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

struct range {
    char32_t first, last;
};

// What is not "graphic" above U+009F: formatting characters and private use. (Go
// also leaves out what its Unicode version has not assigned.)
constexpr std::array<range, 11> not_graphic{{
  {0x00AD, 0x00AD},
  {0x0600, 0x0605},
  {0x061C, 0x061C},
  {0x06DD, 0x06DD},
  {0x070F, 0x070F},
  {0x200B, 0x200F},
  {0x202A, 0x202E},
  {0x2060, 0x206F},
  {0xE000, 0xF8FF},
  {0xFEFF, 0xFEFF},
  {0xFFF9, 0xFFFB},
}};

bool is_value(char32_t c) {
    if (c == end_of_input || c == ',' || is_space(c) || c < 0x20 || (c >= 0x7F && c < 0xA0)) {
        return false;
    }
    for (const auto& r : not_graphic) {
        if (c >= r.first && c <= r.last) {
            return false;
        }
    }
    return true;
}

void append_utf8(std::string& to, char32_t c) {
    if (c >= 0xD800 && c <= 0xDFFF) {
        c = 0xFFFD; // a surrogate is no character
    }
    if (c < 0x80) {
        to += static_cast<char>(c);
    } else if (c < 0x800) {
        to += static_cast<char>(0xC0 | c >> 6);
        to += static_cast<char>(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        to += static_cast<char>(0xE0 | c >> 12);
        to += static_cast<char>(0x80 | (c >> 6 & 0x3F));
        to += static_cast<char>(0x80 | (c & 0x3F));
    } else {
        to += static_cast<char>(0xF0 | c >> 18);
        to += static_cast<char>(0x80 | (c >> 12 & 0x3F));
        to += static_cast<char>(0x80 | (c >> 6 & 0x3F));
        to += static_cast<char>(0x80 | (c & 0x3F));
    }
}

// One filter, read character by character.
class reader {
public:
    explicit reader(std::string_view input)
      : input_(input) {}

    std::vector<filter_selector> all_selectors();

private:
    [[noreturn]] void fail(std::size_t at, std::string_view why) const;
    char32_t peek() const;
    char32_t take();
    void skip_space();

    filter_selector one_selector();
    std::vector<std::string> path();
    std::string field();
    filter_operator operation();
    std::string value(filter_operator op);
    std::string quoted();
    void escape(std::string& to, char32_t quote);
    std::uint32_t number(unsigned base, unsigned digits);

    std::string_view input_;
    std::size_t at_ = 0;           // of the next character
    mutable std::size_t next_ = 0; // set by peek(): the one after
};

void reader::fail(std::size_t at, std::string_view why) const {
    std::string text = "filter [";
    text += input_.substr(0, at);
    text += " >|";
    text += input_.substr(at, 1);
    text += "|< ";
    text += at < input_.size() ? input_.substr(at + 1) : "";
    text += "]: ";
    text += why;
    throw syntax_error(text);
}

char32_t reader::peek() const {
    if (at_ >= input_.size()) {
        next_ = at_;
        return end_of_input;
    }
    const auto byte = [this](std::size_t i) {
        return i < input_.size() ? static_cast<unsigned char>(input_[i]) : 0U;
    };
    const auto first = byte(at_);
    if (first == 0) {
        fail(at_, "unexpected null");
    }
    if (first < 0x80) {
        next_ = at_ + 1;
        return first;
    }
    const unsigned length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    char32_t c = first & (0x7FU >> length);
    for (unsigned i = 1; i < length; ++i) {
        if ((byte(at_ + i) & 0xC0) != 0x80) {
            fail(at_, "not UTF-8");
        }
        c = c << 6 | (byte(at_ + i) & 0x3F);
    }
    constexpr std::array<char32_t, 5> least{0, 0, 0x80, 0x800, 0x10000};
    const bool surrogate = c >= 0xD800 && c <= 0xDFFF;
    if (
      first < 0xC0 || first > 0xF4 || c < least[length] || c > 0x10FFFF || surrogate ||
      c == 0xFFFD) {
        fail(at_, "not UTF-8");
    }
    next_ = at_ + length;
    return c;
}

char32_t reader::take() {
    const auto c = peek();
    at_ = next_;
    return c;
}

void reader::skip_space() {
    while (is_space(peek())) {
        take();
    }
}

std::vector<filter_selector> reader::all_selectors() {
    std::vector<filter_selector> all;
    while (true) {
        all.push_back(one_selector());
        const auto c = peek();
        if (c == end_of_input) {
            return all;
        }
        if (c != ',') {
            fail(at_, "unexpected input");
        }
        take();
    }
}

filter_selector reader::one_selector() {
    filter_selector s;
    s.path = path();
    const auto c = peek();
    if (c == ',' || c == end_of_input) {
        return s;
    }
    s.op = operation();
    s.value = value(s.op);
    return s;
}

std::vector<std::string> reader::path() {
    std::vector<std::string> parts{field()};
    while (peek() == '.') {
        take();
        parts.push_back(field());
    }
    return parts;
}

std::string reader::field() {
    skip_space();
    const auto from = at_;
    const auto c = peek();
    if (c == '"') {
        return quoted();
    }
    if (!is_field(c)) {
        fail(from, "expected a field or a quoted string");
    }
    while (is_field(peek())) {
        take();
    }
    return std::string(input_.substr(from, at_ - from));
}

filter_operator reader::operation() {
    skip_space();
    const auto from = at_;
    while (is_operator(peek())) {
        take();
    }
    const auto text = input_.substr(from, at_ - from);
    if (text == "==") {
        return filter_operator::equal;
    }
    if (text == "!=") {
        return filter_operator::not_equal;
    }
    if (text == "~=") {
        return filter_operator::matches;
    }
    fail(from, "expected an operator (==, != or ~=)");
}

std::string reader::value(filter_operator op) {
    skip_space();
    const auto from = at_;
    const auto c = peek();
    if (is_quote(c)) {
        if (c != '"' && op != filter_operator::matches) {
            fail(from, "only a regular expression may be quoted like this");
        }
        return quoted();
    }
    // A value begins with anything but what has a meaning of its own.
    if (c == end_of_input || c == ',' || c == '.' || is_operator(c)) {
        fail(from, "expected a value or a quoted string");
    }
    take();
    while (is_value(peek())) {
        take();
    }
    return std::string(input_.substr(from, at_ - from));
}

// Go's interpreted string literals, with any of the three quotes.
std::string reader::quoted() {
    const auto from = at_;
    const auto quote = take();
    std::string text;
    while (true) {
        const auto before = at_;
        const auto c = take();
        if (c == end_of_input || c == '\n') {
            fail(from, "quoted string does not end");
        }
        if (c == quote) {
            return text;
        }
        if (c == '\\') {
            escape(text, quote);
        } else {
            text += input_.substr(before, at_ - before);
        }
    }
}

void reader::escape(std::string& to, char32_t quote) {
    constexpr std::string_view letters = "abfnrtv\\";
    constexpr std::string_view meanings = "\a\b\f\n\r\t\v\\";
    const auto from = at_;
    const auto c = take();
    if (c < 0x80) {
        if (const auto i = letters.find(static_cast<char>(c)); i != letters.npos) {
            to += meanings[i];
            return;
        }
    }
    if (c == quote) {
        to += static_cast<char>(c);
    } else if (c == 'x') {
        to += static_cast<char>(number(16, 2)); // a byte, not a character
    } else if (c == 'u' || c == 'U') {
        const auto code = number(16, c == 'u' ? 4 : 8);
        if (code > 0x10FFFF) {
            fail(from, "no such character");
        }
        append_utf8(to, code);
    } else if (c >= '0' && c <= '7') {
        at_ = from;
        const auto byte = number(8, 3);
        if (byte > 0xFF) {
            fail(from, "octal escape above a byte");
        }
        to += static_cast<char>(byte);
    } else {
        fail(from, "illegal escape");
    }
}

std::uint32_t reader::number(unsigned base, unsigned digits) {
    std::uint32_t n = 0;
    for (unsigned i = 0; i < digits; ++i) {
        const auto c = peek();
        unsigned digit = base;
        if (c >= '0' && c <= '9') {
            digit = c - '0';
        } else if (c >= 'a' && c <= 'f') {
            digit = c - 'a' + 10;
        } else if (c >= 'A' && c <= 'F') {
            digit = c - 'A' + 10;
        }
        if (digit >= base) {
            fail(at_, "illegal digit in an escape");
        }
        take();
        n = n * base + digit;
    }
    return n;
}

} // namespace

result<std::vector<filter_selector>> parse_filter(std::string_view text) {
    if (text.empty()) {
        return std::vector<filter_selector>();
    }
    try {
        return reader(text).all_selectors();
    } catch (const syntax_error& e) {
        return fault(errc::invalid_argument, e.what());
    }
}

} // namespace firstlight
