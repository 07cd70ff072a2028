#pragma once

#include "app/toml_document.h"

#include <cstdint>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace firstlight {

/// What is said about one configuration file while it is read.
class config_findings {
public:
    explicit config_findings(std::string file)
      : file_(std::move(file)) {}

    /// Ends the reading. Thrown through config_section's callers only, and turned
    /// into a fault by parse_config().
    struct error : std::runtime_error {
        using std::runtime_error::runtime_error;
    };
    [[noreturn]] void fail(unsigned line, const std::string& key, const std::string& why) const;
    void warn(unsigned line, const std::string& key, const std::string& why);

    /// The warnings in the order of their lines.
    std::vector<std::string> warnings() const;

private:
    struct warning {
        unsigned line;
        std::string text;
    };
    std::string place(unsigned line, const std::string& key) const;

    std::string file_;
    std::vector<warning> warnings_;
};

/// One table of the file, read key by key. Each reader returns nothing for a key
/// that is absent, and fails for one of another type or out of range. What nobody
/// has asked for when the section is left is unknown, and warned about.
class config_section {
public:
    config_section(const toml_table& table, std::string path, config_findings& findings);
    ~config_section();
    config_section(const config_section&) = delete;
    config_section& operator=(const config_section&) = delete;

    std::optional<bool> boolean(std::string_view key);
    std::optional<std::int64_t> integer(std::string_view key, std::int64_t min, std::int64_t max);
    std::optional<std::string> text(std::string_view key);
    std::vector<std::string> texts(std::string_view key);
    /// The same, where a single string will do as well.
    std::vector<std::string> text_or_texts(std::string_view key);
    /// An empty table if absent.
    const toml_table& table(std::string_view key);
    const toml_node* any(std::string_view key);

    // Accepted, but of no effect here: warned about unless the value asks for what
    // is the case anyway. `why` ends the sentence "accepted, no effect: ".
    void no_effect_flag(std::string_view key, bool usual, std::string_view why);
    void no_effect_number(std::string_view key, std::int64_t usual, std::string_view why);
    void no_effect_text(std::string_view key, std::string_view usual, std::string_view why);

    void warn(std::string_view key, const std::string& why);
    [[noreturn]] void fail(std::string_view key, const std::string& why) const;
    std::string full_name(std::string_view key) const;
    config_findings& findings() const noexcept { return findings_; }

private:
    template <class T>
    const T* typed(std::string_view key, std::string_view expected);
    template <class T>
    void no_effect_unless(
      std::string_view key, const T& usual, std::string_view expected, std::string_view why);
    const toml_node* find(std::string_view key) const;

    const toml_table& table_;
    std::string path_;
    config_findings& findings_;
    std::set<std::string, std::less<>> known_;
};

} // namespace firstlight
