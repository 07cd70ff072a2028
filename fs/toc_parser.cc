#include "fs/toc_parser.h"

#include "actors/buffer.h"
#include "fs/toc_stream.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>

#include <rapidjson/error/en.h>
#include <rapidjson/reader.h>

namespace firstlight {

namespace {

/// How deep the JSON may nest. The format needs four levels.
constexpr int max_nesting = 32;
/// A TOC up to this long, some 30,000 files', is inflated whole and parsed in place,
/// in half the time; what is longer is parsed as it comes.
constexpr std::uint64_t held_whole = 16 << 20;

// RapidJSON's input stream over a toc_stream. A failure looks like the end of
// the input to the parser; `failure` tells.
class json_source {
public:
    using Ch = char;

    json_source(toc_stream& from, std::uint32_t max_token_bytes)
      : from_(from)
      , max_token_bytes_(max_token_bytes) {}

    Ch Peek() { return at_ != end_ || refill() ? *at_ : '\0'; }
    Ch Take() { return at_ != end_ || refill() ? *at_++ : '\0'; }
    std::size_t Tell() const { return consumed_ - static_cast<std::size_t>(end_ - at_); }
    // Only for parsing in place.
    Ch* PutBegin() { return nullptr; }
    void Put(Ch) {}
    std::size_t PutEnd(Ch*) { return 0; }

    /// A token ended here: the next one's length counts from now.
    void mark() { marked_ = Tell(); }
    /// Whether the input was read to its end, without a failure.
    bool exhausted() { return at_ == end_ && !refill() && !failure; }

    std::optional<fault> failure;

private:
    bool refill() {
        if (failure) {
            return false;
        }
        // RapidJSON gathers a whole string in memory before it tells us of it.
        if (consumed_ - marked_ > max_token_bytes_) {
            failure = fault(errc::unsupported, "a JSON token of the TOC is too long");
            return false;
        }
        auto piece = from_.next();
        if (!piece) {
            failure = piece.error();
            return false;
        }
        const auto text = as_text(*piece);
        at_ = text.data();
        end_ = at_ + text.size();
        consumed_ += text.size();
        return !text.empty();
    }

