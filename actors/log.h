#pragma once
// Structured log lines: JSON objects on stderr with `time`, `level`, `msg` and
// the line's own fields. Written by a thread of its own, so that a slow reader of
// stderr never holds up a shard; when its queue is full the oldest lines go.
//
// Any thread. Never log credentials or query strings of signed URLs.

#include <fmt/format.h>

#include <initializer_list>
#include <string>
#include <string_view>

namespace firstlight::log {

enum class level { trace, debug, info, warn, error };

/// One key and its value; text is quoted and escaped, numbers and booleans are not.
class field {
public:
    field(std::string_view key, std::string_view text);
    field(std::string_view key, const char* text)
      : field(key, std::string_view(text)) {}
    field(std::string_view key, const std::string& text)
      : field(key, std::string_view(text)) {}
    template <class Number>
        requires std::is_arithmetic_v<Number>
    field(std::string_view key, Number n)
      : key_(key)
      , json_(fmt::format("{}", n)) {}

    std::string_view key() const noexcept { return key_; }
    std::string_view json() const noexcept { return json_; }

private:
    std::string_view key_; // a literal
    std::string json_;
};
using fields = std::initializer_list<field>;

/// Lines below `least` are dropped. Before start() lines go to stderr directly.
void start(level least);
/// Flushes and ends the writing thread.
void stop();

void write(level l, std::string_view msg, fields f);
bool enabled(level l) noexcept;

inline void debug(std::string_view msg, fields f = {}) {
    if (enabled(level::debug)) {
        write(level::debug, msg, f);
    }
}
inline void info(std::string_view msg, fields f = {}) {
    write(level::info, msg, f);
}
inline void warn(std::string_view msg, fields f = {}) {
    write(level::warn, msg, f);
}
inline void error(std::string_view msg, fields f = {}) {
    write(level::error, msg, f);
}

} // namespace firstlight::log
