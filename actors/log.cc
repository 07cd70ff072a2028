#include "actors/log.h"

#include <spdlog/async.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

namespace firstlight::log {

namespace {

constexpr std::size_t queue_length = 8192;

// One per process by nature: stderr is one per process.
std::shared_ptr<spdlog::logger>& logger() {
    static auto instance = [] {
        auto direct = spdlog::stderr_logger_mt("firstlight-direct");
        direct->set_pattern("%v");
        return direct;
    }();
    return instance;
}

spdlog::level::level_enum to_spdlog(level l) {
    switch (l) {
    case level::trace:
        return spdlog::level::trace;
    case level::debug:
        return spdlog::level::debug;
    case level::info:
        return spdlog::level::info;
    case level::warn:
        return spdlog::level::warn;
    case level::error:
        break;
    }
    return spdlog::level::err;
}

std::string_view name_of(level l) {
    switch (l) {
    case level::trace:
        return "trace";
    case level::debug:
        return "debug";
    case level::info:
        return "info";
    case level::warn:
        return "warning";
    case level::error:
        break;
    }
    return "error";
}

// RFC 8259, section 7: control characters, quote and backslash are escaped.
std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        const auto u = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (u < 0x20) {
            out += fmt::format("\\u{:04x}", u);
        } else {
            out += c;
        }
    }
    out += '"';
    return out;
}

std::string now_rfc3339() {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    tm utc{};
    gmtime_r(&now.tv_sec, &utc);
    return fmt::format(
      "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
      utc.tm_hour, utc.tm_min, utc.tm_sec, now.tv_nsec);
}

} // namespace

field::field(std::string_view key, std::string_view text)
  : key_(key)
  , json_(quoted(text)) {
}

void start(level least) {
    spdlog::init_thread_pool(queue_length, 1);
    auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    auto async = std::make_shared<spdlog::async_logger>(
      "firstlight", std::move(sink), spdlog::thread_pool(),
      spdlog::async_overflow_policy::overrun_oldest);
    async->set_pattern("%v");
    async->set_level(to_spdlog(least));
    async->flush_on(spdlog::level::info);
    logger() = std::move(async);
}

void stop() {
    logger()->flush();
    auto direct = spdlog::get("firstlight-direct");
    logger() = direct ? direct : spdlog::default_logger();
    spdlog::shutdown();
}

bool enabled(level l) noexcept {
    return logger()->should_log(to_spdlog(l));
}

void write(level l, std::string_view msg, fields f) {
    if (!enabled(l)) {
        return;
    }
    auto line =
      fmt::format(R"({{"time":"{}","level":"{}","msg":{})", now_rfc3339(), name_of(l), quoted(msg));
    for (const auto& each : f) {
        line += fmt::format(R"(,"{}":{})", each.key(), each.json());
    }
    line += '}';
    logger()->log(to_spdlog(l), line);
}

} // namespace firstlight::log
