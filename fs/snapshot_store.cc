#include "fs/snapshot_store.h"

#include "fs/database.h"

#include <array>
#include <chrono>
#include <string_view>
#include <utility>

namespace firstlight {

namespace {

// Schema changes since the beginning, each applied once, in order; entry i leads
// from version i to i + 1. Never edit one that has been released.
constexpr std::array migrations{R"sql(
CREATE TABLE layers (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  blob_digest BLOB NOT NULL,
  toc_digest BLOB NOT NULL,
  blob_size INTEGER NOT NULL,
  UNIQUE (blob_digest, toc_digest)
) STRICT;

CREATE TABLE layer_sources (
  layer INTEGER NOT NULL REFERENCES layers(number) ON DELETE CASCADE,
  reference TEXT NOT NULL,
  seen_ns INTEGER NOT NULL,
  PRIMARY KEY (layer, reference)
) STRICT, WITHOUT ROWID;

CREATE TABLE snapshots (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  parent INTEGER REFERENCES snapshots(id),
  kind INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 3),
  created_ns INTEGER NOT NULL,
  updated_ns INTEGER NOT NULL,
  size INTEGER NOT NULL DEFAULT 0,
  inodes INTEGER NOT NULL DEFAULT 0,
  layer INTEGER REFERENCES layers(number)
) STRICT;
CREATE INDEX snapshots_by_parent ON snapshots(parent);
CREATE INDEX snapshots_by_layer ON snapshots(layer) WHERE layer IS NOT NULL;

CREATE TABLE labels (
  snapshot INTEGER NOT NULL REFERENCES snapshots(id) ON DELETE CASCADE,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (snapshot, key)
) STRICT, WITHOUT ROWID;
)sql"};

constexpr std::size_t name_limit = 32768; // bytes; containerd's own store has the same

std::int64_t now_ns() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

snapshot_time time_of(std::int64_t ns) {
    return snapshot_time(std::chrono::nanoseconds(ns));
}

std::string quoted(const std::string& name) {
    return '"' + name + '"';
}

void check_name(std::string_view what, const std::string& name) {
    if (name.empty()) {
        fail(errc::invalid_argument, std::string(what) + " must not be empty");
    }
    if (name.size() > name_limit) {
        fail(errc::invalid_argument, std::string(what) + " is longer than 32768 bytes");
    }
}

void need_valid(const snapshot_labels& labels) {
    if (auto valid = check_labels(labels); !valid) {
        throw database_failure(valid.error());
    }
}

std::optional<std::uint32_t> layer_in(database::statement& s, int column) {
    const auto n = s.maybe_number(column);
    return n ? std::optional(static_cast<std::uint32_t>(*n)) : std::nullopt;
}

snapshot_labels labels_of(database& db, std::int64_t id) {
    snapshot_labels labels;
    auto s = db.prepare("SELECT key, value FROM labels WHERE snapshot = ?");
    s.with(id);
    while (s.step()) {
        labels.emplace(s.text(0), s.text(1));
    }
    return labels;
}

std::optional<snapshot_record> find(database& db, const std::string& name) {
    snapshot_record r;
    {
        auto s =
          db.prepare("SELECT s.id, p.name, s.kind, s.created_ns, s.updated_ns, s.size, s.inodes,"
                     " s.layer FROM snapshots s LEFT JOIN snapshots p ON p.id = s.parent"
                     " WHERE s.name = ?");
        if (!s.with(name).step()) {
            return std::nullopt;
        }
        r.id = s.number(0);
        r.info.name = name;
        r.info.parent = s.text(1);
        r.info.kind = static_cast<snapshot_kind>(s.number(2));
        r.info.created = time_of(s.number(3));
        r.info.updated = time_of(s.number(4));
        r.use = {s.number(5), s.number(6)};
        r.layer = layer_in(s, 7);
    }
    r.info.labels = labels_of(db, r.id);
    return r;
}

snapshot_record need(database& db, const std::string& name) {
    auto found = find(db, name);
    if (!found) {
        fail(errc::not_found, "snapshot " + quoted(name) + " does not exist");
    }
    return std::move(*found);
}

std::vector<snapshot_link> chain_from(database& db, std::optional<std::int64_t> id) {
    std::vector<snapshot_link> chain;
    auto s = db.prepare("WITH RECURSIVE chain(depth, id, parent, layer) AS ("
                        " SELECT 0, id, parent, layer FROM snapshots WHERE id = ?"
                        " UNION ALL SELECT depth + 1, s.id, s.parent, s.layer"
                        " FROM chain JOIN snapshots s ON s.id = chain.parent)"
                        " SELECT id, layer FROM chain ORDER BY depth");
    s.with(id);
    while (s.step()) {
        chain.push_back({s.number(0), layer_in(s, 1)});
    }
    return chain;
}

void set_labels(database& db, std::int64_t id, const snapshot_labels& labels) {
    need_valid(labels);
    db.prepare("DELETE FROM labels WHERE snapshot = ?").with(id).step();
    for (const auto& [key, value] : labels) {
        if (!value.empty()) {
            db.prepare("INSERT INTO labels VALUES (?, ?, ?)").with(id, key, value).step();
        }
    }
}

// Fails where a snapshot `key` on `parent` cannot be made; gives the parent's record, if
// there is to be one.
std::optional<snapshot_record>
check_parent_of_new(database& db, const std::string& key, const std::string& parent) {
    check_name("a snapshot's key", key);
    std::optional<snapshot_record> found;
    if (!parent.empty()) {
        found = find(db, parent);
        if (!found) {
            fail(errc::not_found, "parent snapshot " + quoted(parent) + " does not exist");
        }
        if (found->info.kind != snapshot_kind::committed) {
            fail(errc::invalid_argument, "parent snapshot " + quoted(parent) + " is not committed");
        }
    }
    if (db.prepare("SELECT 1 FROM snapshots WHERE name = ?").with(key).step()) {
        fail(errc::already_exists, "snapshot " + quoted(key) + ": already exists");
    }
    return found;
}

std::int64_t
insert(database& db, const snapshot_record& made, const std::optional<snapshot_record>& parent) {
    const auto now = now_ns();
    const auto above = parent ? std::optional(parent->id) : std::nullopt;
    db.prepare("INSERT INTO snapshots (name, parent, kind, created_ns, updated_ns, layer)"
               " VALUES (?, ?, ?, ?, ?, ?)")
      .with(made.info.name, above, static_cast<std::int64_t>(made.info.kind), now, now, made.layer)
      .step();
    const auto id = db.last_id();
    set_labels(db, id, made.info.labels);
    return id;
}

std::optional<std::int64_t> id_of(const std::optional<snapshot_record>& r) {
    return r ? std::optional(r->id) : std::nullopt;
}

} // namespace