    toc_stream& from_;
    std::uint32_t max_token_bytes_;
    const char* at_ = nullptr;
    const char* end_ = nullptr;
    std::size_t consumed_ = 0;
    std::size_t marked_ = 0;
};

enum class field {
    unknown,
    name,
    type,
    link_name,
    modtime,
    digest,
    chunk_digest,
    xattrs,
    // from here on: integers
    size,
    mode,
    uid,
    gid,
    device_major,
    device_minor,
    offset,
    inner_offset,
    chunk_offset,
    chunk_size,
};

constexpr std::pair<std::string_view, field> field_names[] = {
  {"name", field::name},
  {"type", field::type},
  {"linkName", field::link_name},
  {"modtime", field::modtime},
  {"digest", field::digest},
  {"chunkDigest", field::chunk_digest},
  {"xattrs", field::xattrs},
  {"size", field::size},
  {"mode", field::mode},
  {"uid", field::uid},
  {"gid", field::gid},
  {"devMajor", field::device_major},
  {"devMinor", field::device_minor},
  {"offset", field::offset},
  {"innerOffset", field::inner_offset},
  {"chunkOffset", field::chunk_offset},
  {"chunkSize", field::chunk_size},
};

constexpr std::pair<std::string_view, toc_entry::kind> kind_names[] = {
  {"reg", toc_entry::kind::regular},     {"dir", toc_entry::kind::directory},
  {"symlink", toc_entry::kind::symlink}, {"hardlink", toc_entry::kind::hardlink},
  {"chunk", toc_entry::kind::chunk},     {"char", toc_entry::kind::character},
  {"block", toc_entry::kind::block},     {"fifo", toc_entry::kind::fifo},
};

template <class T, std::size_t N>
T value_of(
  const std::pair<std::string_view, T> (&table)[N], std::string_view key, T otherwise) noexcept {
    for (const auto& [name, value] : table) {
        // The first letter tells most apart, at less than what a comparison costs.
        if (name.size() == key.size() && name[0] == key[0] && name == key) {
            return value;
        }
    }
    return otherwise;
}

int base64_digit(char c) noexcept {
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

// RFC 4648, section 4, with padding.
std::optional<std::string> from_base64(std::string_view text) {
    if (text.size() % 4 != 0) {
        return std::nullopt;
    }
    for (int i = 0; i < 2 && text.ends_with('='); ++i) {
        text.remove_suffix(1);
    }
    std::string decoded;
    decoded.reserve(text.size() / 4 * 3 + 2);
    std::uint32_t bits = 0;
    int held = 0;
    for (const char c : text) {
        const int digit = base64_digit(c);
        if (digit < 0) {
            return std::nullopt;
        }
        bits = bits << 6 | static_cast<std::uint32_t>(digit);
        held += 6;
        if (held >= 8) {
            held -= 8;
            decoded += static_cast<char>(bits >> held & 0xff);
        }
    }
    return text.size() % 4 == 1 ? std::nullopt : std::optional(std::move(decoded));
}

/// RapidJSON's handler: where in the document we are, and the entry in the making.
class toc_handler {
public:
    /// `source`: whom to tell that a token ended; nobody, if all is in memory anyway.
    toc_handler(json_source* source, const toc_limits& limits, const toc_entry_sink& sink)
      : source_(source)
      , limits_(limits)
      , sink_(sink) {}

    std::optional<fault> failure;
    bool saw_entries = false;

    bool Null() {
        token_ended();
        // Go writes null for an empty list and for an empty byte string.
        if (place_ == place::xattrs && skipping_ == 0) {
            return add_xattr("");
        }
        if (place_ == place::top && field_is_entries_) {
            saw_entries = true;
        }
        return (place_ != place::outside && place_ != place::entries) || other("null");
    }
    bool Bool(bool) { return other("a truth value"); }
    bool Double(double) { return other("a fraction or a number out of range"); }
    bool RawNumber(const char*, rapidjson::SizeType, bool) { return other("a number"); }
    bool Int(int v) { return integer(v); }
    bool Uint(unsigned v) { return integer(v); }
    bool Int64(std::int64_t v) { return integer(v); }
    bool Uint64(std::uint64_t v) {
        return v <= std::numeric_limits<std::int64_t>::max() ? integer(static_cast<std::int64_t>(v))
                                                             : other("a number out of range");
    }

    bool String(const char* data, rapidjson::SizeType size, bool) {
        token_ended();
        if (skipping_ > 0) {
            return true;
        }
        const std::string_view text(data, size);
        switch (place_) {
        case place::entry:
            return text_field(text);
        case place::xattrs:
            return add_xattr(text);
        default:
            return other("text");
        }
    }

    bool Key(const char* data, rapidjson::SizeType size, bool) {
        token_ended();
        if (skipping_ > 0) {
            return true;
        }
        const std::string_view key(data, size);
        if (place_ == place::top) {
            field_is_entries_ = key == "entries";
            field_is_version_ = key == "version";
        } else if (place_ == place::entry) {
            field_ = value_of(field_names, key, field::unknown);
        } else {
            xattr_name_ = key;
        }
        return true;
    }

    bool StartObject() {
        token_ended();
        if (skipping_ > 0 || is_unknown_value()) {
            return skip_deeper();
        }
        if (place_ == place::outside) {
            place_ = place::top;
            return true;
        }
        if (place_ == place::entries) {
            entry_.clear();
            place_ = place::entry;
            return ++count_ <= limits_.max_entries || too_many();
        }
        if (place_ == place::entry && field_ == field::xattrs) {
            place_ = place::xattrs;
            return true;
        }
        return other("an object");
    }

    bool EndObject(rapidjson::SizeType) {
        token_ended();
        if (skipping_ > 0) {
            --skipping_;
            return true;
        }
        if (place_ == place::xattrs) {
            place_ = place::entry;
            return true;
        }
        if (place_ == place::entry) {
            place_ = place::entries;
            return deliver();
        }
        place_ = place::outside;
        return true;
    }

    bool StartArray() {
        token_ended();
        if (skipping_ == 0 && place_ == place::top && field_is_entries_) {
            if (saw_entries) {
                return refuse("has two lists of entries");
            }
            saw_entries = true;
            place_ = place::entries;
            return true;
        }
        if (skipping_ > 0 || is_unknown_value()) {
            return skip_deeper();
        }
        return other("a list");
    }

    bool EndArray(rapidjson::SizeType) {
        token_ended();
        if (skipping_ > 0) {
            --skipping_;
        } else {
            place_ = place::top;
            field_is_entries_ = false;
        }
        return true;
    }

private:
    enum class place { outside, top, entries, entry, xattrs };

    void token_ended() {
        if (source_) {
            source_->mark();
        }
    }
    bool refuse(std::string_view why, errc code = errc::corrupt) {
        std::string context = "layer's TOC ";
        if (place_ == place::entry || place_ == place::xattrs) {
            context += "entry " + std::to_string(count_ - 1) + " (" + printable(entry_.name) + ") ";
        }
        failure = fault(code, context + std::string(why));
        return false;
    }
    bool too_many() {
        return refuse(
          "has more than " + std::to_string(limits_.max_entries) + " entries", errc::unsupported);
    }

    bool is_unknown_value() const {
        return (place_ == place::top && !field_is_entries_ && !field_is_version_) ||
               (place_ == place::entry && field_ == field::unknown);
    }
    bool skip_deeper() { return ++skipping_ <= max_nesting || refuse("nests too deep"); }

    // A value of a type that none of our fields has.
    bool other(std::string_view what) {
        token_ended();
        if (skipping_ > 0 || is_unknown_value()) {
            return true;
        }
        return refuse("has " + std::string(what) + " where it must not be");
    }

    bool integer(std::int64_t value) {
        token_ended();
        if (skipping_ > 0) {
            return true;
        }
        if (place_ == place::top && field_is_version_) {
            return value == 1 ||
                   refuse("has version " + std::to_string(value) + ", not 1", errc::unsupported);
        }
        auto* const target = place_ == place::entry ? integer_field() : nullptr;
        if (target == nullptr) {
            return other("a number");
        }
        *target = value;
        return true;
    }

    std::int64_t* integer_field() {
        switch (field_) {
        case field::size:
            return &entry_.size;
        case field::mode:
            return &entry_.mode;
        case field::uid:
            return &entry_.uid;
        case field::gid:
            return &entry_.gid;
        case field::device_major:
            return &entry_.device_major;
        case field::device_minor:
            return &entry_.device_minor;
        case field::offset:
            return &entry_.offset;
        case field::inner_offset:
            return &entry_.inner_offset;
        case field::chunk_offset:
            return &entry_.chunk_offset;
        case field::chunk_size:
            return &entry_.chunk_size;
        default:
            return nullptr;
        }
    }

    bool text_field(std::string_view text) {
        switch (field_) {
        case field::unknown:
            return true;
        case field::name:
            entry_.name = text;
            return text.size() <= limits_.max_path_bytes || refuse("has too long a name");
        case field::link_name:
            entry_.link_name = text;
            return text.size() <= limits_.max_path_bytes || refuse("has too long a link");
        case field::type:
            entry_.type = value_of(kind_names, text, toc_entry::kind::none);
            return entry_.type != toc_entry::kind::none ||
                   refuse("has unknown type " + printable(text), errc::unsupported);
        case field::modtime:
            return modification_time(text);
        case field::digest:
            return digest_field(text, entry_.file_digest);
        case field::chunk_digest:
            return digest_field(text, entry_.chunk_digest);
        default:
            return other("text");
        }
    }

    bool modification_time(std::string_view text) {
        const auto seconds = text.empty() ? std::optional<std::int64_t>(0) : parse_rfc3339(text);
        if (!seconds) {
            return refuse("has no RFC 3339 time: " + printable(text));
        }
        // Go's zero time, year 1, means that nothing is known.
        constexpr std::int64_t go_zero = -62135596800;
        entry_.mtime = *seconds == go_zero ? 0 : *seconds;
        return true;
    }

    bool digest_field(std::string_view text, std::optional<digest>& target) {
        target.reset();
        if (text.empty()) {
            return true;
        }
        if (text != digest_text_) { // of a file of one chunk both digests are the same
            auto parsed = digest::parse(text);
            if (!parsed) {
                return refuse("has no sha256 digest: " + printable(text));
            }
            digest_text_ = text;
            digest_ = *parsed;
        }
        target = digest_;
        return true;
    }

    bool add_xattr(std::string_view encoded) {
        auto value = from_base64(encoded);
        if (!value) {
            return refuse("has an xattr that is no base64: " + printable(xattr_name_));
        }
        entry_.xattrs.emplace_back(xattr_name_, std::move(*value));
        return true;
    }

    bool deliver() {
        auto taken = sink_(entry_);
        if (!taken) {
            failure = taken.error().in("layer's TOC entry " + std::to_string(count_ - 1));
            return false;
        }
        return true;
    }

    json_source* source_;
    const toc_limits& limits_;
    const toc_entry_sink& sink_;
    place place_ = place::outside;
    field field_ = field::unknown;
    bool field_is_entries_ = false;
    bool field_is_version_ = false;
    int skipping_ = 0; // depth inside of a value that we do not know
    std::uint32_t count_ = 0;
    toc_entry entry_;
    std::string xattr_name_;
    std::string digest_text_; // the last one, and what it is
    digest digest_;
};

// Iterative: the depth of the input must not be the depth of our stack.
template <unsigned flags, class Stream>
result<void> run(Stream& json, toc_handler& handler) {
    rapidjson::Reader reader;
    const auto parsed = reader.Parse < flags | rapidjson::kParseIterativeFlag > (json, handler);
    if (handler.failure) {
        return *handler.failure;
    }
    if (parsed.IsError()) {
        return fault(
          errc::corrupt, "layer's TOC is no JSON at byte " + std::to_string(parsed.Offset()) +
                           ": " + rapidjson::GetParseError_En(parsed.Code()));
    }
    if (!handler.saw_entries) {
        return fault(errc::corrupt, "layer's TOC has no entries field");
    }
    return {};
}

fault goes_on() { // a NUL ends RapidJSON's input
    return {errc::corrupt, "layer's TOC goes on after its JSON"};
}

result<void>
parse_as_it_comes(toc_stream& stream, const toc_limits& limits, const toc_entry_sink& sink) {
    json_source source(stream, limits.max_token_bytes);
    toc_handler handler(&source, limits, sink);
    auto parsed = run<rapidjson::kParseDefaultFlags>(source, handler);
    const bool at_end = !parsed || source.exhausted();
    if (source.failure) {
        return *source.failure;
    }
    return at_end ? parsed : goes_on();
}

result<void>
parse_in_place(std::span<char> json, const toc_limits& limits, const toc_entry_sink& sink) {
    rapidjson::InsituStringStream source(json.data());
    toc_handler handler(nullptr, limits, sink);
    auto parsed = run<rapidjson::kParseInsituFlag>(source, handler);
    return !parsed || source.Tell() == json.size() ? parsed : goes_on();
}

result<void> check(const digest& actual, const std::optional<digest>& expected) {
    if (expected && *expected != actual) {
        return fault(
          errc::corrupt,
          "layer's TOC is " + actual.to_string() + ", but the image says " + expected->to_string());
    }
    return {};
}

result<digest> parse_short(
  toc_text& text, const toc_input& input, const toc_limits& limits, const toc_entry_sink& sink) {
    const auto json = text.json(limits.max_json_bytes);
    if (!json) {
        return json.error();
    }
    const auto actual = digest::of(std::as_bytes(*json));
    if (auto checked = check(actual, input.expected); !checked) {
        return checked.error();
    }
    if (auto parsed = parse_in_place(*json, limits, sink); !parsed) {
        return parsed.error();
    }
    return actual;
}

result<digest>
parse_long(const toc_input& input, const toc_limits& limits, const toc_entry_sink& sink) {
    toc_stream stream(input.member, limits.max_json_bytes);
    if (auto begun = stream.begin(); !begun) {
        return begun.error();
    }
    if (auto parsed = parse_as_it_comes(stream, limits, sink); !parsed) {
        return parsed.error();
    }
    const auto actual = stream.finish();
    if (auto checked = check(actual, input.expected); !checked) {
        return checked.error();
    }
    return actual;
}

} // namespace

void toc_entry::clear() {
    type = kind::none;
    name.clear();
    link_name.clear();
    size = mtime = mode = uid = gid = device_major = device_minor = 0;
    offset = inner_offset = chunk_offset = chunk_size = 0;
    file_digest.reset();
    chunk_digest.reset();
    xattrs.clear();
}

result<digest>
parse_toc(const toc_input& input, const toc_limits& limits, const toc_entry_sink& sink) {
    if (auto text = toc_text::inflate(input.member, held_whole)) {
        return parse_short(*text, input, limits, sink);
    }
    return parse_long(input, limits, sink);
}

std::string printable(std::string_view text) {
    constexpr std::size_t longest = 120;
    std::string shown;
    for (const char c : text.substr(0, longest)) {
        shown += c >= ' ' && c <= '~' ? c : '?';
    }
    if (text.size() > longest) {
        shown += "...";
    }
    return shown;
}

namespace {

// Takes `digits` digits from the front of `text`; -1 if they are not there.
int take_number(std::string_view& text, std::size_t digits) {
    if (text.size() < digits) {
        return -1;
    }
    int value = 0;
    for (const char c : text.substr(0, digits)) {
        if (c < '0' || c > '9') {
            return -1;
        }
        value = value * 10 + (c - '0');
    }
    text.remove_prefix(digits);
    return value;
}

bool take_char(std::string_view& text, std::string_view one_of) {
    if (text.empty() || one_of.find(text.front()) == std::string_view::npos) {
        return false;
    }
    text.remove_prefix(1);
    return true;
}

// "Z" or "+hh:mm", as seconds east of Greenwich.
std::optional<std::int64_t> take_zone(std::string_view text) {
    if (text == "Z" || text == "z") {
        return 0;
    }
    const bool west = text.starts_with('-');
    if (!take_char(text, "+-")) {
        return std::nullopt;
    }
    const int hours = take_number(text, 2);
    const bool colon = take_char(text, ":");
    const int minutes = take_number(text, 2);
    if (!colon || hours < 0 || hours > 23 || minutes < 0 || minutes > 59 || !text.empty()) {
        return std::nullopt;
    }
    const std::int64_t east = hours * 3600 + minutes * 60;
    return west ? -east : east;
}

} // namespace

std::optional<std::int64_t> parse_rfc3339(std::string_view text) {
    namespace chrono = std::chrono;
    const int year = take_number(text, 4);
    const bool dash1 = take_char(text, "-");
    const int month = take_number(text, 2);
    const bool dash2 = take_char(text, "-");
    const int day = take_number(text, 2);
    const bool middle = take_char(text, "Tt ");
    const int hour = take_number(text, 2);
    const bool colon1 = take_char(text, ":");
    const int minute = take_number(text, 2);
    const bool colon2 = take_char(text, ":");
    const int second = take_number(text, 2);
    if (take_char(text, ".")) {
        while (take_char(text, "0123456789")) {
        }
    }
    const auto east = take_zone(text);
    const bool shaped = dash1 && dash2 && middle && colon1 && colon2 && east;
    if (
      !shaped || year < 0 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 ||
      second > 60) {
        return std::nullopt;
    }
    const chrono::year_month_day date(
      chrono::year(year), chrono::month(static_cast<unsigned>(month)),
      chrono::day(static_cast<unsigned>(day)));
    if (month < 0 || day < 0 || !date.ok()) {
        return std::nullopt;
    }
    const std::int64_t days = chrono::sys_days(date).time_since_epoch().count();
    const std::int64_t minutes = hour * 60 + minute;
    return days * 86400 + minutes * 60 + second - *east;
}

} // namespace firstlight
