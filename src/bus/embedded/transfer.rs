//! The whole store as records, and back.
//!
//! Owns the order of records and what makes one unfit. Must never give an entry another id than it had.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, params};
use tokio::sync::mpsc;

use super::apply::parse_ids;
use super::schema::{at_most, stream_table};
use super::shared::Shared;
use super::store::{Place, Store, id_of, last_place};
use super::{find, state};
use crate::bus::{BusError, EntryId, Key, Record, Timer};
use crate::contracts::ChannelName;

/// Most records of a page, and about how many bytes.
const PAGE: usize = 256;
const PAGE_BYTES: usize = 1 << 20;

/// A page of records.
type Page = Vec<Record>;

fn time_of(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or_default()
}

/// Sends everything, a page at a time.
pub(super) async fn export(shared: &Arc<Shared>, sink: mpsc::Sender<Record>) -> Result<(), BusError> {
    for channel in ChannelName::ALL {
        let channel = *channel;
        let mut after = 0;
        loop {
            let (page, last) = shared.read_only(move |conn| entries(conn, channel, after)).await?;
            let Some(last) = last else { break };
            after = last;
            send(&sink, page).await?;
        }
        send(&sink, shared.read_only(move |conn| channel_end(conn, channel)).await?).await?;
    }
    let mut cursor = None;
    loop {
        let wall = shared.wall();
        let (page, next) = shared.read_only(move |conn| states(conn, cursor.as_deref(), wall)).await?;
        send(&sink, page?).await?;
        if next.is_none() {
            break;
        }
        cursor = next;
    }
    let wall = shared.wall();
    send(&sink, shared.read_only(timers).await?).await?;
    let mut cursor = String::new();
    loop {
        let from = cursor.clone();
        let (page, next) = shared.read_only(move |conn| onces(conn, &from, wall)).await?;
        send(&sink, page).await?;
        match next {
            Some(next) => cursor = next,
            None => break,
        }
    }
    send(&sink, shared.read_only(fences).await?).await
}

async fn send(sink: &mpsc::Sender<Record>, page: Page) -> Result<(), BusError> {
    for record in page {
        let gone = |_| BusError::Unreachable("whoever takes the records has gone".to_owned());
        sink.send(record).await.map_err(gone)?;
    }
    Ok(())
}

fn entries(conn: &Connection, channel: ChannelName, after: i64) -> rusqlite::Result<(Page, Option<i64>)> {
    let sql = format!("SELECT pos, ms, seq, e, b FROM {} WHERE pos > ?1 ORDER BY pos", stream_table(channel));
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query([after])?;
    let (mut page, mut bytes, mut last) = (Page::new(), 0, None);
    while page.len() < PAGE
        && bytes < PAGE_BYTES
        && let Some(row) = rows.next()?
    {
        last = Some(row.get(0)?);
        let (e, b): (String, String) = (row.get(3)?, row.get(4)?);
        bytes += e.len() + b.len();
        page.push(Record::Entry { channel, id: id_of(row.get(1)?, row.get(2)?), e, b });
    }
    Ok((page, last))
}

fn channel_end(conn: &Connection, channel: ChannelName) -> rusqlite::Result<Page> {
    let mut page = Page::new();
    let last = last_place(conn, channel)?.id;
    let mut groups = conn.prepare_cached(
        "SELECT p.id, g.name, p.ms, p.seq FROM groups g JOIN progress p USING(channel, name) WHERE g.channel = ?1 ORDER BY g.name",
    )?;
    let mut rows = groups.query([channel.as_str()])?;
    while let Some(row) = rows.next()? {
        let (id, group): (i64, String) = (row.get(0)?, row.get(1)?);
        page.push(Record::Group { channel, group: group.clone(), last_delivered: id_of(row.get(2)?, row.get(3)?) });
        let mut pending = conn.prepare_cached(
            "SELECT p.ms, p.seq, p.attempt, c.name FROM pending p JOIN consumers c ON c.id = p.consumer WHERE p.grp = ?1
             ORDER BY p.ms, p.seq",
        )?;
        let pending = pending.query_map([id], |row| {
            Ok(Record::Pending {
                channel,
                group: group.clone(),
                consumer: row.get(3)?,
                id: id_of(row.get(0)?, row.get(1)?),
                attempt: row.get(2)?,
            })
        })?;
        for record in pending {
            page.push(record?);
        }
    }
    if last != EntryId::ZERO || !page.is_empty() {
        page.insert(0, Record::Channel { channel, last });
    }
    Ok(page)
}

