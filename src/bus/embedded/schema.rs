//! The tables of the embedded store, how connections to it are set up, and how its errors are told.
//!
//! Owns every table's definition and the numbered list of migrations. Must never hold a rule of the bus.
//!
//! | table | holds |
//! |---|---|
//! | `stream_…` | the entries of one channel; `pos` counts up by one, in the order of the ids, so an id is found by halving |
//! | `channels` | the newest id a channel ever gave (written when it is trimmed), and how far the search index has come |
//! | `groups`, `progress` | which groups there are, and how far each has come; a group deleted by hand leaves its progress |
//! | `consumers`, `pending` | who reads, and what was handed out and is not acknowledged |
//! | `docs`, `fields`, `items` | state: keys; the fields and members; the lists |
//! | `timers`, `once`, `leases`, `notices` | as they are called |
//! | `words` | the search index, without texts of its own |
//!
//! Times named `since`, `seen` and `until` are milliseconds of the monotonic clock of the boot in `meta`; negative means long ago.
//! `expires` and `at` are wall time in milliseconds since 1970.

use std::path::Path;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::bus::{BusError, SCHEMA_VERSION};
use crate::contracts::ChannelName;

/// How long a connection tries to get in before it gives up, in tries of half a millisecond. The checkpointer gives way.
const BUSY_TRIES: i32 = 20_000;
const CHECKPOINT_TRIES: i32 = 20;