result<std::unique_ptr<snapshot_store>> snapshot_store::open(const std::string& path) {
    return guarded([&]() -> result<std::unique_ptr<snapshot_store>> {
        return std::unique_ptr<snapshot_store>(
          new snapshot_store(std::make_unique<database>(path, migrations)));
    });
}

snapshot_store::snapshot_store(std::unique_ptr<database> db)
  : db_(std::move(db)) {
}

snapshot_store::~snapshot_store() = default;

result<snapshot_record> snapshot_store::get(const std::string& name) {
    return guarded([&]() -> result<snapshot_record> { return need(*db_, name); });
}

result<snapshot_chain> snapshot_store::chain_of(const std::string& key) {
    return guarded([&]() -> result<snapshot_chain> {
        const auto own = need(*db_, key);
        if (own.info.kind == snapshot_kind::committed) {
            fail(errc::failed_precondition, "snapshot " + quoted(key) + " is not active or a view");
        }
        auto links = chain_from(*db_, own.id);
        snapshot_chain chain;
        chain.kind = own.info.kind;
        chain.own = links.front();
        chain.parents.assign(links.begin() + 1, links.end());
        return chain;
    });
}

result<std::vector<snapshot_link>>
snapshot_store::check_new(const std::string& key, const std::string& parent) {
    return guarded([&]() -> result<std::vector<snapshot_link>> {
        return chain_from(*db_, id_of(check_parent_of_new(*db_, key, parent)));
    });
}

result<snapshot_chain> snapshot_store::create(
  snapshot_kind kind, const std::string& key, const std::string& parent,
  const snapshot_labels& labels, const arrange& before_commit) {
    return guarded([&]() -> result<snapshot_chain> {
        database::transaction t(*db_);
        const auto above = check_parent_of_new(*db_, key, parent);
        snapshot_record made;
        made.info.name = key;
        made.info.kind = kind;
        made.info.labels = labels;
        snapshot_chain chain;
        chain.kind = kind;
        chain.own.id = insert(*db_, made, above);
        chain.parents = chain_from(*db_, id_of(above));
        if (auto arranged = before_commit(chain); !arranged) {
            return arranged.error();
        }
        t.commit();
        return chain;
    });
}

result<snapshot_link> snapshot_store::create_remote(
  const std::string& name, const std::string& parent, const snapshot_labels& labels,
  std::uint32_t layer) {
    return guarded([&]() -> result<snapshot_link> {
        database::transaction t(*db_);
        const auto above = check_parent_of_new(*db_, name, parent);
        if (!db_->prepare("SELECT 1 FROM layers WHERE number = ?").with(layer).step()) {
            fail(errc::not_found, "there is no layer " + std::to_string(layer));
        }
        snapshot_record made;
        made.info.name = name;
        made.info.kind = snapshot_kind::committed;
        made.info.labels = labels;
        made.layer = layer;
        const auto id = insert(*db_, made, above);
        t.commit();
        return snapshot_link{id, layer};
    });
}