type States = (Result<Page, BusError>, Option<String>);

fn states(conn: &Connection, cursor: Option<&str>, wall: i64) -> rusqlite::Result<States> {
    let (keys, next) = super::view::scan(conn, "", cursor, PAGE, wall)?;
    let mut page = Page::new();
    for key in keys {
        match state::read(conn, &key, wall)? {
            Ok(Some((state, expires))) => {
                page.push(Record::State { key, state, expires_at: expires.map(time_of) });
            }
            Ok(None) => {}
            Err(error) => return Ok((Err(error), None)),
        }
    }
    Ok((Ok(page), next))
}

fn timers(conn: &Connection) -> rusqlite::Result<Page> {
    let mut statement = conn.prepare_cached("SELECT id, at, message FROM timers ORDER BY at, id")?;
    let mut rows = statement.query([])?;
    let mut page = Page::new();
    while let Some(row) = rows.next()? {
        // One that cannot be read could not be said either.
        if let Ok(message) = serde_json::from_str(&row.get::<_, String>(2)?) {
            page.push(Record::Timer { timer: Timer { id: row.get(0)?, at: time_of(row.get(1)?), message } });
        }
    }
    Ok(page)
}

fn onces(conn: &Connection, after: &str, wall: i64) -> rusqlite::Result<(Page, Option<String>)> {
    let mut statement = conn.prepare_cached(
        "SELECT key, entries, expires FROM once WHERE key > ?1 AND expires > ?2 ORDER BY key LIMIT ?3",
    )?;
    let mut rows = statement.query(params![after, wall, at_most(PAGE)])?;
    let mut page = Page::new();
    let mut last = None;
    while let Some(row) = rows.next()? {
        let key: String = row.get(0)?;
        last = Some(key.clone());
        let entries = parse_ids(&row.get::<_, String>(1)?);
        page.push(Record::Once { key, entries, expires_at: time_of(row.get(2)?) });
    }
    let full = page.len() == PAGE;
    Ok((page, last.filter(|_| full)))
}

fn fences(conn: &Connection) -> rusqlite::Result<Page> {
    conn.prepare_cached("SELECT name, number FROM leases ORDER BY name")?
        .query_map([], |row| {
            let number: i64 = row.get(1)?;
            Ok(Record::Fence { name: row.get(0)?, number: number.cast_unsigned() })
        })?
        .collect()
}

// ---- import ------------------------------------------------------------------------------------------------------------

/// Puts records back into an empty store; leaves it empty again where one does not fit.
pub(super) async fn import(shared: &Arc<Shared>, mut source: mpsc::Receiver<Record>) -> Result<u64, BusError> {
    let location = shared.path().display().to_string();
    let empty = shared.write(1, |store| store.is_empty().map(Ok)).await?;
    if !empty {
        return Err(BusError::NotEmpty(location));
    }
    let mut line = 0;
    loop {
        let mut page = Page::new();
        if source.recv_many(&mut page, PAGE).await == 0 {
            return Ok(line);
        }
        let count = page.len() as u64;
        let put = shared.write(PAGE, move |store| store.put_back(line, &page)).await;
        if let Err(error) = put {
            shared.write(PAGE, |store| store.wipe().map(Ok)).await?;
            return Err(error);
        }
        line += count;
    }
}

impl Store {
    fn is_empty(&self) -> rusqlite::Result<bool> {
        for channel in ChannelName::ALL {
            if last_place(&self.conn, *channel)? != Place::default() {
                return Ok(false);
            }
        }
        self.conn.query_row(
            "SELECT NOT EXISTS(SELECT 1 FROM groups) AND NOT EXISTS(SELECT 1 FROM timers) AND NOT EXISTS(SELECT 1 FROM progress)
             AND NOT EXISTS(SELECT 1 FROM once WHERE expires > ?1)
             AND NOT EXISTS(SELECT 1 FROM docs WHERE expires IS NULL OR expires > ?1)",
            [self.wall()],
            |row| row.get(0),
        )
    }

