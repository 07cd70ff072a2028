#include "net/json_value.h"

#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>

#include <utility>

namespace firstlight {

namespace {

// So that neither parsing nor destroying a tree needs much of a stack.
constexpr std::size_t deepest = 64;
constexpr std::size_t most_values = 1'000'000;

} // namespace

class json_value::builder : public rapidjson::BaseReaderHandler<rapidjson::UTF8<>, builder> {
public:
    json_value take() && { return std::move(root_); }

    bool Null() { return add(json_value()); }
    bool Bool(bool) { return add(of(kind::other)); }
    bool Int(int n) { return Double(n); }
    bool Uint(unsigned n) { return Double(n); }
    bool Int64(std::int64_t n) { return Double(static_cast<double>(n)); }
    bool Uint64(std::uint64_t n) { return Double(static_cast<double>(n)); }
    bool Double(double n) {
        auto v = of(kind::number);
        v.number_ = n;
        return add(std::move(v));
    }
    bool String(const char* text, rapidjson::SizeType size, bool) {
        auto v = of(kind::text);
        v.text_.assign(text, size);
        return add(std::move(v));
    }
    bool Key(const char* text, rapidjson::SizeType size, bool) {
        open_.back().name.assign(text, size);
        return true;
    }
    bool StartObject() { return begin(kind::object); }
    bool StartArray() { return begin(kind::array); }
    bool EndObject(rapidjson::SizeType) { return end(); }
    bool EndArray(rapidjson::SizeType) { return end(); }

private:
    static json_value of(kind k) {
        json_value v;
        v.is_ = k;
        return v;
    }
    bool add(json_value v) {
        if (++values_ > most_values) {
            return false;
        }
        if (open_.empty()) {
            root_ = std::move(v);
            return true;
        }
        auto& [name, parent] = open_.back();
        if (parent.is_ == kind::object) {
            parent.members_.push_back({std::exchange(name, {}), std::move(v)});
        } else {
            parent.items_.push_back(std::move(v));
        }
        return true;
    }
    bool begin(kind k) {
        open_.push_back({{}, of(k)});
        return open_.size() <= deepest;
    }
    bool end() {
        auto done = std::move(open_.back().value);
        open_.pop_back();
        return add(std::move(done));
    }

    std::size_t values_ = 0;
    json_value root_;
    std::vector<member> open_; // from the root inwards; name: of what comes next in it
};

result<json_value> json_value::parse(std::string_view text) {
    rapidjson::MemoryStream in(text.data(), text.size());
    rapidjson::Reader reader;
    builder into;
    if (reader.Parse<rapidjson::kParseIterativeFlag>(in, into).IsError()) {
        return fault(errc::invalid_argument, "not JSON");
    }
    return std::move(into).take();
}

const json_value& json_value::operator[](std::string_view name) const noexcept {
    static const json_value none;
    for (const auto& each : members_) {
        if (each.name == name) {
            return each.value;
        }
    }
    return none;
}

std::optional<double> json_value::number() const noexcept {
    return is_ == kind::number ? std::optional(number_) : std::nullopt;
}

} // namespace firstlight