result<std::int64_t> snapshot_store::check_commit(const commit_request& request) {
    return guarded([&]() -> result<std::int64_t> {
        check_name("a snapshot's name", request.name);
        const auto active = need(*db_, request.key);
        if (request.id != 0 && active.id != request.id) {
            fail(errc::not_found, "snapshot " + quoted(request.key) + " was removed meanwhile");
        }
        if (find(*db_, request.name)) {
            fail(errc::already_exists, "snapshot " + quoted(request.name) + ": already exists");
        }
        if (active.info.kind != snapshot_kind::active) {
            fail(errc::failed_precondition, "snapshot " + quoted(request.key) + " is not active");
        }
        if (!request.parent.empty() && active.info.parent != request.parent) {
            if (!active.info.parent.empty()) {
                fail(
                  errc::invalid_argument,
                  "snapshot " + quoted(request.key) + " has parent " + quoted(active.info.parent) +
                    " and cannot be committed on " + quoted(request.parent));
            }
            if (need(*db_, request.parent).info.kind != snapshot_kind::committed) {
                fail(
                  errc::failed_precondition,
                  "parent snapshot " + quoted(request.parent) + " is not committed");
            }
        }
        need_valid(request.labels);
        return active.id;
    });
}

result<void> snapshot_store::commit(const commit_request& request) {
    return guarded([&]() -> result<void> {
        database::transaction t(*db_);
        const auto id = check_commit(request);
        if (!id) {
            return id.error();
        }
        const auto now = now_ns();
        db_
          ->prepare("UPDATE snapshots SET name = ?, kind = 3, created_ns = ?, updated_ns = ?,"
                    " size = ?, inodes = ? WHERE id = ?")
          .with(request.name, now, now, request.use.size, request.use.inodes, *id)
          .step();
        if (!request.parent.empty()) {
            db_->prepare("UPDATE snapshots SET parent = ? WHERE id = ?")
              .with(need(*db_, request.parent).id, *id)
              .step();
        }
        set_labels(*db_, *id, request.labels);
        t.commit();
        return {};
    });
}

result<snapshot_link> snapshot_store::remove(const std::string& name) {
    return guarded([&]() -> result<snapshot_link> {
        database::transaction t(*db_);
        const auto gone = need(*db_, name);
        if (db_->prepare("SELECT 1 FROM snapshots WHERE parent = ?").with(gone.id).step()) {
            fail(
              errc::failed_precondition,
              "cannot remove snapshot " + quoted(name) + ": it has children");
        }
        db_->prepare("DELETE FROM snapshots WHERE id = ?").with(gone.id).step();
        t.commit();
        return snapshot_link{gone.id, gone.layer};
    });
}

namespace {

constexpr std::string_view label_field = "labels.";

// The labels after an update of the fields in `mask`.
snapshot_labels
updated(snapshot_labels labels, const snapshot_info& to, const std::vector<std::string>& mask) {
    if (mask.empty()) {
        return to.labels;
    }
    for (const auto& field : mask) {
        if (field == "labels") {
            labels = to.labels;
        } else if (field.starts_with(label_field)) {
            const auto key = field.substr(label_field.size());
            const auto given = to.labels.find(key);
            labels[key] = given == to.labels.end() ? "" : given->second;
        } else {
            fail(
              errc::invalid_argument, "cannot update field " + quoted(field) + " of snapshot " +
                                        quoted(to.name) + ": only labels can change");
        }
    }
    return labels;
}

} // namespace

result<snapshot_info>
snapshot_store::update(const snapshot_info& info, const std::vector<std::string>& mask) {
    return guarded([&]() -> result<snapshot_info> {
        database::transaction t(*db_);
        auto now = need(*db_, info.name);
        set_labels(*db_, now.id, updated(now.info.labels, info, mask));
        const auto at = now_ns();
        db_->prepare("UPDATE snapshots SET updated_ns = ? WHERE id = ?").with(at, now.id).step();
        now.info.labels = labels_of(*db_, now.id);
        now.info.updated = time_of(at);
        t.commit();
        return std::move(now.info);
    });
}

result<std::vector<snapshot_info>> snapshot_store::list(const snapshot_filter& filter) {
    return guarded([&]() -> result<std::vector<snapshot_info>> {
        std::vector<snapshot_info> matching;
        auto s = db_->prepare("SELECT s.id, s.name, p.name, s.kind, s.created_ns, s.updated_ns"
                              " FROM snapshots s LEFT JOIN snapshots p ON p.id = s.parent"
                              " ORDER BY s.id");
        while (s.step()) {
            snapshot_info info;
            info.name = s.text(1);
            info.parent = s.text(2);
            info.kind = static_cast<snapshot_kind>(s.number(3));
            info.created = time_of(s.number(4));
            info.updated = time_of(s.number(5));
            info.labels = labels_of(*db_, s.number(0));
            if (filter.matches(info)) {
                matching.push_back(std::move(info));
            }
        }
        return matching;
    });
}

result<std::vector<snapshot_link>> snapshot_store::links() {
    return guarded([&]() -> result<std::vector<snapshot_link>> {
        std::vector<snapshot_link> all;
        auto s = db_->prepare("SELECT id, layer FROM snapshots ORDER BY id");
        while (s.step()) {
            all.push_back({s.number(0), layer_in(s, 1)});
        }
        return all;
    });
}

} // namespace firstlight