    /// Removes what an import had brought. Leases keep their numbers, which only ever ascend.
    fn wipe(&mut self) -> rusqlite::Result<()> {
        for channel in ChannelName::ALL {
            self.conn.execute_batch(&format!("DELETE FROM {}", stream_table(*channel)))?;
        }
        self.conn.execute_batch(
            "INSERT INTO words(words) VALUES('delete-all');
             DELETE FROM pending; DELETE FROM consumers; DELETE FROM groups; DELETE FROM progress; DELETE FROM docs;
             DELETE FROM fields; DELETE FROM items; DELETE FROM timers; DELETE FROM once;
             UPDATE channels SET last_pos = 0, last_ms = 0, last_seq = 0, indexed = 0",
        )?;
        self.reload_now()
    }

    /// Puts a page back. The first record that does not fit stops it, and the caller wipes.
    fn put_back(&mut self, before: u64, page: &[Record]) -> super::group::Answer<()> {
        for (line, record) in (before + 1..).zip(page) {
            if let Err(reason) = self.put_record(record)? {
                return Ok(Err(BusError::BadRecord { line, reason }));
            }
        }
        Ok(Ok(()))
    }

    fn put_record(&mut self, record: &Record) -> rusqlite::Result<Result<(), String>> {
        match record {
            Record::Entry { channel, id, e, b } => return self.put_entry(*channel, *id, e, b),
            Record::Channel { channel, last } => return self.put_channel(*channel, *last),
            Record::Group { channel, group, last_delivered } => {
                if self.group(*channel, group).is_some() {
                    return Ok(Err(format!("the group `{group}` of {channel} comes twice")));
                }
                let pos = find::upper_bound(&self.conn, *channel, *last_delivered)? - 1;
                let pos = pos.min(self.channels[*channel as usize].last.pos);
                self.put_group(*channel, group, Place { pos, id: *last_delivered })?;
                self.reload_now()?;
            }
            Record::Pending { channel, group, consumer, id, attempt } => {
                let Some(index) = self.group(*channel, group) else {
                    return Ok(Err(format!("{channel} has no group `{group}`")));
                };
                let pos = find::lower_bound(&self.conn, *channel, *id)?;
                let consumer = self.touch(index, consumer)?;
                // Whoever held it worked on another store: it is stale at once.
                self.conn
                    .prepare_cached(
                        "INSERT OR REPLACE INTO pending(grp, ms, seq, pos, consumer, since, attempt) VALUES(?1, ?2, ?3, ?4, ?5, -1, ?6)",
                    )?
                    .execute(params![
                        self.groups[index].id,
                        id.ms.cast_signed(),
                        id.seq.cast_signed(),
                        pos,
                        consumer,
                        attempt
                    ])?;
            }
            Record::State { key, state, expires_at } => {
                state::put_back(
                    &self.conn,
                    &Key::new(key.as_str()),
                    state,
                    expires_at.map(|at| at.timestamp_millis()),
                )?;
            }
            Record::Timer { timer } => self.schedule(timer)?,
            Record::Once { key, entries, expires_at } => self.remember(key, entries, expires_at.timestamp_millis())?,
            Record::Fence { name, number } => {
                self.conn
                    .prepare_cached(
                        "INSERT INTO leases(name, owner, number, until) VALUES(?1, NULL, ?2, 0) ON CONFLICT DO UPDATE
                         SET number = max(number, excluded.number)",
                    )?
                    .execute(params![name, number.cast_signed()])?;
            }
        }
        Ok(Ok(()))
    }

    fn put_entry(
        &mut self,
        channel: ChannelName,
        id: EntryId,
        e: &str,
        b: &str,
    ) -> rusqlite::Result<Result<(), String>> {
        let last = self.channels[channel as usize].last;
        if id <= last.id {
            return Ok(Err(format!("entry {id} of {channel} does not come after {}", last.id)));
        }
        let place = Place { pos: last.pos + 1, id };
        // Listeners hear what is said, not what is put back.
        self.put_at(channel, place, e, b, false)?;
        Ok(Ok(()))
    }

    fn put_channel(&mut self, channel: ChannelName, newest: EntryId) -> rusqlite::Result<Result<(), String>> {
        let last = &mut self.channels[channel as usize].last;
        if newest < last.id {
            return Ok(Err(format!("{channel} has an entry above its newest id {newest}")));
        }
        last.id = newest;
        let pos = last.pos;
        self.conn
            .prepare_cached("UPDATE channels SET last_pos = ?2, last_ms = ?3, last_seq = ?4 WHERE name = ?1")?
            .execute(params![channel.as_str(), pos, newest.ms.cast_signed(), newest.seq.cast_signed()])?;
        Ok(Ok(()))
    }
}
