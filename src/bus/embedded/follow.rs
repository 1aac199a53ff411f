//! Listening: everything announced, as it is announced, by any process.
//!
//! Owns notices and the tasks that follow the tables for listeners. A listener follows what is stored, so that other
//! processes are heard as well; must never hold up who speaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::{Connection, params};
use tokio::sync::{mpsc, watch};

use super::find;
use super::schema::stream_table;
use super::shared::Shared;
use super::store::{Store, id_of};
use crate::bus::{BusError, EntryId, Heard, Listener};
use crate::contracts::ChannelName;

/// What a listener may be behind.
const HEARD_CAP: usize = 1_024;
/// Most that is read at a time.
const PAGE: i64 = 256;
/// Notices that are kept, and for how long, for other processes to read.
const NOTICES: i64 = 10_000;
const NOTICE_MS: i64 = 60_000;
/// How often the table of notices is cut, in notices.
const NOTICE_CUT: i64 = 64;

impl Store {
    /// Says a notice.
    pub(super) fn notify(&mut self, channel: ChannelName, e: &str, b: &str) -> rusqlite::Result<()> {
        self.conn.prepare_cached("INSERT INTO notices(at, channel, e, b) VALUES(?1, ?2, ?3, ?4)")?.execute(params![
            self.wall(),
            channel.as_str(),
            e,
            b
        ])?;
        self.noticed = true;
        if self.conn.last_insert_rowid() % NOTICE_CUT == 0 {
            self.clear_notices()?;
        }
        Ok(())
    }

    /// Removes notices that are too old or too many.
    pub(super) fn clear_notices(&self) -> rusqlite::Result<()> {
        self.conn
            .prepare_cached("DELETE FROM notices WHERE id <= (SELECT max(id) FROM notices) - ?1")?
            .execute([NOTICES])?;
        // A wall clock that was set back leaves notices of the future: they go, too.
        let now = self.wall();
        self.conn
            .prepare_cached(
                "DELETE FROM notices WHERE id <= (SELECT max(id) FROM (SELECT id, at FROM notices ORDER BY id LIMIT 1000)
                 WHERE at < ?1 OR at > ?2)",
            )?
            .execute([now - NOTICE_MS, now + NOTICE_MS])?;
        Ok(())
    }
}

/// How far a listener has come.
#[derive(Clone)]
struct Cursor {
    /// The last position heard of each channel, and its id.
    streams: Vec<(ChannelName, i64, EntryId)>,
    notice: i64,
}

fn here(conn: &Connection, channels: &[ChannelName]) -> rusqlite::Result<Cursor> {
    let mut streams = Vec::new();
    for channel in channels {
        let last = super::store::last_place(conn, *channel)?;
        streams.push((*channel, last.pos, last.id));
    }
    // Ids of notices that are gone are not given again, and the table knows the last.
    let mut last = conn.prepare_cached("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'notices'")?;
    Ok(Cursor { streams, notice: last.query_row([], |row| row.get(0))? })
}

/// A page of what was announced after the cursor, and how many notices had gone before they were heard.
fn announced(conn: &Connection, cursor: &mut Cursor) -> rusqlite::Result<(Vec<Heard>, u64)> {
    let mut heard = Vec::new();
    for (channel, pos, id) in &mut cursor.streams {
        let sql = format!(
            "SELECT pos, ms, seq, quiet, e, b FROM {} WHERE pos > ?1 ORDER BY pos LIMIT ?2",
            stream_table(*channel)
        );
        let mut statement = conn.prepare_cached(&sql)?;
        let mut rows = statement.query(params![*pos, PAGE])?;
        while let Some(row) = rows.next()? {
            *pos = row.get(0)?;
            *id = id_of(row.get(1)?, row.get(2)?);
            if !row.get::<_, bool>(3)? {
                heard.push(heard_of(*channel, row.get_ref(4)?.as_str().unwrap_or_default(), row.get(5)?));
            }
        }
    }
    let mut missed = 0;
    let mut statement =
        conn.prepare_cached("SELECT id, channel, e, b FROM notices WHERE id > ?1 ORDER BY id LIMIT ?2")?;
    let mut rows = statement.query(params![cursor.notice, PAGE])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        missed += u64::try_from(id - cursor.notice - 1).unwrap_or(0);
        cursor.notice = id;
        let name = row.get_ref(1)?;
        let channel = cursor.streams.iter().find(|(channel, ..)| name.as_str() == Ok(channel.as_str()));
        if let Some((channel, ..)) = channel {
            heard.push(heard_of(*channel, row.get_ref(2)?.as_str().unwrap_or_default(), row.get(3)?));
        }
    }
    Ok((heard, missed))
}

