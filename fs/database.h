#pragma once
// SQLite, as much of it as the snapshot store needs.

#include "actors/digest.h"
#include "actors/result.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>

struct sqlite3;
struct sqlite3_stmt;

namespace firstlight {

/// A fault on its way out of code that uses a database. It unwinds, so that a
/// transaction is rolled back; guarded() makes it a result again.
class database_failure : public std::runtime_error {
public:
    explicit database_failure(fault why)
      : runtime_error(why.context())
      , why_(std::move(why)) {}
    const fault& why() const noexcept { return why_; }

private:
    fault why_;
};

[[noreturn]] inline void fail(errc code, std::string context) {
    throw database_failure(fault(code, std::move(context)));
}

/// What `work` returns, or the fault it failed with.
template <class F, class R = std::invoke_result_t<F&>>
R guarded(F work) {
    try {
        return work();
    } catch (const database_failure& f) {
        return f.why();
    }
}

/// One SQLite file, open for writing, and for nobody else. What a transaction
/// committed survives power loss, unless it says otherwise. One thread at a time.
///
/// Everything here fails by database_failure: io_error, no_space, corrupt, or
/// unavailable when another process has the file.
class database {
public:
    /// Opens or creates the file and checks all of it. `migrations` are the changes
    /// of its schema since the beginning; those it has not seen yet are applied.
    /// Also unsupported, when it has seen more.
    database(const std::string& path, std::span<const char* const> migrations);
    database(const database&) = delete;
    database& operator=(const database&) = delete;

    /// One execution of a prepared statement, which is reset when it ends.
    class statement;
    /// Rolled back unless committed.
    class transaction;

    /// `sql` is a literal: statements are kept by its address. A statement must
    /// have ended before it is used again.
    statement prepare(const char* sql);

    /// The id that the last INSERT gave.
    std::int64_t last_id() const;

private:
    void open();
    void check();
    void migrate(std::span<const char* const> migrations);
    void run(const std::string& sql); // may hold several statements
    void attempt(int code);

    struct closer {
        void operator()(sqlite3* db) const noexcept;
        void operator()(sqlite3_stmt* s) const noexcept;
    };

    const std::string path_;
    std::unique_ptr<sqlite3, closer> db_; // before the statements, which end first
    std::unordered_map<const char*, std::unique_ptr<sqlite3_stmt, closer>> prepared_;
};

class database::statement {
public:
    statement(sqlite3* db, sqlite3_stmt* s) noexcept
      : db_(db)
      , s_(s) {}
    statement(statement&& o) noexcept
      : db_(o.db_)
      , s_(std::exchange(o.s_, nullptr)) {}
    statement& operator=(statement&&) = delete;
    ~statement();

    /// Binds all parameters, in order. Text and digests must live until the
    /// statement ends; std::nullopt is NULL.
    template <class... Values>
    statement& with(const Values&... values) {
        int i = 0;
        (bind(++i, values), ...);
        return *this;
    }

    /// Runs it, up to its next row. True if there is one.
    bool step();

    // Columns of the row, from 0.
    std::int64_t number(int column);
    std::optional<std::int64_t> maybe_number(int column);
    std::string text(int column); // empty for NULL
    digest digest_at(int column); // corrupt if it is none

private:
    void bind(int i, std::int64_t n);
    void bind(int i, std::uint32_t n) { bind(i, std::int64_t{n}); }
    void bind(int i, const std::string& text);
    void bind(int i, const digest& d);
    void bind_null(int i);
    template <class T>
    void bind(int i, const std::optional<T>& maybe) {
        if (maybe) {
            bind(i, *maybe);
        } else {
            bind_null(i);
        }
    }

    sqlite3* db_;
    sqlite3_stmt* s_;
};

class database::transaction {
public:
    enum class kept {
        at_commit, // survives power loss from then on
        later,     // may be lost with the power, as if it had not been, until another is kept
    };
    explicit transaction(database& db, kept when = kept::at_commit);
    ~transaction();
    transaction(const transaction&) = delete;
    transaction& operator=(const transaction&) = delete;
    void commit();

private:
    // While it lives, commits are synced with a later one.
    class lax_sync {
    public:
        explicit lax_sync(database& db);
        ~lax_sync();
        lax_sync(const lax_sync&) = delete;
        lax_sync& operator=(const lax_sync&) = delete;

    private:
        database& db_;
    };

    database& db_;
    std::optional<lax_sync> lax_; // ends after the rollback, and where none could begin
    bool done_ = false;
};

} // namespace firstlight
