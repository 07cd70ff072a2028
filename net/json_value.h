#pragma once

#include "actors/result.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace firstlight {

/// A JSON document (RFC 8259) as a tree. Immutable. What is asked of a value that it is not
/// is answered as if it were empty, so that a path through the tree needs no checks on the
/// way.
class json_value {
public:
    struct member;

    json_value() = default; // null
    /// invalid_argument, without the text, if it is none, nested deeper than 64 levels, or of
    /// more than a million values, which bounds the tree's memory.
    static result<json_value> parse(std::string_view text);

    bool is_null() const noexcept { return is_ == kind::null; }
    bool is_object() const noexcept { return is_ == kind::object; }
    bool is_array() const noexcept { return is_ == kind::array; }

    /// Of an object; the first of this name, null if there is none.
    const json_value& operator[](std::string_view name) const noexcept;
    const std::vector<member>& members() const noexcept { return members_; }
    const std::vector<json_value>& items() const noexcept { return items_; }
    const std::string& text() const noexcept { return text_; }
    std::optional<double> number() const noexcept;

private:
    enum class kind { null, other, number, text, array, object };
    class builder;

    kind is_ = kind::null;
    double number_ = 0;
    std::string text_;
    std::vector<json_value> items_;
    std::vector<member> members_;
};

struct json_value::member {
    std::string name;
    json_value value;
};

} // namespace firstlight
