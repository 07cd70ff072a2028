#include "fs/snapshot_store.h"

#include <sqlite3.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string_view>
#include <unordered_map>
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
constexpr int sources_kept = 16;

// Thrown inside this file only; every public method turns it into its fault.
struct failure : std::runtime_error {
    explicit failure(fault f)
      : runtime_error(f.context())
      , what(std::move(f)) {}
    fault what;
};

[[noreturn]] void fail(errc code, std::string context) {
    throw failure(fault(code, std::move(context)));
}

fault sqlite_fault(sqlite3* db, std::string_view what) {
    const int code = sqlite3_extended_errcode(db);
    const int system = sqlite3_system_errno(db);
    auto kind = errc::io_error;
    if ((code & 0xFF) == SQLITE_FULL || system == ENOSPC || system == EDQUOT) {
        kind = errc::no_space;
    } else if ((code & 0xFF) == SQLITE_CORRUPT || (code & 0xFF) == SQLITE_NOTADB) {
        kind = errc::corrupt;
    } else if ((code & 0xFF) == SQLITE_BUSY || (code & 0xFF) == SQLITE_LOCKED) {
        kind = errc::unavailable;
    }
    return fault(kind, sqlite3_errmsg(db)).in(what);
}

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
        throw failure(valid.error());
    }
}

} // namespace

// The connection, its prepared statements, and rows in and out.
class snapshot_store::database {
public:
    class statement;
    class transaction;

    explicit database(const std::string& path);
    ~database();
    database(const database&) = delete;
    database& operator=(const database&) = delete;

    void run(const char* sql); // may hold several statements
    statement prepare(const char* sql);
    std::int64_t last_id() const { return sqlite3_last_insert_rowid(db_); }
    bool changed() const { return sqlite3_changes(db_) > 0; }

    void check();
    void migrate();

    // Rows that several methods need.
    std::optional<snapshot_record> find(const std::string& name);
    snapshot_record need(const std::string& name);
    std::vector<snapshot_link> chain_from(std::optional<std::int64_t> id);
    snapshot_labels labels_of(std::int64_t id);
    void set_labels(std::int64_t id, const snapshot_labels& labels);
    std::optional<snapshot_record> check_new(const std::string& key, const std::string& parent);
    std::int64_t insert(const snapshot_record& made, const std::optional<snapshot_record>& parent);

private:
    void attempt(int code, std::string_view what);

    sqlite3* db_ = nullptr;
    std::string path_;
    // Keyed by address: each statement is one literal.
    std::unordered_map<const char*, sqlite3_stmt*> prepared_;
};

// One execution of a prepared statement; reset when it ends.
class snapshot_store::database::statement {
public:
    statement(sqlite3* db, sqlite3_stmt* s) noexcept
      : db_(db)
      , s_(s) {}
    statement(statement&& o) noexcept
      : db_(o.db_)
      , s_(std::exchange(o.s_, nullptr)) {}
    statement& operator=(statement&&) = delete;
    ~statement() {
        if (s_) {
            sqlite3_reset(s_);
            sqlite3_clear_bindings(s_);
        }
    }

    // Bound text and blobs must live until the statement has run.
    template <class... Values>
    statement& with(const Values&... values) {
        int i = 0;
        (bind(++i, values), ...);
        return *this;
    }
    bool step() {
        const int code = sqlite3_step(s_);
        if (code != SQLITE_ROW && code != SQLITE_DONE) {
            throw failure(sqlite_fault(db_, "snapshot database"));
        }
        return code == SQLITE_ROW;
    }

    std::int64_t number(int column) { return sqlite3_column_int64(s_, column); }
    std::optional<std::int64_t> maybe_number(int column) {
        if (sqlite3_column_type(s_, column) == SQLITE_NULL) {
            return std::nullopt;
        }
        return number(column);
    }
    std::optional<std::uint32_t> maybe_layer(int column) {
        const auto n = maybe_number(column);
        return n ? std::optional(static_cast<std::uint32_t>(*n)) : std::nullopt;
    }
    std::string text(int column) {
        const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(s_, column));
        const auto size = static_cast<std::size_t>(sqlite3_column_bytes(s_, column));
        return bytes ? std::string(bytes, size) : std::string();
    }
    digest blob(int column) {
        const auto size = static_cast<std::size_t>(sqlite3_column_bytes(s_, column));
        std::array<std::byte, digest::size> raw{};
        if (size != raw.size()) {
            fail(errc::corrupt, "snapshot database: a digest of the wrong length");
        }
        std::memcpy(raw.data(), sqlite3_column_blob(s_, column), size);
        return digest(raw);
    }

