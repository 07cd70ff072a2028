#include "cache/partition_disk.h"
#include "test/cache/cache_rig.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

using namespace firstlight;
using namespace firstlight::test;
namespace fs = std::filesystem;
using kind = lookup_answer::kind;

namespace {

constexpr std::size_t sizes[] = {1, 100, 4095, 4096, 4097, 70000, 1 << 20};

std::vector<fs::path> files_named(const fs::path& below, const std::string& end) {
    std::vector<fs::path> found;
    for (const auto& e : fs::recursive_directory_iterator(below)) {
        if (e.path().string().ends_with(end)) {
            found.push_back(e.path());
        }
    }
    return found;
}

void flip_bit(const fs::path& file, std::uint64_t at) {
    std::fstream f(file, std::ios::in | std::ios::out | std::ios::binary);
    f.seekg(static_cast<std::streamoff>(at));
    const auto old = static_cast<char>(f.get());
    f.seekp(static_cast<std::streamoff>(at));
    f.put(static_cast<char>(old ^ 1));
}

// What was counted is what the files occupy, but for a block or two of a file
// system's own (ext4's extent tree) in each.
void check_blocks(std::uint64_t counted, const fs::path& dir) {
    const auto found = pack_bytes_below(dir);
    CHECK(found >= counted);
    CHECK(found <= counted + files_named(dir, ".pack").size() * 2 * 4096);
}

task<bool> use_all(chunk_cache& cache, const std::vector<chunk_key>& keys) {
    for (const auto& key : keys) {
        (void)cache.find_here(key);
    }
    co_return true;
}

// The first `limit` bytes of any file are all that can be written, as on a full disk.
class full_disk {
public:
    explicit full_disk(rlim_t limit) {
        std::signal(SIGXFSZ, SIG_IGN);
        ::getrlimit(RLIMIT_FSIZE, &before_);
        auto now = before_;
        now.rlim_cur = limit;
        REQUIRE(::setrlimit(RLIMIT_FSIZE, &now) == 0);
    }
    ~full_disk() { ::setrlimit(RLIMIT_FSIZE, &before_); }

private:
    rlimit before_{};
};

} // namespace

TEST_CASE("content is readable at once, then from disk, on every shard and of every size") {
    scratch_directory dir;
    running_cache c(in(dir), 3);
    REQUIRE(c.started.has_value());
    for (const auto size : sizes) {
        CHECK(c.bring(7, size));
        const auto at_once = c.ask(key_of(7, size));
        REQUIRE(at_once.what() == kind::hit);
        CHECK(holds(*at_once.handle(), 7));
    }
    c.settle();
    for (const auto size : sizes) {
        for (unsigned shard = 0; shard < 3; ++shard) {
            const auto a = c.ask(key_of(7, size), lane::demand, shard);
            REQUIRE(a.what() == kind::hit);
            REQUIRE(a.handle()->location() != nullptr);
            CHECK(holds(*a.handle(), 7));
            CHECK(c.here(key_of(7, size), shard) == a.handle());
        }
    }
    CHECK(c.count("stored_chunks_total") == std::size(sizes));
    CHECK(c.cache.usage().chunks == std::size(sizes));
}

TEST_CASE("reads stay inside the chunk") {
    scratch_directory dir;
    running_cache c(in(dir));
    CHECK(c.bring(1, 5000));
    CHECK(c.bring(2, 5000));
    c.settle();
    const auto held = c.ask(key_of(1, 5000)).handle();
    std::array<std::byte, 64> out;
    CHECK(held->read_now(5000, out) == 0);
    CHECK(held->read_now(~0ULL, out) == 0);
    CHECK(held->read_blocking(4990, out).error().code() == errc::invalid_argument);
    CHECK(held->read_blocking(~0ULL, out).error().code() == errc::invalid_argument);
    CHECK(held->read_blocking(4936, out).has_value());
    // Just written, so in the page cache; a file system that cannot tell says nothing.
    if (const auto n = held->read_now(4990, out)) {
        CHECK(*n == 10);
        const auto want = content_of(1, 5000);
        CHECK(std::equal(out.begin(), out.begin() + 10, want.data() + 4990));
    }
}