fn heard_of(channel: ChannelName, e: &str, body: String) -> Heard {
    Heard { channel, envelope: serde_json::from_str(e).ok(), body }
}

/// Starts a task that follows the channels from now on.
pub(super) async fn listen(shared: &Arc<Shared>, channels: &[ChannelName]) -> Result<Listener, BusError> {
    let bell = shared.bell();
    let wanted = channels.to_vec();
    let cursor = shared.read_only(move |conn| here(conn, &wanted)).await?;
    let (queue, heard) = mpsc::channel(HEARD_CAP);
    let dropped = Arc::new(AtomicU64::new(0));
    let follower = Follower { shared: Arc::clone(shared), cursor, queue, dropped: Arc::clone(&dropped) };
    tokio::spawn(follower.run(bell));
    Ok(Listener { heard, dropped })
}

struct Follower {
    shared: Arc<Shared>,
    cursor: Cursor,
    queue: mpsc::Sender<Heard>,
    dropped: Arc<AtomicU64>,
}

impl Follower {
    /// Runs until the listener or the bus is gone, or the store cannot be read: then the queue closes.
    async fn run(mut self, mut bell: watch::Receiver<u64>) {
        let shared = Arc::clone(&self.shared);
        let _attention = shared.attend();
        loop {
            loop {
                match self.page().await {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) => {
                        if error != BusError::Closed {
                            tracing::warn!(%error, "a listener lost the store");
                        }
                        return;
                    }
                }
            }
            tokio::select! {
                () = self.queue.closed() => return,
                rung = bell.changed() => if rung.is_err() || self.shared.is_closed() { return },
            }
        }
    }

    /// Passes a page on. Returns how much it was.
    async fn page(&mut self) -> Result<usize, BusError> {
        let mut cursor = self.cursor.clone();
        let read = move |conn: &Connection| {
            let (heard, missed) = announced(conn, &mut cursor)?;
            Ok((heard, missed, cursor))
        };
        let (heard, missed, cursor) = self.shared.read_only(read).await?;
        self.cursor = cursor;
        self.dropped.fetch_add(missed, Ordering::Relaxed);
        let count = heard.len();
        for item in heard {
            if let Err(mpsc::error::TrySendError::Full(_)) = self.queue.try_send(item) {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(count)
    }
}

/// Waits until one of the cursors has something after it, the bell says so, or the wait is over.
pub(super) async fn wait_for_news(
    shared: &Shared,
    bell: &mut watch::Receiver<u64>,
    cursors: &[(ChannelName, EntryId)],
) {
    loop {
        if bell.changed().await.is_err() || shared.is_closed() || shared.has_after(cursors) {
            return;
        }
    }
}

/// A page of each cursor's channel.
pub(super) fn after(
    conn: &Connection,
    cursors: &[(ChannelName, EntryId)],
    limit: usize,
) -> rusqlite::Result<Vec<crate::bus::Entry>> {
    let mut entries = Vec::new();
    for (channel, after) in cursors {
        // Most cursors stand at the end.
        if find::newest(conn, *channel)?.is_some_and(|newest| newest > *after) {
            entries.extend(find::range(conn, *channel, crate::bus::Range::after(*after, limit))?);
        }
    }
    Ok(entries)
}
