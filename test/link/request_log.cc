#include "test/link/request_log.h"

#include <algorithm>
#include <cctype>
#include <charconv>

namespace firstlight::link {

namespace {

constexpr std::size_t longest_head = std::size_t{64} * 1024;

bool is_named(std::string_view line, std::string_view name) {
    if (line.size() <= name.size() || line[name.size()] != ':') {
        return false;
    }
    const auto same = [](unsigned char a, unsigned char b) {
        return std::tolower(a) == std::tolower(b);
    };
    return std::equal(name.begin(), name.end(), line.begin(), same);
}

std::string_view value_of(std::string_view line) {
    line.remove_prefix(std::min(line.find(':') + 1, line.size()));
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    return line;
}

struct parsed_head {
    request_line request;
    std::size_t body = 0;
    bool chunked = false;
};

parsed_head parse(std::string_view head) {
    parsed_head parsed;
    const auto first = head.substr(0, head.find("\r\n"));
    const auto space = first.find(' ');
    parsed.request.method = first.substr(0, space);
    if (space != std::string_view::npos) {
        const auto rest = first.substr(space + 1);
        parsed.request.target = rest.substr(0, rest.find(' '));
    }
    for (auto at = first.size() + 2; at < head.size();) {
        const auto end = std::min(head.find("\r\n", at), head.size());
        const auto line = head.substr(at, end - at);
        if (is_named(line, "range")) {
            parsed.request.range = value_of(line);
        } else if (is_named(line, "content-length")) {
            const auto digits = value_of(line);
            std::from_chars(digits.data(), digits.data() + digits.size(), parsed.body);
        } else if (is_named(line, "transfer-encoding")) {
            parsed.chunked = true;
        }
        at = end + 2;
    }
    return parsed;
}

} // namespace

std::vector<request_line> request_scanner::feed(std::string_view bytes) {
    std::vector<request_line> found;
    while (!bytes.empty() && !lost_) {
        if (body_left_ > 0) {
            const auto skipped = std::min(body_left_, bytes.size());
            body_left_ -= skipped;
            bytes.remove_prefix(skipped);
            continue;
        }
        const auto before = head_.size();
        head_.append(bytes);
        const auto end = head_.find("\r\n\r\n", before < 3 ? 0 : before - 3);
        if (end == std::string::npos) {
            lost_ = head_.size() > longest_head;
            break;
        }
        bytes.remove_prefix(end + 4 - before);
        auto parsed = parse(std::string_view(head_).substr(0, end));
        head_.clear();
        body_left_ = parsed.body;
        lost_ = parsed.chunked;
        found.push_back(std::move(parsed.request));
    }
    return found;
}

} // namespace firstlight::link