TEST_CASE("files are for their owner alone, and one process at a time") {
    scratch_directory dir;
    running_cache first(in(dir));
    REQUIRE(first.started.has_value());
    CHECK(first.bring(1, 5000));
    first.settle();
    for (const auto& e : fs::recursive_directory_iterator(dir.path() / "chunks")) {
        const auto group_and_others = e.status().permissions() & fs::perms(077);
        CHECK_MESSAGE(group_and_others == fs::perms::none, e.path());
    }
    {
        running_cache second(in(dir));
        REQUIRE(second.started.has_error());
        CHECK(second.started.error().code() == errc::failed_precondition);
        CHECK(second.started.error().context().find("another process") != std::string::npos);
    }
    first.stop();
    running_cache third(in(dir));
    CHECK(third.started.has_value());
    CHECK(third.ask(key_of(1, 5000)).what() == kind::hit);
}

TEST_CASE("a restart finds the chunks, whatever the number of shards, and verifies each once") {
    scratch_directory dir;
    for (const unsigned shards : {2U, 3U, 1U}) {
        running_cache c(in(dir), shards);
        REQUIRE(c.started.has_value());
        if (shards == 2) {
            for (unsigned n = 0; n < 40; ++n) {
                CHECK(c.bring(n, sizes[n % std::size(sizes)]));
            }
            c.settle();
            continue;
        }
        CHECK(c.cache.usage().chunks == 40);
        for (unsigned n = 0; n < 40; ++n) {
            const auto key = key_of(n, sizes[n % std::size(sizes)]);
            const auto a = c.ask(key, lane::demand, n % shards);
            REQUIRE(a.what() == kind::hit);
            CHECK(holds(*a.handle(), n));
            CHECK(c.ask(key).what() == kind::hit);
        }
        CHECK(c.count("verified_total") == 40);
        CHECK(c.count("damaged_total") == 0);
        check_blocks(c.cache.usage().bytes, dir.path());
    }
}

TEST_CASE("many readers of one unverified chunk cause one verification, in any lane") {
    scratch_directory dir;
    {
        running_cache c(in(dir));
        CHECK(c.bring(1, 1 << 20));
    } // stop() stores what is still in memory
    running_cache c(in(dir));
    const auto key = key_of(1, 1 << 20);
    std::vector<std::future<result<std::vector<lookup_answer>>>> asked;
    for (unsigned i = 0; i < 30; ++i) {
        const auto l = static_cast<lane>(2 - i / 10);
        std::vector<chunk_key> keys{key};
        asked.push_back(start(c.rt.at(i % 2), c.cache.lookup(keys, l)));
    }
    for (auto& a : asked) {
        auto answers = a.get();
        REQUIRE(answers.has_value());
        CHECK((*answers)[0].what() == kind::hit);
    }
    CHECK(c.count("verified_total") == 1);
}

TEST_CASE("a flipped bit in a pack makes its chunk missing, and no other") {
    scratch_directory dir;
    std::uint64_t offset = 0;
    std::string pack;
    {
        running_cache c(in(dir));
        CHECK(c.bring(1, 70000));
        CHECK(c.bring(2, 70000));
        c.settle();
        const auto held = c.ask(key_of(1, 70000)).handle();
        offset = held->location()->offset();
        pack = held->location()->file().name();
    }
    flip_bit(pack, offset + 69999);
    running_cache c(in(dir));
    auto damaged = c.ask(key_of(1, 70000));
    REQUIRE(damaged.what() == kind::mine);
    CHECK(c.count("damaged_total") == 1);
    CHECK(c.ask(key_of(2, 70000)).what() == kind::hit);
    CHECK(c.cache.fulfil(damaged.take_ticket(), content_of(1, 70000)).has_value());
    c.settle();
    c.stop();
    running_cache again(in(dir));
    const auto good = again.ask(key_of(1, 70000));
    REQUIRE(good.what() == kind::hit);
    CHECK(holds(*good.handle(), 1));
}