private:
    void check(int code) {
        if (code != SQLITE_OK) {
            throw failure(sqlite_fault(db_, "snapshot database"));
        }
    }
    void bind(int i, std::int64_t n) { check(sqlite3_bind_int64(s_, i, n)); }
    void bind(int i, std::uint32_t n) { check(sqlite3_bind_int64(s_, i, n)); }
    void bind(int i, const std::string& t) {
        check(sqlite3_bind_text64(s_, i, t.data(), t.size(), SQLITE_STATIC, SQLITE_UTF8));
    }
    void bind(int i, const digest& d) {
        check(sqlite3_bind_blob64(s_, i, d.bytes().data(), digest::size, SQLITE_STATIC));
    }
    template <class T>
    void bind(int i, const std::optional<T>& maybe) {
        if (maybe) {
            bind(i, *maybe);
        } else {
            check(sqlite3_bind_null(s_, i));
        }
    }

    sqlite3* db_;
    sqlite3_stmt* s_;
};

// Rolled back unless committed.
class snapshot_store::database::transaction {
public:
    explicit transaction(database& db)
      : db_(db) {
        db_.prepare("BEGIN IMMEDIATE").step();
    }
    ~transaction() {
        if (!done_) {
            try {
                db_.prepare("ROLLBACK").step();
            } catch (const failure&) {
                // SQLite has rolled back by itself, as it does when the disk is full.
            }
        }
    }
    transaction(const transaction&) = delete;
    transaction& operator=(const transaction&) = delete;

    void commit() {
        db_.prepare("COMMIT").step();
        done_ = true;
    }

private:
    database& db_;
    bool done_ = false;
};

snapshot_store::database::database(const std::string& path)
  : path_(path) {
    constexpr int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    const int code = sqlite3_open_v2(path.c_str(), &db_, flags, nullptr);
    if (code != SQLITE_OK) {
        const auto why = db_ ? sqlite_fault(db_, "cannot open " + path)
                             : fault(errc::io_error, "cannot open " + path);
        sqlite3_close_v2(db_);
        throw failure(why);
    }
    try {
        sqlite3_extended_result_codes(db_, 1);
        // EXCLUSIVE keeps a second daemon out, and needs no shared memory file.
        // FULL: containerd remembers a snapshot from our answer on, so the answer
        // must survive a power failure; its own store syncs each transaction too.
        run("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
            "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;");
    } catch (const failure& f) {
        sqlite3_close_v2(db_);
        const bool busy = f.what.code() == errc::unavailable;
        throw failure(f.what.in(
          busy ? path + " is in use by another process; stop that one first"
               : "cannot open " + path));
    }
}

snapshot_store::database::~database() {
    for (const auto& [sql, s] : prepared_) {
        sqlite3_finalize(s);
    }
    sqlite3_close_v2(db_);
}

void snapshot_store::database::attempt(int code, std::string_view what) {
    if (code != SQLITE_OK) {
        throw failure(sqlite_fault(db_, what));
    }
}

void snapshot_store::database::run(const char* sql) {
    attempt(sqlite3_exec(db_, sql, nullptr, nullptr, nullptr), "snapshot database");
}

snapshot_store::database::statement snapshot_store::database::prepare(const char* sql) {
    auto& s = prepared_[sql];
    if (!s) {
        attempt(
          sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &s, nullptr),
          "snapshot database");
    }
    return {db_, s};
}

void snapshot_store::database::check() {
    constexpr std::string_view advice =
      "; move the file away to start empty (containerd must then forget the snapshots too), or "
      "restore it";
    std::string found;
    try {
        auto s = prepare("PRAGMA quick_check(1)");
        found = s.step() ? s.text(0) : "no answer";
        if (found == "ok" && prepare("PRAGMA foreign_key_check").step()) {
            found = "a record refers to a missing one";
        }
    } catch (const failure& f) {
        found = f.what.context();
    }
    if (found != "ok") {
        fail(errc::corrupt, path_ + " is damaged: " + found + std::string(advice));
    }
}

