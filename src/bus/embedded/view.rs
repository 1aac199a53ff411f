//! What viewers ask: a channel's groups, pages of keys.
//!
//! Owns reading only. Must never write, and never keep a connection across an await.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, params};

use super::find;
use super::store::{Place, id_of, last_place};
use crate::bus::{ChannelInfo, ConsumerInfo, EntryId, GroupInfo, Key};
use crate::contracts::ChannelName;

/// Keys that start with a prefix, after a cursor.
pub(super) fn scan(
    conn: &Connection,
    prefix: &str,
    cursor: Option<&str>,
    limit: usize,
    wall: i64,
) -> rusqlite::Result<(Vec<Key>, Option<String>)> {
    let limit = limit.max(1);
    let mut statement = conn.prepare_cached(
        "SELECT key FROM docs WHERE key >= ?1 AND (?2 IS NULL OR key > ?2) AND (expires IS NULL OR expires > ?3) ORDER BY key",
    )?;
    let mut rows = statement.query(params![prefix, cursor, wall])?;
    let mut keys: Vec<Key> = Vec::new();
    while let Some(row) = rows.next()? {
        let key: String = row.get(0)?;
        if !key.starts_with(prefix) {
            break;
        }
        if keys.len() == limit {
            let next = keys.last().map(|key| key.0.clone());
            return Ok((keys, next));
        }
        keys.push(Key(key));
    }
    Ok((keys, None))
}

/// When the earliest timer is due.
pub(super) fn next_timer(conn: &Connection) -> rusqlite::Result<Option<DateTime<Utc>>> {
    let at: Option<i64> = conn.query_row("SELECT min(at) FROM timers", [], |row| row.get(0))?;
    Ok(at.and_then(DateTime::from_timestamp_millis))
}

/// A channel and its groups. `monotonic` is now, in milliseconds.
pub(super) fn inspect(conn: &Connection, channel: ChannelName, monotonic: i64) -> rusqlite::Result<ChannelInfo> {
    // All queries see one state of the store.
    conn.execute_batch("BEGIN")?;
    let info = inspect_now(conn, channel, monotonic);
    conn.execute_batch("COMMIT")?;
    info
}

fn inspect_now(conn: &Connection, channel: ChannelName, monotonic: i64) -> rusqlite::Result<ChannelInfo> {
    let ends = find::ends(conn, channel)?;
    let first = match ends {
        Some((first, _)) => find::place_from(conn, channel, first)?.map(|place| place.id),
        None => None,
    };
    let last = last_place(conn, channel)?;
    let mut groups = conn.prepare_cached(
        "SELECT p.id, g.name, p.pos, p.ms, p.seq, g.seen FROM groups g JOIN progress p USING(channel, name)
         WHERE g.channel = ?1 ORDER BY g.name",
    )?;
    let mut rows = groups.query([channel.as_str()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let delivered = Place { pos: row.get(2)?, id: id_of(row.get(3)?, row.get(4)?) };
        let (pending, oldest_pending) = pending_of(conn, id)?;
        let beginning = ends.map_or(last.pos, |(first, _)| first - 1);
        found.push(GroupInfo {
            group: row.get(1)?,
            last_delivered: delivered.id,
            pending,
            oldest_pending,
            lag: Some(count(last.pos - delivered.pos.max(beginning))),
            idle: row.get::<_, Option<i64>>(5)?.map(|seen| since(monotonic, seen)),
            consumers: consumers_of(conn, id, monotonic)?,
        });
    }
    Ok(ChannelInfo {
        channel,
        length: ends.map_or(0, |(first, last)| count(last - first + 1)),
        first,
        last: find::newest(conn, channel)?,
        groups: found,
    })
}

fn count(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

fn since(monotonic: i64, seen: i64) -> Duration {
    Duration::from_millis(count(monotonic - seen))
}

fn pending_of(conn: &Connection, group: i64) -> rusqlite::Result<(u64, Option<EntryId>)> {
    let pending: i64 =
        conn.prepare_cached("SELECT count(*) FROM pending WHERE grp = ?1")?.query_row([group], |row| row.get(0))?;
    let mut oldest = conn.prepare_cached("SELECT ms, seq FROM pending WHERE grp = ?1 ORDER BY ms, seq LIMIT 1")?;
    let oldest = oldest.query_map([group], |row| Ok(id_of(row.get(0)?, row.get(1)?)))?.next().transpose()?;
    Ok((count(pending), oldest))
}

fn consumers_of(conn: &Connection, group: i64, monotonic: i64) -> rusqlite::Result<Vec<ConsumerInfo>> {
    conn.prepare_cached(
        "SELECT c.name, c.seen, (SELECT count(*) FROM pending p WHERE p.grp = c.grp AND p.consumer = c.id)
         FROM consumers c WHERE c.grp = ?1 ORDER BY c.name",
    )?
    .query_map([group], |row| {
        Ok(ConsumerInfo { consumer: row.get(0)?, idle: since(monotonic, row.get(1)?), pending: count(row.get(2)?) })
    })?
    .collect()
}