TEST_CASE("a missing pack is a store without its chunks") {
    scratch_directory dir;
    {
        running_cache c(in(dir));
        CHECK(c.bring(1, 70000));
    }
    for (const auto& pack : files_named(dir.path(), ".pack")) {
        fs::remove(pack);
    }
    running_cache c(in(dir));
    REQUIRE(c.started.has_value());
    CHECK(c.count("damaged_total") == 1);
    CHECK(c.ask(key_of(1, 70000)).what() == kind::mine);
}

TEST_CASE("eviction keeps to the budget, frees disk blocks, and takes the least used first") {
    scratch_directory dir;
    auto o = in(dir);
    o.max_bytes = 16 << 20;
    running_cache c(o, 1);
    constexpr std::size_t size = 100'000;
    CHECK(c.bring(0, size));
    c.settle();
    CHECK(c.ask(key_of(0, size)).what() == kind::hit);
    for (unsigned n = 1; n <= 400; ++n) {
        CHECK(c.bring(n, size));
        if (n % 20 == 0) {
            c.settle();
            CHECK(c.here(key_of(0, size)) != nullptr); // in use all the time
            CHECK(c.cache.usage().bytes <= o.max_bytes);
        }
    }
    c.settle();
    CHECK(c.count("evictions_total") >= 240);
    CHECK(c.count("not_stored_total") == 0);
    CHECK(c.ask(key_of(0, size)).what() == kind::hit);
    CHECK(c.ask(key_of(1, size)).what() == kind::mine);
    CHECK(c.ask(key_of(400, size)).what() == kind::hit);
    const auto bytes = c.cache.usage().bytes;
    c.stop();
    CHECK(pack_bytes_below(dir.path()) <= o.max_bytes);
    check_blocks(bytes, dir.path());
}

TEST_CASE("small chunks are evicted block by block") {
    scratch_directory dir;
    auto o = in(dir);
    o.max_bytes = 1 << 20;
    running_cache c(o, 1);
    for (unsigned n = 0; n < 3000; ++n) {
        CHECK(c.bring(n, 1000));
        if (n % 100 == 0) {
            c.settle();
            CHECK(c.cache.usage().bytes <= o.max_bytes);
        }
    }
    c.settle();
    CHECK(c.count("evictions_total") > 1000);
    const auto last = c.ask(key_of(2999, 1000));
    REQUIRE(last.what() == kind::hit);
    CHECK(holds(*last.handle(), 2999));
    c.stop();
    CHECK(pack_bytes_below(dir.path()) <= o.max_bytes);
}

TEST_CASE("a handle pins: its reads never see what eviction punched") {
    scratch_directory dir;
    auto o = in(dir);
    o.max_bytes = 8 << 20;
    running_cache c(o);
    constexpr std::size_t size = 100'000;
    std::vector<chunk_handle> held;
    for (unsigned n = 0; n < 5; ++n) {
        CHECK(c.bring(n, size));
        c.settle();
        held.push_back(c.ask(key_of(n, size)).handle());
        REQUIRE(held.back()->location() != nullptr);
    }
    for (unsigned n = 100; n < 400; ++n) {
        CHECK(c.bring(n, size));
        if (n % 10 == 0) {
            c.settle();
        }
        CHECK(holds(*held[n % 5], n % 5));
    }
    c.settle();
    CHECK(c.count("evictions_total") > 100);
    for (unsigned n = 0; n < 5; ++n) {
        CHECK(holds(*held[n], n));
        CHECK(c.ask(key_of(n, size)).what() == kind::hit);
    }
    CHECK(c.cache.usage().bytes <= o.max_bytes);
}

