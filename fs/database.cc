#include "fs/database.h"

#include <sqlite3.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

namespace firstlight {

namespace {

fault fault_of(sqlite3* db) {
    const int code = sqlite3_extended_errcode(db) & 0xFF;
    const int system = sqlite3_system_errno(db);
    auto kind = errc::io_error;
    if (code == SQLITE_FULL || system == ENOSPC || system == EDQUOT) {
        kind = errc::no_space;
    } else if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) {
        kind = errc::corrupt;
    } else if (code == SQLITE_BUSY || code == SQLITE_LOCKED) {
        kind = errc::unavailable;
    }
    return fault(kind, sqlite3_errmsg(db)).in("snapshot database");
}

// Keeps a second daemon out by holding the file's lock, and needs no shared memory
// file. FULL: containerd remembers a snapshot from our answer on, so the answer must
// survive a power failure; its own store syncs each transaction too.
constexpr const char* settings = "PRAGMA locking_mode = EXCLUSIVE;"
                                 "PRAGMA journal_mode = WAL;"
                                 "PRAGMA synchronous = FULL;"
                                 "PRAGMA foreign_keys = ON;";

} // namespace

void database::closer::operator()(sqlite3* db) const noexcept {
    sqlite3_close_v2(db);
}

void database::closer::operator()(sqlite3_stmt* s) const noexcept {
    sqlite3_finalize(s);
}

database::database(const std::string& path, std::span<const char* const> migrations)
  : path_(path) {
    open();
    check();
    migrate(migrations);
}

void database::open() {
    constexpr int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    sqlite3* opened = nullptr;
    const int code = sqlite3_open_v2(path_.c_str(), &opened, flags, nullptr);
    db_.reset(opened); // to be closed even if it failed
    if (!opened) {
        fail(errc::io_error, "cannot open " + path_);
    }
    if (code != SQLITE_OK) {
        throw database_failure(fault_of(opened).in("cannot open " + path_));
    }
    try {
        sqlite3_extended_result_codes(opened, 1);
        run(settings);
    } catch (const database_failure& f) {
        const bool busy = f.why().code() == errc::unavailable;
        throw database_failure(f.why().in(
          busy ? path_ + " is in use by another process; stop that one first"
               : "cannot open " + path_));
    }
}

void database::check() {
    std::string found;
    try {
        auto s = prepare("PRAGMA quick_check(1)");
        found = s.step() ? s.text(0) : "no answer";
        if (found == "ok" && prepare("PRAGMA foreign_key_check").step()) {
            found = "a record refers to a missing one";
        }
    } catch (const database_failure& f) {
        found = f.what();
    }
    if (found != "ok") {
        fail(
          errc::corrupt,
          path_ + " is damaged: " + found +
            "; restore it, or move it away to start empty and have containerd forget the "
            "snapshots too");
    }
}

void database::migrate(std::span<const char* const> migrations) {
    // user_version is part of the file's header and changes with the transaction.
    std::uint64_t version = 0;
    {
        auto s = prepare("PRAGMA user_version");
        s.step();
        version = static_cast<std::uint64_t>(s.number(0));
    }
    if (version > migrations.size()) {
        fail(
          errc::unsupported, path_ + " has schema version " + std::to_string(version) +
                               ", this program knows up to " + std::to_string(migrations.size()) +
                               "; run the newer version");
    }
    for (auto next = version; next < migrations.size(); ++next) {
        transaction t(*this);
        run(migrations[next]);
        run("PRAGMA user_version = " + std::to_string(next + 1));
        t.commit();
    }
}

void database::run(const std::string& sql) {
    attempt(sqlite3_exec(db_.get(), sql.c_str(), nullptr, nullptr, nullptr));
}

void database::attempt(int code) {
    if (code != SQLITE_OK) {
        throw database_failure(fault_of(db_.get()));
    }
}

database::statement database::prepare(const char* sql) {
    auto& kept = prepared_[sql];
    if (!kept) {
        sqlite3_stmt* made = nullptr;
        attempt(sqlite3_prepare_v3(db_.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &made, nullptr));
        kept.reset(made);
    }
    return {db_.get(), kept.get()};
}

std::int64_t database::last_id() const {
    return sqlite3_last_insert_rowid(db_.get());
}

database::statement::~statement() {
    if (s_) {
        sqlite3_reset(s_);
        sqlite3_clear_bindings(s_);
    }
}

bool database::statement::step() {
    const int code = sqlite3_step(s_);
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
        throw database_failure(fault_of(db_));
    }
    return code == SQLITE_ROW;
}

std::int64_t database::statement::number(int column) {
    return sqlite3_column_int64(s_, column);
}

std::optional<std::int64_t> database::statement::maybe_number(int column) {
    if (sqlite3_column_type(s_, column) == SQLITE_NULL) {
        return std::nullopt;
    }
    return number(column);
}

std::string database::statement::text(int column) {
    const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(s_, column));
    const auto size = static_cast<std::size_t>(sqlite3_column_bytes(s_, column));
    return bytes ? std::string(bytes, size) : std::string();
}

digest database::statement::digest_at(int column) {
    std::array<std::byte, digest::size> raw{};
    const void* bytes = sqlite3_column_blob(s_, column);
    if (static_cast<std::size_t>(sqlite3_column_bytes(s_, column)) != raw.size()) {
        fail(errc::corrupt, "snapshot database: a digest of the wrong length");
    }
    std::memcpy(raw.data(), bytes, raw.size());
    return digest(raw);
}

// A bind can only fail by a wrong index, a too long value or a lack of memory.
void database::statement::bind(int i, std::int64_t n) {
    if (sqlite3_bind_int64(s_, i, n) != SQLITE_OK) {
        throw database_failure(fault_of(db_));
    }
}

void database::statement::bind(int i, const std::string& text) {
    if (
      sqlite3_bind_text64(s_, i, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8) !=
      SQLITE_OK) {
        throw database_failure(fault_of(db_));
    }
}

void database::statement::bind(int i, const digest& d) {
    if (sqlite3_bind_blob64(s_, i, d.bytes().data(), digest::size, SQLITE_STATIC) != SQLITE_OK) {
        throw database_failure(fault_of(db_));
    }
}

void database::statement::bind_null(int i) {
    if (sqlite3_bind_null(s_, i) != SQLITE_OK) {
        throw database_failure(fault_of(db_));
    }
}

database::transaction::lax_sync::lax_sync(database& db)
  : db_(db) {
    db_.prepare("PRAGMA synchronous = NORMAL").step(); // WAL: synced at a checkpoint only
}

database::transaction::lax_sync::~lax_sync() {
    // Outside of a transaction this cannot fail.
    sqlite3_exec(db_.db_.get(), "PRAGMA synchronous = FULL", nullptr, nullptr, nullptr);
}

database::transaction::transaction(database& db, kept when)
  : db_(db) {
    if (when == kept::later) {
        lax_.emplace(db_);
    }
    db_.prepare("BEGIN IMMEDIATE").step();
}

database::transaction::~transaction() {
    if (done_) {
        return;
    }
    try {
        db_.prepare("ROLLBACK").step();
    } catch (const database_failure&) {
        // SQLite has rolled back by itself, as it does when the disk is full.
    }
}

void database::transaction::commit() {
    db_.prepare("COMMIT").step();
    done_ = true;
}

} // namespace firstlight
