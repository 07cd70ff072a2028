#pragma once
// What the cache's tests share: a cache on a scratch directory, and content to put in it.

#include "cache/chunk_cache.h"
#include "test/rig.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <functional>
#include <thread>

namespace firstlight::test {

class scratch_directory {
public:
    scratch_directory() {
        auto name = (std::filesystem::temp_directory_path() / "firstlight-cache-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path_ = name;
    }
    ~scratch_directory() { std::filesystem::remove_all(path_); }
    scratch_directory(const scratch_directory&) = delete;
    scratch_directory& operator=(const scratch_directory&) = delete;
    const std::filesystem::path& path() const noexcept { return path_; }

private:
    std::filesystem::path path_;
};

/// The `n`th content of `size` bytes: never compressible, never equal to another.
inline buffer content_of(std::uint64_t n, std::size_t size) {
    buffer b(size);
    std::uint64_t x = n * 0x9e3779b97f4a7c15ULL + size;
    for (std::size_t i = 0; i < size; i += sizeof x) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        std::memcpy(b.data() + i, &x, std::min(sizeof x, size - i));
    }
    return b;
}

inline chunk_key key_of(std::uint64_t n, std::size_t size) {
    return chunk_key(digest::of(content_of(n, size).span()), size);
}

/// Reads all of it, as a reader that may block does.
inline std::vector<std::byte> read_all(const chunk& c) {
    std::vector<std::byte> out(c.size());
    const auto read = c.read_blocking(0, out);
    REQUIRE(read.has_value());
    return out;
}

inline bool holds(const chunk& c, std::uint64_t n) {
    const auto want = content_of(n, c.size());
    const auto got = read_all(c);
    return std::equal(got.begin(), got.end(), want.span().begin(), want.span().end());
}

inline void eventually(const char* what, const std::function<bool()>& true_now) {
    for (int i = 0; i < 5000; ++i) {
        if (true_now()) {
            return;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    FAIL("never: " << what);
}

/// Bytes that the files below a directory occupy, packs only.
inline std::uint64_t pack_bytes_below(const std::filesystem::path& dir) {
    std::uint64_t sum = 0;
    for (const auto& e : std::filesystem::recursive_directory_iterator(dir)) {
        struct stat st{};
        if (e.path().extension() == ".pack" && ::stat(e.path().c_str(), &st) == 0) {
            sum += static_cast<std::uint64_t>(st.st_blocks) * 512;
        }
    }
    return sum;
}

inline runtime::options loose(unsigned shards) {
    runtime::options o;
    o.shards = shards;
    o.pin = false;
    o.cpu_threads = 2;
    return o;
}

/// A running cache; restart by destroying it and making another on the directory.
class running_cache {
public:
    explicit running_cache(chunk_cache_options o, unsigned shards = 2)
      : rt(loose(shards))
      , numbers(shards)
      , cache(rt, numbers, std::move(o)) {
        rt.start();
        started = run(cache.start());
    }
    ~running_cache() { stop(); }
    void stop() {
        if (!stopped_) {
            stopped_ = true;
            start(rt.at(0), cache.stop()).get();
        }
    }

    template <class T>
    T run(task<T> t, unsigned shard = 0) {
        return start(rt.at(shard), std::move(t)).get();
    }
    std::vector<lookup_answer>
    ask(std::vector<chunk_key> keys, lane l = lane::demand, unsigned shard = 0) {
        auto answers = run(cache.lookup(std::move(keys), l), shard);
        REQUIRE(answers.has_value());
        return std::move(*answers);
    }
    lookup_answer ask(const chunk_key& key, lane l = lane::demand, unsigned shard = 0) {
        return std::move(ask(std::vector<chunk_key>{key}, l, shard)[0]);
    }
    std::future<result<chunk_handle>>
    wait(const chunk_key& key, deadline until = deadline::never(), lane l = lane::demand) {
        return start(rt.at(0), cache.wait(key, l, until));
    }
    chunk_handle here(const chunk_key& key, unsigned shard = 0) {
        return run(look_here(cache, key), shard);
    }
    /// Brings the `n`th content if it is missing; false if it was there.
    bool bring(std::uint64_t n, std::size_t size, lane l = lane::demand) {
        auto answer = ask(key_of(n, size), l);
        if (answer.what() != lookup_answer::kind::mine) {
            return false;
        }
        REQUIRE(cache.fulfil(answer.take_ticket(), content_of(n, size)).has_value());
        return true;
    }
    void settle() {
        eventually("everything is stored", [this] {
            return cache.usage().flights == 0 && cache.usage().memory_bytes == 0;
        });
    }
    std::uint64_t count(const char* name, metric_labels labels = {}) const {
        return numbers.counted(std::string("firstlight_cache_") + name, labels);
    }

    runtime rt;
    metrics numbers;
    chunk_cache cache;
    result<void> started;

private:
    static task<chunk_handle> look_here(chunk_cache& cache, chunk_key key) {
        co_return cache.find_here(key);
    }
    bool stopped_ = false;
};

inline chunk_cache_options in(const scratch_directory& dir) {
    chunk_cache_options o;
    o.directory = dir.path();
    o.store_retry = std::chrono::milliseconds(20);
    return o;
}

} // namespace firstlight::test
