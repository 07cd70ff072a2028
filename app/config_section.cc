#include "app/config_section.h"

#include <algorithm>
#include <exception>

namespace firstlight {

std::string config_findings::place(unsigned line, const std::string& key) const {
    return file_ + ":" + std::to_string(line) + ": " + key + ": ";
}

void config_findings::fail(unsigned line, const std::string& key, const std::string& why) const {
    throw error(place(line, key) + why);
}

void config_findings::warn(unsigned line, const std::string& key, const std::string& why) {
    warnings_.push_back(warning{line, place(line, key) + why});
}

std::vector<std::string> config_findings::warnings() const {
    auto sorted = warnings_;
    std::ranges::stable_sort(sorted, {}, &warning::line);
    std::vector<std::string> texts;
    for (auto& w : sorted) {
        texts.push_back(std::move(w.text));
    }
    return texts;
}

config_section::config_section(const toml_table& table, std::string path, config_findings& findings)
  : table_(table)
  , path_(std::move(path))
  , findings_(findings) {
}

config_section::~config_section() {
    if (std::uncaught_exceptions() > 0) {
        return; // an error ends the reading; what was not asked for yet is not unknown
    }
    for (const auto& entry : table_) {
        if (!known_.contains(entry.key)) {
            findings_.warn(
              entry.node.line, full_name(entry.key), "unknown key, ignored; see docs/config.md");
        }
    }
}

std::string config_section::full_name(std::string_view key) const {
    const bool bare = std::ranges::all_of(
      key, [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '-'; });
    const auto name = bare && !key.empty() ? std::string(key) : '"' + std::string(key) + '"';
    return path_.empty() ? name : path_ + "." + name;
}

const toml_node* config_section::find(std::string_view key) const {
    const auto at = std::ranges::find(table_, key, &toml_entry::key);
    return at == table_.end() ? nullptr : &at->node;
}

const toml_node* config_section::any(std::string_view key) {
    known_.emplace(key);
    return find(key);
}

void config_section::fail(std::string_view key, const std::string& why) const {
    const auto* node = find(key);
    findings_.fail(node ? node->line : 0, full_name(key), why);
}

void config_section::warn(std::string_view key, const std::string& why) {
    const auto* node = find(key);
    findings_.warn(node ? node->line : 0, full_name(key), why);
}

template <class T>
const T* config_section::typed(std::string_view key, std::string_view expected) {
    const auto* node = any(key);
    if (!node) {
        return nullptr;
    }
    const auto* value = std::get_if<T>(&node->value);
    if (!value) {
        fail(key, "expected " + std::string(expected) + ", found " + std::string(node->kind()));
    }
    return value;
}

std::optional<bool> config_section::boolean(std::string_view key) {
    const auto* value = typed<bool>(key, "true or false");
    return value ? std::optional(*value) : std::nullopt;
}

std::optional<std::int64_t>
config_section::integer(std::string_view key, std::int64_t min, std::int64_t max) {
    const auto* value = typed<std::int64_t>(key, "an integer");
    if (!value) {
        return std::nullopt;
    }
    if (*value < min || *value > max) {
        fail(
          key, "expected an integer from " + std::to_string(min) + " to " + std::to_string(max) +
                 ", found " + std::to_string(*value));
    }
    return *value;
}

std::optional<std::string> config_section::text(std::string_view key) {
    const auto* value = typed<std::string>(key, "a string");
    return value ? std::optional(*value) : std::nullopt;
}

std::vector<std::string> config_section::texts(std::string_view key) {
    std::vector<std::string> all;
    const auto* value = typed<toml_array>(key, "an array of strings");
    if (!value) {
        return all;
    }
    for (const auto& node : *value) {
        const auto* each = std::get_if<std::string>(&node.value);
        if (!each) {
            fail(key, "expected an array of strings, found " + std::string(node.kind()) + " in it");
        }
        all.push_back(*each);
    }
    return all;
}

std::vector<std::string> config_section::text_or_texts(std::string_view key) {
    const auto* node = any(key);
    const auto* one = node ? std::get_if<std::string>(&node->value) : nullptr;
    return one ? std::vector<std::string>{*one} : texts(key);
}

const toml_table& config_section::table(std::string_view key) {
    static const toml_table none;
    const auto* value = typed<toml_table>(key, "a table");
    return value ? *value : none;
}

template <class T>
void config_section::no_effect_unless(
  std::string_view key, const T& usual, std::string_view expected, std::string_view why) {
    const auto* value = typed<T>(key, expected);
    if (value && *value != usual) {
        warn(key, "accepted, no effect: " + std::string(why));
    }
}

void config_section::no_effect_flag(std::string_view key, bool usual, std::string_view why) {
    no_effect_unless<bool>(key, usual, "true or false", why);
}

void config_section::no_effect_number(
  std::string_view key, std::int64_t usual, std::string_view why) {
    no_effect_unless<std::int64_t>(key, usual, "an integer", why);
}

void config_section::no_effect_text(
  std::string_view key, std::string_view usual, std::string_view why) {
    no_effect_unless<std::string>(key, std::string(usual), "a string", why);
}

} // namespace firstlight
