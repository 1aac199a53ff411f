//! The floor on SQLite: the same rows as the embedded engine's, written by one thread with one connection, and nothing around it.

use std::path::Path;
use std::time::Instant;

use rusqlite::{Connection, params};

use super::floor_redis::Relayed;
use super::quantiles;

const ENVELOPE: &str = r#"{"id":"01a1fc68-71a8-71c1-9880-be41a7e9c8ca","type":"discord_message","v":1,"source":"control_room","at":"2026-11-21T04:41:05.704Z","trace":"01a1fc68-71a8-71c1-9880-be41a7e9c8ca","priority":"medium","trust":"system"}"#;
const BODY: &str = r#"{"type":"discord_message","message_id":"120001","channel_id":"880042","channel_name":"gtm","username":"mara","user_id":"5551","content":"0","mentions_bot":false,"timestamp":"2026-03-01T09:30:00.000Z"}"#;

/// A file of its own with three channels, and a group on each.
pub struct Floor {
    connection: Connection,
    /// The last position of each channel.
    last: [i64; 3],
}

impl Floor {
    /// Makes the file, with the engine's tables and settings. The log is moved into the file as SQLite does by itself.
    ///
    /// # Errors
    /// Where SQLite fails.
    pub fn open(file: &Path) -> color_eyre::Result<Self> {
        let connection = Connection::open(file)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "cache_size", -8_000)?;
        for channel in 0..3 {
            connection.execute_batch(&format!(
                "CREATE TABLE stream_{channel}(pos INTEGER PRIMARY KEY, ms INTEGER NOT NULL, seq INTEGER NOT NULL,
                   quiet INTEGER NOT NULL, e TEXT NOT NULL, b TEXT NOT NULL);"
            ))?;
        }
        connection.execute_batch(
            "CREATE TABLE progress(id INTEGER PRIMARY KEY, pos INTEGER NOT NULL, ms INTEGER NOT NULL, seq INTEGER NOT NULL);
             INSERT INTO progress VALUES(0, 0, 0, 0), (1, 0, 0, 0), (2, 0, 0, 0);
             CREATE TABLE pending(grp INTEGER NOT NULL, ms INTEGER NOT NULL, seq INTEGER NOT NULL, pos INTEGER NOT NULL,
               consumer INTEGER NOT NULL, since INTEGER NOT NULL, attempt INTEGER NOT NULL, PRIMARY KEY(grp, ms, seq)) WITHOUT ROWID;
             CREATE TABLE once(key TEXT PRIMARY KEY, entries TEXT NOT NULL, expires INTEGER NOT NULL) WITHOUT ROWID;",
        )?;
        Ok(Self { connection, last: [0; 3] })
    }

    /// Entries with idempotency keys, `group` messages a transaction; messages a second.
    ///
    /// # Errors
    /// Where SQLite fails.
    pub fn send(&mut self, count: usize, group: usize) -> color_eyre::Result<f64> {
        let began = Instant::now();
        for _ in 0..count.div_ceil(group) {
            self.grouped(|floor| (0..group).try_for_each(|_| floor.say()))?;
        }
        Ok(rate(count, began))
    }

    /// Reads and acknowledges entries that are there already, `group` a transaction; messages a second.
    ///
    /// # Errors
    /// Where SQLite fails.
    pub fn consume(&mut self, count: usize, group: usize) -> color_eyre::Result<f64> {
        self.send(count, 512)?;
        let mut next = self.last[0] - i64::try_from(count)?;
        let began = Instant::now();
        for _ in 0..count.div_ceil(group) {
            let claimed = self.grouped(|floor| floor.claim(0, next, group))?;
            next = claimed.last().copied().unwrap_or(next);
            self.grouped(|floor| claimed.iter().try_for_each(|pos| floor.acknowledge(0, *pos)))?;
        }
        Ok(rate(count, began))
    }

    /// A message, two relays and a reader. A transaction says a group of messages and hands them to the first relay; the next
    /// acknowledges them, says the next ones and hands these on; the last one acknowledges at the end.
    ///
    /// # Errors
    /// Where SQLite fails.
    pub fn relay(&mut self, count: usize, group: usize) -> color_eyre::Result<Relayed> {
        let mut times = Vec::with_capacity(count);
        let began = Instant::now();
        for _ in 0..count.div_ceil(group) {
            let sent = Instant::now();
            let first = self.last;
            let mut claimed = self.grouped(|floor| {
                (0..group).try_for_each(|_| floor.say())?;
                floor.claim(0, first[0], group)
            })?;
            for hop in 0..2_u8 {
                claimed = self.grouped(|floor| {
                    for pos in claimed {
                        floor.acknowledge(hop, pos)?;
                        floor.append(hop + 1)?;
                    }
                    floor.claim(hop + 1, first[usize::from(hop) + 1], group)
                })?;
            }
            times.push(sent.elapsed().as_secs_f64());
            self.grouped(|floor| claimed.iter().try_for_each(|pos| floor.acknowledge(2, *pos)))?;
        }
        Ok(Relayed { times: quantiles(times), rate: rate(count, began) })
    }

    fn grouped<T>(&mut self, work: impl FnOnce(&mut Self) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let done = work(self)?;
        self.connection.execute_batch("COMMIT")?;
        Ok(done)
    }

    fn append(&mut self, channel: u8) -> rusqlite::Result<()> {
        self.last[usize::from(channel)] += 1;
        self.connection
            .prepare_cached(
                [
                    "INSERT INTO stream_0 VALUES(?1, ?1, 0, 0, ?2, ?3)",
                    "INSERT INTO stream_1 VALUES(?1, ?1, 0, 0, ?2, ?3)",
                    "INSERT INTO stream_2 VALUES(?1, ?1, 0, 0, ?2, ?3)",
                ][usize::from(channel)],
            )?
            .execute(params![self.last[usize::from(channel)], ENVELOPE, BODY])?;
        Ok(())
    }

    /// An entry of the first channel, with its idempotency key.
    fn say(&mut self) -> rusqlite::Result<()> {
        self.append(0)?;
        let number = self.last[0];
        self.connection
            .prepare_cached("INSERT INTO once(key, entries, expires) VALUES(?1, ?2, ?3)")?
            .execute(params![format!("01a1fc68-71a8-71c1-9880-{number:012}"), format!("{number}-0"), number])?;
        Ok(())
    }

    /// Reads up to `limit` entries after `pos` and notes them as handed out.
    fn claim(&mut self, channel: u8, pos: i64, limit: usize) -> rusqlite::Result<Vec<i64>> {
        let mut claimed = Vec::with_capacity(limit);
        let mut entries = self.connection.prepare_cached(
            [
                "SELECT pos, ms, seq, e, b FROM stream_0 WHERE pos > ?1 ORDER BY pos LIMIT ?2",
                "SELECT pos, ms, seq, e, b FROM stream_1 WHERE pos > ?1 ORDER BY pos LIMIT ?2",
                "SELECT pos, ms, seq, e, b FROM stream_2 WHERE pos > ?1 ORDER BY pos LIMIT ?2",
            ][usize::from(channel)],
        )?;
        let mut rows = entries.query(params![pos, i64::try_from(limit).unwrap_or(i64::MAX)])?;
        while let Some(row) = rows.next()? {
            let (pos, e, b): (i64, String, String) = (row.get(0)?, row.get(3)?, row.get(4)?);
            std::hint::black_box((e, b));
            self.connection
                .prepare_cached(
                    "INSERT INTO pending(grp, ms, seq, pos, consumer, since, attempt) VALUES(?1, ?2, 0, ?2, 1, 0, 1)",
                )?
                .execute(params![channel, pos])?;
            claimed.push(pos);
        }
        if let Some(pos) = claimed.last() {
            self.connection
                .prepare_cached("UPDATE progress SET pos = ?2, ms = ?2, seq = 0 WHERE id = ?1")?
                .execute(params![channel, pos])?;
        }
        Ok(claimed)
    }

    fn acknowledge(&mut self, channel: u8, pos: i64) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("DELETE FROM pending WHERE grp = ?1 AND ms = ?2 AND seq = 0")?
            .execute(params![channel, pos])?;
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn rate(count: usize, began: Instant) -> f64 {
    count as f64 / began.elapsed().as_secs_f64()
}
