//! Finding and reading entries of a stream by id, time or position, on any connection.
//!
//! Owns the halving: positions ascend as ids do. Must never write.

use rusqlite::{Connection, OptionalExtension, params};

use super::schema::stream_table;
use super::store::{Place, id_of};
use crate::bus::{Bound, Entry, EntryId, Range};
use crate::contracts::ChannelName;

/// The first and the last position that are there.
pub(super) fn ends(conn: &Connection, channel: ChannelName) -> rusqlite::Result<Option<(i64, i64)>> {
    let table = stream_table(channel);
    let sql = format!("SELECT (SELECT min(pos) FROM {table}), (SELECT max(pos) FROM {table})");
    conn.prepare_cached(&sql)?.query_row([], |row| Ok(row.get::<_, Option<i64>>(0)?.zip(row.get(1)?)))
}

/// The first entry at or after a position.
pub(super) fn place_from(conn: &Connection, channel: ChannelName, pos: i64) -> rusqlite::Result<Option<Place>> {
    let sql = format!("SELECT pos, ms, seq FROM {} WHERE pos >= ?1 ORDER BY pos LIMIT 1", stream_table(channel));
    conn.prepare_cached(&sql)?
        .query_row([pos], |row| Ok(Place { pos: row.get(0)?, id: id_of(row.get(1)?, row.get(2)?) }))
        .optional()
}

/// The last entry before a position; the beginning where there is none.
pub(super) fn place_before(conn: &Connection, channel: ChannelName, pos: i64) -> rusqlite::Result<Place> {
    let sql = format!("SELECT pos, ms, seq FROM {} WHERE pos < ?1 ORDER BY pos DESC LIMIT 1", stream_table(channel));
    let before = conn
        .prepare_cached(&sql)?
        .query_row([pos], |row| Ok(Place { pos: row.get(0)?, id: id_of(row.get(1)?, row.get(2)?) }))
        .optional()?;
    Ok(before.unwrap_or(Place { pos: pos - 1, id: EntryId::ZERO }))
}

/// The first position whose id is not below `id`; one past the last where all are.
pub(super) fn lower_bound(conn: &Connection, channel: ChannelName, id: EntryId) -> rusqlite::Result<i64> {
    let Some((first, last)) = ends(conn, channel)? else {
        return Ok(1);
    };
    // Everything before `low` is below the id, everything from `high` on is not. Most ids that are asked for are recent.
    let (mut low, mut high) = (first, last + 1);
    let mut reach = 1;
    while low < high {
        let probe = if reach > 0 && high - reach > low { high - reach } else { low + (high - low) / 2 };
        match place_from(conn, channel, probe)? {
            Some(place) if place.id < id => {
                low = place.pos + 1;
                reach = 0;
            }
            _ => {
                high = probe;
                reach *= 2;
            }
        }
    }
    Ok(low)
}

/// The first position whose id is above `id`.
pub(super) fn upper_bound(conn: &Connection, channel: ChannelName, id: EntryId) -> rusqlite::Result<i64> {
    match (id.seq.checked_add(1), id.ms.checked_add(1)) {
        (Some(seq), _) => lower_bound(conn, channel, EntryId { seq, ..id }),
        (None, Some(ms)) => lower_bound(conn, channel, EntryId { ms, seq: 0 }),
        (None, None) => Ok(ends(conn, channel)?.map_or(1, |(_, last)| last + 1)),
    }
}

/// The id that a time begins with.
fn beginning(at: chrono::DateTime<chrono::Utc>) -> EntryId {
    // Ids are whole milliseconds: a time within one begins with the next.
    let up = i64::from(!at.timestamp_subsec_nanos().is_multiple_of(1_000_000));
    EntryId { ms: u64::try_from(at.timestamp_millis() + up).unwrap_or(0), seq: 0 }
}

/// Part of a channel's history.
pub(super) fn range(conn: &Connection, channel: ChannelName, range: Range) -> rusqlite::Result<Vec<Entry>> {
    let from = match range.from {
        Bound::Open => i64::MIN,
        Bound::Entry(id) => upper_bound(conn, channel, id)?,
        Bound::Time(at) => lower_bound(conn, channel, beginning(at))?,
    };
    let to = match range.to {
        Bound::Open => i64::MAX,
        Bound::Entry(id) => lower_bound(conn, channel, id)?,
        Bound::Time(at) => lower_bound(conn, channel, beginning(at))?,
    };
    let order = if range.newest_first { "DESC" } else { "ASC" };
    let sql = format!(
        "SELECT ms, seq, e, b FROM {} WHERE pos >= ?1 AND pos < ?2 ORDER BY pos {order} LIMIT ?3",
        stream_table(channel)
    );
    let limit = i64::try_from(range.limit).unwrap_or(i64::MAX);
    conn.prepare_cached(&sql)?
        .query_map(params![from, to, limit], |row| {
            Ok(Entry::new(channel, id_of(row.get(0)?, row.get(1)?), row.get(2)?, row.get(3)?))
        })?
        .collect()
}

/// The newest entry that is there.
pub(super) fn newest(conn: &Connection, channel: ChannelName) -> rusqlite::Result<Option<EntryId>> {
    let sql = format!("SELECT ms, seq FROM {} ORDER BY pos DESC LIMIT 1", stream_table(channel));
    conn.prepare_cached(&sql)?.query_row([], |row| Ok(id_of(row.get(0)?, row.get(1)?))).optional()
}
