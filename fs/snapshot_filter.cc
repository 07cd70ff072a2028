#include "fs/snapshot_filter.h"

#include "actors/log.h"
#include "fs/filter_syntax.h"

#include <re2/re2.h>

#include <optional>
#include <string_view>

namespace firstlight {

struct snapshot_filter::condition {
    filter_selector selector;
    std::unique_ptr<const re2::RE2> pattern; // for `matches`; may be !ok()
};

namespace {

constexpr std::size_t input_limit = 64 << 10; // bytes of all filters of a request

std::string_view name_of(snapshot_kind kind) {
    switch (kind) {
    case snapshot_kind::view:
        return "view";
    case snapshot_kind::active:
        return "active";
    case snapshot_kind::committed:
        break;
    }
    return "committed";
}

std::string join(const std::vector<std::string>& path, std::size_t from) {
    std::string joined;
    for (std::size_t i = from; i < path.size(); ++i) {
        if (i > from) {
            joined += '.';
        }
        joined += path[i];
    }
    return joined;
}

// The field's text, or nothing when the snapshot has no such field.
std::optional<std::string_view>
field_of(const snapshot_info& info, const std::vector<std::string>& path) {
    if (path[0] == "name") {
        return info.name;
    }
    if (path[0] == "parent") {
        return info.parent;
    }
    if (path[0] == "kind") {
        return name_of(info.kind);
    }
    if (path[0] == "labels") {
        if (const auto found = info.labels.find(join(path, 1)); found != info.labels.end()) {
            return found->second;
        }
    }
    return std::nullopt;
}

// RE2's time and memory are bounded whatever the expression.
std::unique_ptr<const re2::RE2> compile(const std::string& expression) {
    re2::RE2::Options quiet;
    quiet.set_log_errors(false);
    auto pattern = std::make_unique<const re2::RE2>(expression, quiet);
    if (!pattern->ok()) {
        log::warn(
          "a filter's regular expression does not compile and matches nothing",
          {{"expression", expression}, {"reason", pattern->error()}});
    }
    return pattern;
}

bool holds(const snapshot_filter::condition& c, const snapshot_info& info) {
    const auto field = field_of(info, c.selector.path);
    const auto text = field.value_or("");
    switch (c.selector.op) {
    case filter_operator::present:
        return field.has_value();
    case filter_operator::equal:
        return field && text == c.selector.value;
    case filter_operator::not_equal:
        return text != c.selector.value;
    case filter_operator::matches:
        break;
    }
    return c.pattern->ok() && re2::RE2::PartialMatch({text.data(), text.size()}, *c.pattern);
}

} // namespace

result<snapshot_filter> snapshot_filter::parse(const std::vector<std::string>& filters) {
    snapshot_filter parsed;
    std::size_t length = 0;
    for (const auto& text : filters) {
        length += text.size();
        if (length > input_limit) {
            return fault(errc::invalid_argument, "filters are longer than 64 KiB together");
        }
        auto selectors = parse_filter(text);
        if (!selectors) {
            return selectors.error();
        }
        all_of all;
        for (auto& selector : *selectors) {
            auto c = std::make_shared<condition>();
            c->selector = std::move(selector);
            if (c->selector.op == filter_operator::matches) {
                c->pattern = compile(c->selector.value);
            }
            all.push_back(std::move(c));
        }
        parsed.any_of_.push_back(std::move(all));
    }
    return parsed;
}

bool snapshot_filter::matches(const snapshot_info& info) const {
    if (any_of_.empty()) {
        return true;
    }
    for (const auto& all : any_of_) {
        bool every = true;
        for (const auto& c : all) {
            every = every && holds(*c, info);
        }
        if (every) {
            return true;
        }
    }
    return false;
}

} // namespace firstlight