TEST_CASE("handle tables let go of what is evicted, on every shard") {
    scratch_directory dir;
    auto o = in(dir);
    o.max_bytes = 4 << 20;
    running_cache c(o, 3);
    std::vector<chunk_key> keys;
    for (unsigned n = 0; n < 120; ++n) {
        CHECK(c.bring(n, 100'000));
        c.settle();
        keys.push_back(key_of(n, 100'000));
        for (unsigned shard = 0; shard < 3; ++shard) {
            c.ask(keys.back(), lane::demand, shard);
        }
    }
    CHECK(c.cache.usage().bytes <= o.max_bytes);
    CHECK(c.count("not_stored_total") == 0);
    unsigned gone = 0;
    for (unsigned n = 0; n < 120; ++n) {
        if (c.ask(keys[n]).what() != kind::hit) {
            ++gone;
            for (unsigned shard = 0; shard < 3; ++shard) {
                CHECK(c.here(keys[n], shard) == nullptr);
            }
        }
    }
    CHECK(gone >= 80);
}

TEST_CASE("hot chunks strewn over old packs do not keep them all") {
    scratch_directory dir;
    auto o = in(dir);
    o.max_bytes = 4 << 20;
    o.pack_bytes = 32 << 10;
    {
        running_cache c(o, 1);
        std::vector<chunk_key> hot;
        for (unsigned n = 0; n < 6000; ++n) {
            CHECK(c.bring(n, 4096));
            if (n % 8 == 0) {
                hot.push_back(key_of(n, 4096));
            }
            if (n % 100 == 0) {
                c.settle();
                c.ask(hot);
                c.run(use_all(c.cache, hot));
            }
        }
        c.settle();
    }
    // Held chunks may have kept some for a while; now nobody holds any, and fewer
    // packs are allowed, so that several of each partition have to go.
    o.pack_bytes = 64 << 10; // 4 packs for each 64 KiB of a partition
    running_cache c(o, 1);
    c.stop();
    CHECK(c.count("evictions_total") > 0);
    CHECK(c.cache.usage().chunks > 100);
    for (const auto& partition : fs::directory_iterator(dir.path() / "chunks")) {
        if (partition.is_directory()) {
            CHECK(files_named(partition.path(), ".pack").size() <= 4);
        }
    }
    CHECK(pack_bytes_below(dir.path()) <= o.max_bytes);
}

TEST_CASE("a journal does not grow with history") {
    scratch_directory dir;
    auto o = in(dir);
    o.max_bytes = 64 << 10;
    running_cache c(o, 1);
    unsigned brought = 0;
    std::uint64_t last = 0;
    for (std::uint64_t n = 0; brought < 3000; ++n) {
        if (partition_of(key_of(n, 600).id()) == 0) {
            CHECK(c.bring(n, 600));
            last = n;
            ++brought;
            if (brought % 50 == 0) {
                c.settle();
            }
        }
    }
    c.settle();
    c.stop();
    CHECK(c.count("evictions_total") > 2800);
    CHECK(fs::file_size(dir.path() / "chunks" / "00" / "journal") < 4600 * 64);
    running_cache again(o, 1);
    CHECK(again.count("damaged_total") == 0);
    CHECK(again.ask(key_of(last, 600)).what() == kind::hit);
}

TEST_CASE("when everything is held, new content is let go instead") {
    scratch_directory dir;
    auto o = in(dir);
    o.max_bytes = 1 << 20;
    running_cache c(o, 1);
    std::vector<chunk_handle> held;
    for (unsigned n = 0; n < 40; ++n) {
        CHECK(c.bring(n, 50'000));
        c.settle();
        if (auto a = c.ask(key_of(n, 50'000)); a.what() == kind::hit) {
            held.push_back(a.handle());
        }
        CHECK(c.cache.usage().bytes <= o.max_bytes);
    }
    CHECK(held.size() < 40);
    // What is stored and not held yet may be evicted to keep some room.
    CHECK(c.count("not_stored_total") + c.count("evictions_total") + held.size() == 40);
}

TEST_CASE("a full disk is nobody's error: reads go on, and storing starts again with room") {
    scratch_directory dir;
    auto o = in(dir);
    o.memory_bytes = 2 << 20;
    running_cache c(o, 1);
    {
        const full_disk full(8 << 10);
        for (unsigned n = 0; n < 50; ++n) {
            CHECK(c.bring(n, 100'000));
        }
        eventually("a write fails", [&] { return c.count("write_failures_total") > 0; });
        const auto last = c.ask(key_of(49, 100'000));
        REQUIRE(last.what() == kind::hit); // from memory
        CHECK(holds(*last.handle(), 49));
        CHECK(c.cache.usage().memory_bytes <= o.memory_bytes);
        CHECK(c.count("not_stored_total") > 20);
        CHECK(c.ask(key_of(0, 100'000)).what() == kind::mine);
        const auto failures = c.count("write_failures_total");
        eventually("it tries again", [&] { return c.count("write_failures_total") > failures; });
    }
    c.settle();
    const auto stored = c.ask(key_of(49, 100'000));
    REQUIRE(stored.what() == kind::hit);
    CHECK(stored.handle()->location() != nullptr);
    CHECK(holds(*stored.handle(), 49));
    c.stop();
    running_cache again(in(dir));
    CHECK(again.count("damaged_total") == 0);
    CHECK(again.ask(key_of(49, 100'000)).what() == kind::hit);
    check_blocks(again.cache.usage().bytes, dir.path());
}

TEST_CASE("beyond the memory budget background content is let go before demand's") {
    scratch_directory dir;
    auto o = in(dir);
    o.memory_bytes = 1 << 20;
    running_cache c(o, 1);
    const full_disk full(1 << 10);
    for (unsigned n = 0; n < 9; ++n) {
        CHECK(c.bring(n, 100'000, lane::demand));
    }
    for (unsigned n = 10; n < 30; ++n) {
        CHECK(c.bring(n, 100'000, lane::background));
    }
    for (unsigned n = 0; n < 9; ++n) {
        CHECK(c.ask(key_of(n, 100'000)).what() == kind::hit);
    }
    CHECK(c.cache.usage().memory_bytes <= o.memory_bytes);
}

TEST_CASE("kill -9 at any moment leaves a store that opens and never lies") {
    scratch_directory dir;
    auto o = in(dir);
    o.max_bytes = 4 << 20;
    std::uint64_t found = 0;
    for (unsigned round = 0; round < 3; ++round) {
        int progress[2];
        REQUIRE(::pipe2(progress, O_CLOEXEC) == 0);
        const pid_t child = ::fork();
        if (child == 0) {
            running_cache c(o);
            ssize_t told = 1;
            for (unsigned n = round * 20; c.started && told == 1; ++n) {
                c.bring(n % 300, sizes[n % 300 % std::size(sizes)]);
                told = ::write(progress[1], "", 1);
            }
            ::_exit(1);
        }
        ::close(progress[1]);
        char brought = 0;
        for (unsigned n = 0; n < 60 + 17 * round; ++n) {
            REQUIRE(::read(progress[0], &brought, 1) == 1);
        }
        ::kill(child, SIGKILL);
        ::close(progress[0]);
        int status = 0;
        REQUIRE(::waitpid(child, &status, 0) == child);
        REQUIRE(WIFSIGNALED(status));

        const pid_t checker = ::fork(); // threads and fork do not mix in this process
        if (checker == 0) {
            running_cache c(o);
            bool good = c.started.has_value() && c.cache.usage().bytes <= o.max_bytes;
            good = good && pack_bytes_below(dir.path()) <= c.cache.usage().bytes + (64 << 10);
            unsigned hits = 0;
            for (unsigned n = 0; n < 300; ++n) {
                const auto a = c.ask(key_of(n, sizes[n % std::size(sizes)]));
                if (a.what() == kind::hit) {
                    ++hits;
                    good = good && holds(*a.handle(), n);
                }
            }
            ::_exit(good ? (hits > 0 ? 1 : 0) : 2);
        }
        REQUIRE(::waitpid(checker, &status, 0) == checker);
        REQUIRE(WIFEXITED(status));
        REQUIRE(WEXITSTATUS(status) != 2);
        found += WEXITSTATUS(status);
    }
    CHECK(found > 0);
}