/// Everything but the streams.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS channels(name TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, last_pos INTEGER NOT NULL DEFAULT 0,
  last_ms INTEGER NOT NULL DEFAULT 0, last_seq INTEGER NOT NULL DEFAULT 0, indexed INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS groups(channel TEXT NOT NULL, name TEXT NOT NULL, seen INTEGER, PRIMARY KEY(channel, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS progress(id INTEGER PRIMARY KEY, channel TEXT NOT NULL, name TEXT NOT NULL, pos INTEGER NOT NULL,
  ms INTEGER NOT NULL, seq INTEGER NOT NULL, UNIQUE(channel, name));
CREATE TABLE IF NOT EXISTS consumers(id INTEGER PRIMARY KEY, grp INTEGER NOT NULL, name TEXT NOT NULL, seen INTEGER NOT NULL,
  UNIQUE(grp, name));
CREATE TABLE IF NOT EXISTS pending(grp INTEGER NOT NULL, ms INTEGER NOT NULL, seq INTEGER NOT NULL, pos INTEGER NOT NULL,
  consumer INTEGER NOT NULL, since INTEGER NOT NULL, attempt INTEGER NOT NULL, PRIMARY KEY(grp, ms, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS docs(id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, type TEXT NOT NULL, version INTEGER NOT NULL,
  expires INTEGER, text TEXT);
CREATE INDEX IF NOT EXISTS docs_expires ON docs(expires) WHERE expires IS NOT NULL;
CREATE TABLE IF NOT EXISTS fields(doc INTEGER NOT NULL, name TEXT NOT NULL, value, PRIMARY KEY(doc, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS items(doc INTEGER NOT NULL, pos INTEGER NOT NULL, value TEXT NOT NULL, PRIMARY KEY(doc, pos)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS timers(id TEXT PRIMARY KEY, at INTEGER NOT NULL, message TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS timers_at ON timers(at);
CREATE TABLE IF NOT EXISTS once(key TEXT PRIMARY KEY, entries TEXT NOT NULL, expires INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leases(name TEXT PRIMARY KEY, owner TEXT, number INTEGER NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notices(id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, channel TEXT NOT NULL, e TEXT NOT NULL,
  b TEXT NOT NULL);
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(e, b, content='', contentless_delete=1, detail=full);
";

/// Tables and their columns in the order in which a damaged store is read, with what orders their rows.
pub(super) const SALVAGED: &[(&str, &str, &str)] = &[
    ("groups", "channel, name, seen", "channel, name"),
    ("progress", "id, channel, name, pos, ms, seq", "id"),
    ("consumers", "id, grp, name, seen", "id"),
    ("pending", "grp, ms, seq, pos, consumer, since, attempt", "grp, ms, seq"),
    ("docs", "id, key, type, version, expires, text", "id"),
    ("fields", "doc, name, value", "doc, name"),
    ("items", "doc, pos, value", "doc, pos"),
    ("timers", "id, at, message", "id"),
    ("once", "key, entries, expires", "key"),
    ("leases", "name, owner, number, until", "name"),
];

/// The columns of a stream, oldest first by `pos`. `quiet` is 1 for an entry that is not announced.
pub(super) const STREAM_COLUMNS: &str = "pos, ms, seq, quiet, e, b";

/// The table of a channel's entries.
pub(super) fn stream_table(channel: ChannelName) -> String {
    format!("stream_{}", channel.short())
}

/// A step from one schema version to the next.
pub(super) type Migration = fn(&Connection) -> rusqlite::Result<()>;

/// The step at index `n` leads from version `n + 1` to `n + 2`.
pub(super) const MIGRATIONS: &[Migration] = &[];

/// Which version the file has; 0 for a new one.
pub(super) fn version(conn: &Connection) -> rusqlite::Result<u32> {
    conn.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Makes what is not there yet: all tables of a new file, the streams of channels that are new in this program.
pub(super) fn complete(conn: &Connection) -> rusqlite::Result<()> {
    let there: std::collections::HashSet<String> = conn
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table'")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let complete = there.contains("words") && ChannelName::ALL.iter().all(|c| there.contains(&stream_table(*c)));
    if complete {
        return Ok(());
    }
    conn.execute_batch("BEGIN IMMEDIATE")?;
    conn.execute_batch(TABLES)?;
    for channel in ChannelName::ALL {
        conn.execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS {}(pos INTEGER PRIMARY KEY, ms INTEGER NOT NULL, seq INTEGER NOT NULL,
             quiet INTEGER NOT NULL, e TEXT NOT NULL, b TEXT NOT NULL)",
            stream_table(*channel)
        ))?;
        conn.execute(
            "INSERT OR IGNORE INTO channels(name, number) VALUES(?1, (SELECT coalesce(max(number), 0) + 1 FROM channels))",
            [channel.as_str()],
        )?;
    }
    if version(conn)? == 0 {
        conn.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    }
    conn.execute_batch("COMMIT")
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The one that writes.
    Writer {
        /// Whether each commit is synced to the disk.
        full: bool,
    },
    /// Reads only.
    Reader,
    /// Moves the write-ahead log into the file.
    Checkpointer,
}

/// Opens a connection.
pub(super) fn connect(path: &Path, role: Role) -> rusqlite::Result<Connection> {
    let mut conn = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    let most = if role == Role::Checkpointer { CHECKPOINT_TRIES } else { BUSY_TRIES };
    conn.busy_handler(Some(move |tries: i32| {
        // Other writers let go at least every 50 ms for two: look often.
        thread::park_timeout(Duration::from_micros(500));
        tries < most
    }))?;
    conn.set_prepared_statement_cache_capacity(256);
    conn.pragma_update(None, "journal_mode", "wal")?;
    conn.pragma_update(None, "temp_store", "memory")?;
    // The log is moved into the file by a thread of its own.
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    conn.pragma_update(None, "journal_size_limit", 16 << 20)?;
    match role {
        Role::Writer { full } => {
            conn.pragma_update(None, "synchronous", if full { "full" } else { "normal" })?;
            conn.pragma_update(None, "cache_size", -8_000)?;
        }
        Role::Reader => {
            conn.pragma_update(None, "cache_size", -1_000)?;
            conn.pragma_update(None, "query_only", true)?;
        }
        Role::Checkpointer => conn.pragma_update(None, "cache_size", -500)?,
    }
    Ok(conn)
}

/// Whether an error means that the file is damaged.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Whether an error means that the disk takes nothing more.
pub(super) fn is_disk(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure | ErrorCode::ReadOnly | ErrorCode::CannotOpen)
    )
}

/// `SQLITE_IOERR_FSYNC`: everything was written, and nobody can say whether it stays.
const IOERR_FSYNC: i32 = 1034;

/// What an error of SQLite's means to a caller of the bus.
pub(super) fn told(error: &rusqlite::Error, path: &Path) -> BusError {
    let file = path.display();
    if let rusqlite::Error::SqliteFailure(failure, _) = error
        && failure.extended_code == IOERR_FSYNC
    {
        return BusError::NoAnswer(format!("{file} could not be synced to the disk: {error}"));
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => BusError::ReadOnly {
            reason: format!("the disk or the quota of {file} is full"),
            fix: "Free some space; it goes on by itself".to_owned(),
        },
        Some(
            ErrorCode::SystemIoFailure | ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied,
        ) => BusError::ReadOnly {
            reason: format!("{file}: {error}"),
            fix: "Look at the disk and at the file's owner and mode".to_owned(),
        },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => BusError::ReadOnly {
            reason: format!("{file} is damaged: {error}"),
            fix: "Stop all programs that use it and start again: what can be read is saved then".to_owned(),
        },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            BusError::Unreachable(format!("another program has held {file} for ten seconds"))
        }
        _ => BusError::Protocol(format!("{file}: {error}")),
    }
}

/// A limit as SQLite takes it.
pub(super) fn at_most(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
