#include "net/range_query.h"

#include "net/content_range.h"

#include <algorithm>

namespace firstlight {

namespace {

fault corrupt(std::string why) {
    return {errc::corrupt, std::move(why)};
}

std::string text_of(byte_range r) {
    return std::to_string(r.begin()) + "-" + std::to_string(r.end() - 1);
}

} // namespace

range_query range_query::bytes(byte_range wanted, std::uint64_t max_skip) {
    return {kind::bytes, wanted, max_skip};
}

range_query range_query::suffix(std::uint64_t n, std::uint64_t max_skip) {
    return {kind::suffix, byte_range(0, n), max_skip};
}

range_query range_query::size() {
    return {kind::size, byte_range(0, 1), 0};
}

std::string range_query::header() const {
    if (kind_ == kind::suffix) {
        return "bytes=-" + std::to_string(wanted_.size());
    }
    return "bytes=" + text_of(wanted_);
}

std::string range_query::to_string() const {
    switch (kind_) {
    case kind::suffix:
        return "last " + std::to_string(wanted_.size()) + " bytes";
    case kind::size:
        return "size";
    case kind::bytes:
        break;
    }
    return "bytes " + text_of(wanted_);
}

bool range_query::answers(unsigned status) const noexcept {
    const bool no_suffix = status == 400 || status == 405 || status == 501;
    return status == 200 || status == 206 || status == 416 || (kind_ == kind::suffix && no_suffix);
}

result<body_plan> range_query::judge(const http_head& head) const {
    const auto encoding = head.find("content-encoding");
    if (!encoding.empty() && encoding != "identity" && head.status() < 300) {
        return corrupt("encoded (" + std::string(encoding) + ") though identity was asked for");
    }
    switch (head.status()) {
    case 206:
        return judge_part(head);
    case 200:
        return judge_whole(head);
    default:
        return judge_refusal(head);
    }
}

result<body_plan> range_query::judge_part(const http_head& head) const {
    const std::string text(head.find("content-range"));
    const auto parsed = parse_content_range(text);
    if (!parsed || !parsed->range) {
        return corrupt("206 with Content-Range \"" + text + "\"");
    }
    const auto& got = *parsed->range;
    if (head.length() && *head.length() != got.size()) {
        return corrupt(
          "206 with Content-Range \"" + text + "\" and Content-Length " +
          std::to_string(*head.length()));
    }
    body_plan plan{got.begin(), 0, got.size(), parsed->size};
    if (kind_ == kind::suffix) {
        if (!parsed->size) {
            return fault(errc::unsupported, "suffix range answered without the blob's size");
        }
        const auto most = std::min(wanted_.size(), *parsed->size);
        if (got.end() != *parsed->size || got.size() > most) {
            return corrupt("suffix range answered with \"" + text + "\"");
        }
        return plan;
    }
    if (got.begin() != wanted_.begin() || got.end() > wanted_.end()) {
        return corrupt("answered with Content-Range \"" + text + "\"");
    }
    if (parsed->size && wanted_.end() > *parsed->size) {
        return corrupt("the blob has " + std::to_string(*parsed->size) + " bytes only");
    }
    if (kind_ == kind::size && !parsed->size) {
        return fault(errc::unsupported, "range answered without the blob's size");
    }
    return plan;
}

result<body_plan> range_query::suffix_of(std::uint64_t size) const {
    const auto length = std::min(wanted_.size(), size);
    body_plan plan{size - length, size - length, length, size};
    if (plan.skip > max_skip_) {
        plan.skip = plan.length = 0; // the size is known now: a range will do better
    }
    return plan;
}

result<body_plan> range_query::judge_whole(const http_head& head) const {
    const auto size = head.length();
    if (kind_ != kind::bytes && !size) {
        return fault(errc::unsupported, "whole blob sent, and its size not told");
    }
    if (kind_ == kind::size) {
        return body_plan{0, 0, 0, size};
    }
    if (kind_ == kind::suffix) {
        return suffix_of(*size);
    }
    if (size && wanted_.end() > *size) {
        return corrupt("the blob has " + std::to_string(*size) + " bytes only");
    }
    if (wanted_.begin() > max_skip_) {
        return fault(errc::unsupported, "server ignores Range");
    }
    return body_plan{wanted_.begin(), wanted_.begin(), wanted_.size(), size};
}

result<body_plan> range_query::judge_refusal(const http_head& head) const {
    const auto parsed = parse_content_range(head.find("content-range"));
    const bool tells_size = head.status() == 416 && parsed && parsed->size && !parsed->range;
    if (kind_ == kind::bytes) {
        const auto size = tells_size ? std::to_string(*parsed->size) : "an unknown number of";
        return corrupt("range beyond the blob's end: it has " + size + " bytes");
    }
    if (!tells_size) {
        return fault(
          errc::unsupported, to_string() + " answered with " + std::to_string(head.status()));
    }
    return body_plan{*parsed->size, 0, 0, parsed->size};
}

} // namespace firstlight
