#pragma once
// One HTTP exchange as the rest of net/ sees it, free of Beast.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace firstlight {

using http_fields = std::vector<std::pair<std::string, std::string>>;

/// Names of fields are compared without case.
bool same_name(std::string_view a, std::string_view b) noexcept;

class http_request {
public:
    enum class method { get, post };

    explicit http_request(std::string target, method m = method::get)
      : target_(std::move(target))
      , method_(m) {}

    void add(std::string name, std::string value) {
        fields_.emplace_back(std::move(name), std::move(value));
    }
    bool has(std::string_view name) const noexcept;
    void set_body(std::string body) { body_ = std::move(body); }

    method verb() const noexcept { return method_; }
    const std::string& target() const noexcept { return target_; }
    const http_fields& fields() const noexcept { return fields_; }
    const std::string& body() const noexcept { return body_; }

private:
    std::string target_;
    method method_;
    http_fields fields_;
    std::string body_;
};

/// The head of a response: status and header fields.
class http_head {
public:
    // For result<>, which default-constructs.
    http_head() = default;
    http_head(unsigned status, http_fields fields, std::optional<std::uint64_t> length)
      : status_(status)
      , fields_(std::move(fields))
      , length_(length) {}

    unsigned status() const noexcept { return status_; }
    /// The first field of this name, compared without case; empty if there is none.
    std::string_view find(std::string_view name) const noexcept;
    /// All fields of this name joined with ", ".
    std::string join(std::string_view name) const;
    /// Content-Length, where there is one.
    std::optional<std::uint64_t> length() const noexcept { return length_; }
    bool redirects() const noexcept;

private:
    unsigned status_ = 0;
    http_fields fields_;
    std::optional<std::uint64_t> length_;
};

} // namespace firstlight
