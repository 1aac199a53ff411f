//! The threads that never hold anybody up: the doorbell for other processes, the checkpoints, the search index.
//!
//! Owns when they look. Must never write in a moment in which a caller waits for the writer, if there is a better one.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use rusqlite::Connection;

use super::queue::Message;
use super::schema::{Role, connect};
use super::shared::Shared;
use super::store::data_version;

/// How often the doorbell looks, while somebody waits.
const LOOK: Duration = Duration::from_millis(20);
/// A log that has looked the same from outside so often is not looked into: file times are coarse, but not as coarse as this.
const SETTLED: u32 = 3;
/// It is looked into after so many looks in any case.
const LOOKED_INTO: u32 = 50;
/// How often the checkpointer looks.
const CHECKPOINT_LOOK: Duration = Duration::from_secs(1);
/// A log of this size is moved into the file; a smaller one once a minute.
const CHECKPOINT_BYTES: u64 = 4 << 20;
const CHECKPOINT_LOOKS: u32 = 60;
/// From this size on the log has to start again from its beginning, though writers wait for that a moment.
const RESTART_BYTES: u64 = 64 << 20;
/// How often the search index is brought up to date, and how much of it at a time.
const INDEX_LOOK: Duration = Duration::from_millis(500);
const INDEX_PAUSE: Duration = Duration::from_millis(5);
const INDEX_BATCH: usize = 64;
/// How long it waits for a quiet moment, and how often it does before it takes a busy one.
const INDEX_RETRY: Duration = Duration::from_millis(20);
const INDEX_PATIENCE: u32 = 25;

/// A thread's name is shown by the tools of the system.
pub(super) fn start(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> Result<thread::JoinHandle<()>, crate::bus::BusError> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map_err(|error| {
        crate::bus::BusError::Unreachable(format!("the thread `{name}` could not be started: {error}"))
    })
}

/// Tells the writer when another process has written, while somebody waits for that.
pub(super) fn doorbell(shared: &Shared) {
    let mut conn: Option<Connection> = None;
    let mut seen = None;
    let (log, mut outside, mut same) = (log_of(shared.path()), None, 0);
    while !shared.is_closed() {
        if !shared.is_attended() {
            thread::park();
            continue;
        }
        // Whoever writes makes the log longer, or at the least younger: that costs a tenth of what asking the store does.
        let now = outside_of(&log);
        same = if now.is_none() || now != outside { 0 } else { same + 1 };
        outside = now;
        if same >= SETTLED && !same.is_multiple_of(LOOKED_INTO) {
            thread::park_timeout(LOOK);
            continue;
        }
        let now = match &conn {
            Some(conn) => data_version(conn),
            None => connect(shared.path(), Role::Reader).and_then(|fresh| {
                let now = data_version(&fresh);
                conn = Some(fresh);
                now
            }),
        };
        match now {
            Ok(now) if seen != Some(now) => {
                // A writer that is too busy to be told looks by itself.
                let _ = shared.tell(Message::Rung);
                seen = Some(now);
            }
            Ok(_) => {}
            Err(_) => conn = None,
        }
        thread::park_timeout(LOOK);
    }
}

/// How a file looks from outside: when it was written last, and how long it is; none where it is not there.
fn outside_of(path: &std::path::Path) -> Option<(std::time::SystemTime, u64)> {
    let about = std::fs::metadata(path).ok()?;
    Some((about.modified().ok()?, about.len()))
}

/// Moves the write-ahead log into the file.
pub(super) fn checkpointer(shared: &Shared) {
    let Ok(conn) = connect(shared.path(), Role::Checkpointer) else {
        return;
    };
    let log = log_of(shared.path());
    let mut seen = data_version(&conn).ok();
    let mut looks = 0;
    while !shared.is_closed() {
        thread::park_timeout(CHECKPOINT_LOOK);
        looks += 1;
        let bytes = std::fs::metadata(&log).map_or(0, |meta| meta.len());
        if bytes < CHECKPOINT_BYTES && looks < CHECKPOINT_LOOKS {
            continue;
        }
        let now = data_version(&conn).ok();
        if now == seen {
            continue;
        }
        seen = now;
        looks = 0;
        let passive = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>(0));
        if bytes > RESTART_BYTES {
            // Little is left to do after the passive one; where readers are in the way it is tried again.
            let _ = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        }
        if let Err(error) = passive {
            tracing::warn!(%error, "the log could not be moved into the file; it is tried again");
        }
    }
}

/// The log that belongs to a file.
pub(super) fn log_of(path: &std::path::Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    PathBuf::from(log)
}

/// Keeps the search index up to date in quiet moments. Processes that do it at once share the work: each batch is a transaction
/// that starts where the last one ended.
pub(super) fn indexer(shared: &Arc<Shared>) {
    let mut asked = shared.asked.load(Ordering::Relaxed);
    let mut busy = 0;
    let mut pause = INDEX_LOOK;
    let Ok(conn) = connect(shared.path(), Role::Reader) else {
        return;
    };
    while !shared.is_closed() {
        thread::park_timeout(pause);
        let now = shared.asked.load(Ordering::Relaxed);
        if now != asked && busy < INDEX_PATIENCE {
            asked = now;
            busy += 1;
            pause = INDEX_RETRY;
            continue;
        }
        busy = 0;
        pause = INDEX_LOOK;
        if !matches!(super::search::is_behind(&conn), Ok(true)) {
            continue;
        }
        match shared.write_blocking(|store| store.index(INDEX_BATCH).map(Ok)) {
            Some(Ok(taken)) if taken > 0 => pause = INDEX_PAUSE,
            Some(Err(error)) => tracing::warn!(%error, "the search index could not be brought up to date"),
            Some(Ok(_)) | None => {}
        }
    }
}