void snapshot_store::database::migrate() {
    // user_version is part of the file's header and changes with the transaction.
    std::int64_t version = 0;
    {
        auto s = prepare("PRAGMA user_version");
        s.step();
        version = s.number(0);
    }
    if (version > static_cast<std::int64_t>(migrations.size())) {
        fail(
          errc::unsupported, path_ + " has schema version " + std::to_string(version) +
                               ", this program knows up to " + std::to_string(migrations.size()) +
                               "; run the newer version");
    }
    for (auto next = static_cast<std::size_t>(version); next < migrations.size(); ++next) {
        transaction t(*this);
        run(migrations[next]);
        run(("PRAGMA user_version = " + std::to_string(next + 1)).c_str());
        t.commit();
    }
}

std::optional<snapshot_record> snapshot_store::database::find(const std::string& name) {
    snapshot_record r;
    {
        auto s =
          prepare("SELECT s.id, p.name, s.kind, s.created_ns, s.updated_ns, s.size, s.inodes,"
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
        r.layer = s.maybe_layer(7);
    }
    r.info.labels = labels_of(r.id);
    return r;
}

snapshot_record snapshot_store::database::need(const std::string& name) {
    auto found = find(name);
    if (!found) {
        fail(errc::not_found, "snapshot " + quoted(name) + " does not exist");
    }
    return std::move(*found);
}

std::vector<snapshot_link> snapshot_store::database::chain_from(std::optional<std::int64_t> id) {
    std::vector<snapshot_link> chain;
    auto s = prepare("WITH RECURSIVE chain(depth, id, parent, layer) AS ("
                     " SELECT 0, id, parent, layer FROM snapshots WHERE id = ?"
                     " UNION ALL SELECT depth + 1, s.id, s.parent, s.layer"
                     " FROM chain JOIN snapshots s ON s.id = chain.parent)"
                     " SELECT id, layer FROM chain ORDER BY depth");
    s.with(id);
    while (s.step()) {
        chain.push_back({s.number(0), s.maybe_layer(1)});
    }
    return chain;
}

snapshot_labels snapshot_store::database::labels_of(std::int64_t id) {
    snapshot_labels labels;
    auto s = prepare("SELECT key, value FROM labels WHERE snapshot = ?");
    s.with(id);
    while (s.step()) {
        labels.emplace(s.text(0), s.text(1));
    }
    return labels;
}

void snapshot_store::database::set_labels(std::int64_t id, const snapshot_labels& labels) {
    need_valid(labels);
    prepare("DELETE FROM labels WHERE snapshot = ?").with(id).step();
    for (const auto& [key, value] : labels) {
        if (!value.empty()) {
            prepare("INSERT INTO labels VALUES (?, ?, ?)").with(id, key, value).step();
        }
    }
}

// The parent's record, if there is to be one.
std::optional<snapshot_record>
snapshot_store::database::check_new(const std::string& key, const std::string& parent) {
    check_name("a snapshot's key", key);
    std::optional<snapshot_record> found;
    if (!parent.empty()) {
        found = find(parent);
        if (!found) {
            fail(errc::not_found, "parent snapshot " + quoted(parent) + " does not exist");
        }
        if (found->info.kind != snapshot_kind::committed) {
            fail(errc::invalid_argument, "parent snapshot " + quoted(parent) + " is not committed");
        }
    }
    if (prepare("SELECT 1 FROM snapshots WHERE name = ?").with(key).step()) {
        fail(errc::already_exists, "snapshot " + quoted(key) + ": already exists");
    }
    return found;
}

std::int64_t snapshot_store::database::insert(
  const snapshot_record& made, const std::optional<snapshot_record>& parent) {
    const auto now = now_ns();
    const auto above = parent ? std::optional(parent->id) : std::nullopt;
    prepare("INSERT INTO snapshots (name, parent, kind, created_ns, updated_ns, layer)"
            " VALUES (?, ?, ?, ?, ?, ?)")
      .with(made.info.name, above, static_cast<std::int64_t>(made.info.kind), now, now, made.layer)
      .step();
    const auto id = last_id();
    set_labels(id, made.info.labels);
    return id;
}

namespace {

// Turns what `work` throws into its result.
template <class F, class R = std::invoke_result_t<F&>>
R guarded(F work) {
    try {
        return work();
    } catch (const failure& f) {
        return f.what;
    }
}

std::optional<std::int64_t> id_of(const std::optional<snapshot_record>& r) {
    return r ? std::optional(r->id) : std::nullopt;
}

} // namespace

result<std::unique_ptr<snapshot_store>> snapshot_store::open(const std::string& path) {
    return guarded([&]() -> result<std::unique_ptr<snapshot_store>> {
        auto db = std::make_unique<database>(path);
        db->check();
        db->migrate();
        return std::unique_ptr<snapshot_store>(new snapshot_store(std::move(db)));
    });
}

snapshot_store::snapshot_store(std::unique_ptr<database> db)
  : db_(std::move(db)) {
}

snapshot_store::~snapshot_store() = default;

result<snapshot_record> snapshot_store::get(const std::string& name) {
    return guarded([&]() -> result<snapshot_record> { return db_->need(name); });
}

result<snapshot_chain> snapshot_store::chain_of(const std::string& key) {
    return guarded([&]() -> result<snapshot_chain> {
        const auto own = db_->need(key);
        if (own.info.kind == snapshot_kind::committed) {
            fail(errc::failed_precondition, "snapshot " + quoted(key) + " is not active or a view");
        }
        auto links = db_->chain_from(own.id);
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
        return db_->chain_from(id_of(db_->check_new(key, parent)));
    });
}

result<snapshot_chain> snapshot_store::create(
  snapshot_kind kind, const std::string& key, const std::string& parent,
  const snapshot_labels& labels, const arrange& before_commit) {
    return guarded([&]() -> result<snapshot_chain> {
        database::transaction t(*db_);
        const auto above = db_->check_new(key, parent);
        snapshot_record made;
        made.info.name = key;
        made.info.kind = kind;
        made.info.labels = labels;
        snapshot_chain chain;
        chain.kind = kind;
        chain.own.id = db_->insert(made, above);
        chain.parents = db_->chain_from(id_of(above));
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
        const auto above = db_->check_new(name, parent);
        if (!db_->prepare("SELECT 1 FROM layers WHERE number = ?").with(layer).step()) {
            fail(errc::not_found, "there is no layer " + std::to_string(layer));
        }
        snapshot_record made;
        made.info.name = name;
        made.info.kind = snapshot_kind::committed;
        made.info.labels = labels;
        made.layer = layer;
        const auto id = db_->insert(made, above);
        t.commit();
        return snapshot_link{id, layer};
    });
}

result<std::int64_t> snapshot_store::check_commit(const commit_request& request) {
    return guarded([&]() -> result<std::int64_t> {
        check_name("a snapshot's name", request.name);
        const auto active = db_->need(request.key);
        if (request.id != 0 && active.id != request.id) {
            fail(errc::not_found, "snapshot " + quoted(request.key) + " was removed meanwhile");
        }
        if (db_->find(request.name)) {
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
            if (db_->need(request.parent).info.kind != snapshot_kind::committed) {
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
              .with(db_->need(request.parent).id, *id)
              .step();
        }
        db_->set_labels(*id, request.labels);
        t.commit();
        return {};
    });
}

result<snapshot_link> snapshot_store::remove(const std::string& name) {
    return guarded([&]() -> result<snapshot_link> {
        database::transaction t(*db_);
        const auto gone = db_->need(name);
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
        auto now = db_->need(info.name);
        db_->set_labels(now.id, updated(now.info.labels, info, mask));
        const auto at = now_ns();
        db_->prepare("UPDATE snapshots SET updated_ns = ? WHERE id = ?").with(at, now.id).step();
        now.info.labels = db_->labels_of(now.id);
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
            info.labels = db_->labels_of(s.number(0));
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
            all.push_back({s.number(0), s.maybe_layer(1)});
        }
        return all;
    });
}

result<std::uint32_t> snapshot_store::find_or_add_layer(
  const digest& blob, const digest& toc, std::uint64_t blob_size, const std::string& reference) {
    return guarded([&]() -> result<std::uint32_t> {
        if (blob_size > std::numeric_limits<std::int64_t>::max()) {
            fail(errc::invalid_argument, blob.to_string() + ": no blob is that large");
        }
        database::transaction t(*db_);
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
          .with(number, reference, now_ns())
          .step();
        db_
          ->prepare("DELETE FROM layer_sources WHERE layer = ?1 AND reference NOT IN ("
                    " SELECT reference FROM layer_sources WHERE layer = ?1"
                    " ORDER BY seen_ns DESC LIMIT ?2)")
          .with(number, std::int64_t{sources_kept})
          .step();
        t.commit();
        return static_cast<std::uint32_t>(number);
    });
}

namespace {

template <class Statement>
std::vector<layer_record> read_layers(Statement s) {
    std::vector<layer_record> layers;
    while (s.step()) {
        layer_record r;
        r.number = static_cast<std::uint32_t>(s.number(0));
        r.blob = s.blob(1);
        r.toc = s.blob(2);
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
