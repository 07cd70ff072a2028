// The parts of the cache that need no shard.
#include "cache/journal.h"
#include "cache/lru_map.h"
#include "cache/pack_space.h"
#include "cache/partition_disk.h"
#include "cache/unsaved_chunks.h"
#include "test/cache/cache_rig.h"

#include <fstream>
#include <list>
#include <map>
#include <random>

using namespace firstlight;
using namespace firstlight::test;
namespace fs = std::filesystem;

namespace {

digest id_of(std::uint64_t n) {
    return digest::of(std::as_bytes(std::span(&n, 1)));
}

std::vector<std::byte> bytes_of(const fs::path& file) {
    std::ifstream f(file, std::ios::binary);
    std::vector<char> all((std::istreambuf_iterator<char>(f)), std::istreambuf_iterator<char>());
    const auto raw = std::as_bytes(std::span(all));
    return {raw.begin(), raw.end()};
}

void write_bytes(const fs::path& file, std::span<const std::byte> bytes) {
    std::ofstream f(file, std::ios::binary | std::ios::trunc);
    f.write(
      reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

// A partition with `count` chunks of 5000 bytes, all of partition 0.
struct partition_rig {
    scratch_directory dir;
    std::vector<chunk_key> keys;
    std::vector<std::uint64_t> numbers;
    pack_space space{1 << 20};

    std::string path() const { return (dir.path() / "00").string(); }

    void store(std::size_t count) {
        partition_disk disk(path(), 0);
        REQUIRE(disk.recover().has_value());
        const auto pack = disk.open_pack(0, true);
        REQUIRE(pack.has_value());
        for (std::uint64_t n = 0; keys.size() < count; ++n) {
            const auto key = key_of(n, 5000);
            if (partition_of(key.id()) != 0) {
                continue;
            }
            const auto at = space.put(5000);
            journal_record r;
            r.id = key.id();
            r.offset = at.offset;
            r.size = 5000;
            r.pack = at.pack;
            REQUIRE(disk.store(**pack, r, content_of(n, 5000).span()).has_value());
            keys.push_back(key);
            numbers.push_back(n);
        }
    }
};

} // namespace

TEST_CASE("lru_map agrees with a plain model through a long random life") {
    std::mt19937_64 random(42);
    lru_map<int> map;
    std::map<digest, int> values;
    std::list<digest> order; // oldest first
    for (int step = 0; step < 20'000; ++step) {
        const auto d = id_of(random() % 300);
        const auto s = map.find(d);
        REQUIRE((s != map.none) == values.contains(d));
        switch (random() % 3) {
        case 0:
            if (s == map.none) {
                map.insert(d, step);
                values[d] = step;
                order.push_back(d);
            }
            break;
        case 1:
            if (s != map.none) {
                CHECK(map.value(s) == values[d]);
                map.touch(s);
                order.remove(d);
                order.push_back(d);
            }
            break;
        default:
            if (s != map.none && random() % 2 == 0) {
                map.erase(s);
                values.erase(d);
                order.remove(d);
            }
        }
        REQUIRE(map.size() == values.size());
        REQUIRE(
          (order.empty() ? map.oldest() == map.none : map.key(map.oldest()) == order.front()));
    }
    for (auto s = map.oldest(); s != map.none; s = map.newer(s)) {
        CHECK(map.key(s) == order.front());
        order.pop_front();
    }
    CHECK(order.empty());
}

TEST_CASE("pack_space frees exactly what it counted") {
    std::mt19937_64 random(7);
    pack_space space(256 << 10);
    struct piece {
        pack_space::place at;
        std::uint64_t size;
    };
    std::vector<piece> pieces;
    for (int step = 0; step < 5000; ++step) {
        if (random() % 2 == 0 || pieces.empty()) {
            piece p;
            p.size = 1 + random() % (random() % 3 == 0 ? 20'000 : 5'000);
            p.at = space.put(p.size);
            const bool straddles =
              p.at.offset / block_size != (p.at.offset + p.size - 1) / block_size;
            CHECK((p.size < block_size ? !straddles : p.at.offset % block_size == 0));
            pieces.push_back(p);
        } else {
            std::swap(pieces[random() % pieces.size()], pieces.back());
            if (const auto h = space.release(pieces.back().at, pieces.back().size)) {
                space.punched(*h);
            }
            pieces.pop_back();
        }
    }
    std::map<std::pair<std::uint32_t, std::uint64_t>, bool> blocks;
    for (const auto& p : pieces) {
        for (auto b = p.at.offset / block_size; b * block_size < p.at.offset + p.size; ++b) {
            blocks[{p.at.pack, b}] = true;
        }
    }
    // The block that small content is being put into may be empty for now.
    CHECK(space.allocated() >= blocks.size() * block_size);
    CHECK(space.allocated() <= (blocks.size() + 1) * block_size);
    for (const auto& p : pieces) {
        if (const auto h = space.release(p.at, p.size)) {
            space.punched(*h);
        }
    }
    CHECK(space.allocated() == 0);
    CHECK(!space.take_dead().empty());
    CHECK(space.packs() <= 1);
}

TEST_CASE("a journal is believed up to where it was torn, at every byte of the last record") {
    partition_rig rig;
    rig.store(4);
    const auto journal = fs::path(rig.path()) / "journal";
    const auto pack = fs::path(rig.path()) / "00000000.pack";
    const auto whole = bytes_of(journal);
    const auto content = bytes_of(pack);
    REQUIRE(whole.size() == 5 * journal_record_size);
    for (auto length = 4 * journal_record_size; length < whole.size(); ++length) {
        write_bytes(journal, std::span(whole).first(length));
        write_bytes(pack, content);
        partition_disk disk(rig.path(), 0);
        const auto found = disk.recover();
        REQUIRE(found.has_value());
        REQUIRE(found->live.size() == 3);
        CHECK(found->live.back().id == rig.keys[2].id());
        CHECK(fs::file_size(journal) == 4 * journal_record_size); // the tail is gone
        CHECK(fs::file_size(pack) == 3 * 8192); // and so are the bytes it stood for
        // What is stored next lies where the torn one did, and is found.
        const auto file = disk.open_pack(0, false);
        journal_record r;
        r.id = rig.keys[3].id();
        r.offset = 3 * 8192;
        r.size = 5000;
        REQUIRE(disk.store(**file, r, content_of(rig.numbers[3], 5000).span()).has_value());
        partition_disk again(rig.path(), 0);
        CHECK(again.recover()->live.size() == 4);
    }
}

TEST_CASE("a bit flipped anywhere in a journal costs at most that record") {
    partition_rig rig;
    rig.store(3);
    const auto journal = fs::path(rig.path()) / "journal";
    const auto whole = bytes_of(journal);
    for (std::size_t at = 0; at < whole.size(); ++at) {
        auto flipped = whole;
        flipped[at] ^= std::byte{0x10};
        const auto said = read_journal(flipped, 0);
        if (at < journal_record_size) {
            CHECK(!said.readable);
            continue;
        }
        REQUIRE(said.readable);
        CHECK(said.live.size() == 2);
        CHECK(said.bad_records == 1);
    }
}

TEST_CASE("a damaged journal header costs its partition, packs included, and nothing else") {
    partition_rig rig;
    rig.store(3);
    const auto journal = fs::path(rig.path()) / "journal";
    auto whole = bytes_of(journal);
    whole[0] = std::byte{0};
    write_bytes(journal, whole);
    partition_disk disk(rig.path(), 0);
    const auto found = disk.recover();
    REQUIRE(found.has_value());
    CHECK(found->live.empty());
    CHECK(found->damaged == 1);
    CHECK(!fs::exists(fs::path(rig.path()) / "00000000.pack"));
}

TEST_CASE("packs and half-made journals that no record names are removed") {
    partition_rig rig;
    rig.store(2);
    const fs::path dir = rig.path();
    write_bytes(dir / "0000001f.pack", content_of(1, 9000).span());
    write_bytes(dir / "journal.new", content_of(1, 100).span());
    partition_disk disk(rig.path(), 0);
    CHECK(disk.recover()->live.size() == 2);
    CHECK(!fs::exists(dir / "0000001f.pack"));
    CHECK(!fs::exists(dir / "journal.new"));
}

TEST_CASE("records that point outside, lie askew or belong elsewhere are not believed") {
    const std::function<void(journal_record&)> lies[] = {
      [](journal_record& r) { r.offset = 3 * 8192; }, // past the end
      [](journal_record& r) { r.offset = 100; },      // not on a block
      [](journal_record& r) { r.pack = 9; },          // no such pack
      [](journal_record& r) { r.size = 0; },
      [](journal_record& r) {
          for (std::uint64_t n = 0; partition_of(r.id) == 0; ++n) {
              r.id = id_of(n); // another partition's
          }
      }};
    for (const auto& lie : lies) {
        partition_rig rig;
        rig.store(3);
        partition_disk disk(rig.path(), 0);
        auto all = disk.recover()->live;
        lie(all[1]);
        REQUIRE(disk.compact(all).has_value());
        partition_disk again(rig.path(), 0);
        const auto found = again.recover();
        REQUIRE(found->live.size() == 2);
        CHECK(found->live[1].id == rig.keys[2].id());
        CHECK(found->damaged == 1);
    }
}

TEST_CASE("of two records for the same bytes the later one is believed") {
    partition_rig rig;
    rig.store(2);
    partition_disk disk(rig.path(), 0);
    auto found = disk.recover();
    auto both = found->live;
    both[1].offset = both[0].offset;
    REQUIRE(disk.compact(both).has_value());
    partition_disk again(rig.path(), 0);
    found = again.recover();
    REQUIRE(found->live.size() == 1);
    CHECK(found->live[0].id == rig.keys[1].id());
}

TEST_CASE("an erasure hits only the copy it names, and history is compacted at start") {
    partition_rig rig;
    rig.store(3);
    partition_disk disk(rig.path(), 0);
    auto found = disk.recover();
    auto gone = std::vector{found->live[0]};
    REQUIRE(disk.erase(gone).has_value());
    gone[0] = found->live[1];
    gone[0].offset += 8192; // not where it lies
    REQUIRE(disk.erase(gone).has_value());
    for (int i = 0; i < 2000; ++i) {
        REQUIRE(disk.erase(gone).has_value());
    }
    partition_disk again(rig.path(), 0);
    found = again.recover();
    REQUIRE(found->live.size() == 2);
    CHECK(found->live[0].id == rig.keys[1].id());
    CHECK(fs::file_size(fs::path(rig.path()) / "journal") == 3 * journal_record_size);
}

TEST_CASE("unsaved content leaves least urgent first, and one always stays") {
    unsaved_chunks unsaved(10'000);
    auto item = [](std::uint64_t n, std::size_t size, lane l) {
        unsaved_chunks::item i;
        i.id = key_of(n, size).id();
        i.content =
          std::make_shared<const chunk>(std::make_shared<const buffer>(content_of(n, size)));
        i.urgency = l;
        return i;
    };
    CHECK(unsaved.add(item(0, 50'000, lane::background)) == 0); // alone: kept whatever its size
    CHECK(unsaved.add(item(1, 4000, lane::demand)) == 1);       // which drops it
    CHECK(unsaved.add(item(2, 4000, lane::background)) == 0);
    CHECK(unsaved.add(item(3, 4000, lane::prefetch)) == 1);
    CHECK(unsaved.find(key_of(2, 4000).id()) == nullptr);
    CHECK(unsaved.bytes() == 8000);

    auto taken = unsaved.take(1 << 20, 10);
    REQUIRE(taken.size() == 1);
    CHECK(taken[0].urgency == lane::demand);
    CHECK(unsaved.find(taken[0].id) == taken[0].content); // found while it is written
    CHECK(unsaved.bytes() == 8000);
    unsaved.done(taken[0]);
    CHECK(unsaved.bytes() == 4000);
    CHECK(unsaved.find(taken[0].id) == nullptr);
    CHECK(unsaved.put_back(taken[0]) == 0);
    CHECK(unsaved.bytes() == 8000);
}
