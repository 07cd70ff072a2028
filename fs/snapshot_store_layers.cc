// The part of the snapshot store that keeps lazy layers.

#include "fs/snapshot_store.h"

#include "fs/database.h"

#include <chrono>
#include <limits>

namespace firstlight {

using namespace std::chrono_literals;

namespace {

constexpr std::int64_t sources_kept = 16;

} // namespace

result<std::uint32_t> snapshot_store::find_or_add_layer(
  const digest& blob, const digest& toc, std::uint64_t blob_size, const std::string& reference) {
    return guarded([&]() -> result<std::uint32_t> {
        if (blob_size > std::numeric_limits<std::int64_t>::max()) {
            fail(errc::invalid_argument, blob.to_string() + ": no blob is that large");
        }
        const std::int64_t now = std::chrono::system_clock::now().time_since_epoch() / 1ns;
        // Without a snapshot it means nothing, and that one's transaction keeps both.
        database::transaction t(*db_, database::transaction::kept::later);
        db_
          ->prepare("INSERT INTO layers (blob_digest, toc_digest, blob_size) VALUES (?, ?, ?)"
                    " ON CONFLICT DO NOTHING")
          .with(blob, toc, static_cast<std::int64_t>(blob_size))
          .step();
        std::int64_t number = 0;
        {
            auto s =
              db_->prepare("SELECT number FROM layers WHERE blob_digest = ? AND toc_digest = ?");
            s.with(blob, toc).step();
            number = s.number(0);
        }
        if (number > std::numeric_limits<std::uint32_t>::max()) {
            fail(errc::no_space, "four thousand million layers were mounted: numbers are used up");
        }
        db_
          ->prepare("INSERT INTO layer_sources VALUES (?, ?, ?)"
                    " ON CONFLICT DO UPDATE SET seen_ns = excluded.seen_ns")
          .with(number, reference, now)
          .step();
        db_
          ->prepare("DELETE FROM layer_sources WHERE layer = ?1 AND reference NOT IN ("
                    " SELECT reference FROM layer_sources WHERE layer = ?1"
                    " ORDER BY seen_ns DESC LIMIT ?2)")
          .with(number, sources_kept)
          .step();
        t.commit();
        return static_cast<std::uint32_t>(number);
    });
}

namespace {

std::vector<layer_record> read_layers(database::statement s) {
    std::vector<layer_record> layers;
    while (s.step()) {
        layer_record r;
        r.number = static_cast<std::uint32_t>(s.number(0));
        r.blob = s.digest_at(1);
        r.toc = s.digest_at(2);
        r.blob_size = static_cast<std::uint64_t>(s.number(3));
        layers.push_back(r);
    }
    return layers;
}

} // namespace

result<std::vector<layer_record>> snapshot_store::layers_in_use() {
    return guarded([&]() -> result<std::vector<layer_record>> {
        return read_layers(
          db_->prepare("SELECT number, blob_digest, toc_digest, blob_size FROM layers"
                       " WHERE number IN (SELECT layer FROM snapshots) ORDER BY number"));
    });
}

result<std::vector<layer_record>> snapshot_store::layers_unused() {
    return guarded([&]() -> result<std::vector<layer_record>> {
        return read_layers(
          db_->prepare("SELECT number, blob_digest, toc_digest, blob_size FROM layers l"
                       " WHERE NOT EXISTS (SELECT 1 FROM snapshots WHERE layer = l.number)"
                       " ORDER BY number"));
    });
}

result<std::vector<std::string>> snapshot_store::sources_of(std::uint32_t number) {
    return guarded([&]() -> result<std::vector<std::string>> {
        std::vector<std::string> references;
        auto s =
          db_->prepare("SELECT reference FROM layer_sources WHERE layer = ? ORDER BY seen_ns DESC");
        s.with(number);
        while (s.step()) {
            references.push_back(s.text(0));
        }
        return references;
    });
}

result<void> snapshot_store::forget_layer(std::uint32_t number) {
    return guarded([&]() -> result<void> {
        database::transaction t(*db_);
        if (db_->prepare("SELECT 1 FROM snapshots WHERE layer = ?").with(number).step()) {
            fail(
              errc::failed_precondition,
              "layer " + std::to_string(number) + " is in use by a snapshot");
        }
        db_->prepare("DELETE FROM layers WHERE number = ?").with(number).step();
        t.commit();
        return {};
    });
}

} // namespace firstlight
