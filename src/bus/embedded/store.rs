//! The writer's view of the store: its connection, and what it remembers of channels and groups between transactions.
//!
//! Owns appending and the memory of newest ids and groups' progress, thrown away whenever another process has written. Must
//! never be used outside a transaction except through [`Store::refresh`].

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::schema::{STREAM_COLUMNS, stream_table};
use super::{Step, StepHook};
use crate::bus::{EntryId, Outgoing};
use crate::contracts::{ChannelName, Clock};

/// How much later a sign of life must be than the one on record to be written.
const SEEN_GRAIN_MS: i64 = 100;

/// A set of channels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Channels(u128);

const _: () = assert!(ChannelName::ALL.len() <= 128);

impl Channels {
    pub(super) fn of(channels: &[ChannelName]) -> Self {
        let mut set = Self::default();
        for channel in channels {
            set.insert(*channel);
        }
        set
    }

    pub(super) fn insert(&mut self, channel: ChannelName) {
        self.0 |= 1 << channel as usize;
    }

    pub(super) fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Where an entry stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Its position in the channel; 0 is before the first.
    pub(super) pos: i64,
    /// Its id.
    pub(super) id: EntryId,
}

/// A channel's end, and the statements on its table.
pub(super) struct ChannelHead {
    pub(super) last: Place,
    insert: String,
    pub(super) after: String,
}

/// A group of a channel.
pub(super) struct GroupHead {
    pub(super) id: i64,
    pub(super) channel: ChannelName,
    pub(super) name: String,
    /// The last entry handed out.
    pub(super) delivered: Place,
    moved: bool,
    seen: Seen,
    consumers: Vec<ConsumerHead>,
}

struct ConsumerHead {
    id: i64,
    name: String,
    seen: Seen,
}

/// The last sign of life, and the one on record.
#[derive(Default)]
struct Seen {
    now: Option<i64>,
    written: Option<i64>,
}

impl Seen {
    fn due(&self) -> Option<i64> {
        let now = self.now?;
        let due = self.written.is_none_or(|written| now - written >= SEEN_GRAIN_MS || now < written);
        due.then_some(now)
    }
}

/// The writer's connection and memory.
pub(super) struct Store {
    pub(super) conn: Connection,
    pub(super) clock: Arc<dyn Clock>,
    hook: Option<StepHook>,
    data_version: Option<i64>,
    pub(super) channels: Vec<ChannelHead>,
    pub(super) groups: Vec<GroupHead>,
    /// What the open transaction appended to.
    pub(super) appended: Channels,
    /// Whether the open transaction holds notices.
    pub(super) noticed: bool,
    /// Whether other processes had written before the open transaction.
    pub(super) foreign: bool,
}

impl Store {
    pub(super) fn new(conn: Connection, clock: Arc<dyn Clock>, hook: Option<StepHook>) -> Self {
        let channels = ChannelName::ALL.iter().map(|channel| {
            let table = stream_table(*channel);
            ChannelHead {
                last: Place::default(),
                insert: format!("INSERT INTO {table}({STREAM_COLUMNS}) VALUES(?1, ?2, ?3, ?4, ?5, ?6)"),
                after: format!("SELECT pos, ms, seq, e, b FROM {table} WHERE pos > ?1 ORDER BY pos LIMIT ?2"),
            }
        });
        Self {
            conn,
            clock,
            hook,
            data_version: None,
            channels: channels.collect(),
            groups: Vec::new(),
            appended: Channels::default(),
            noticed: false,
            foreign: false,
        }
    }

    /// Tells a fault test where we are.
    pub(super) fn step(&self, step: Step) {
        if let Some(hook) = &self.hook {
            hook(step);
        }
    }

    /// Milliseconds of the monotonic clock.
    pub(super) fn monotonic(&self) -> i64 {
        i64::try_from(self.clock.monotonic().as_millis()).unwrap_or(i64::MAX)
    }

    /// Milliseconds since 1970.
    pub(super) fn wall(&self) -> i64 {
        self.clock.now().timestamp_millis().max(0)
    }

    // ---- transactions --------------------------------------------------------------------------------------------------

    /// Opens a transaction that writes; waits for other processes.
    pub(super) fn begin(&mut self) -> rusqlite::Result<()> {
        self.run("BEGIN IMMEDIATE")?;
        self.appended = Channels::default();
        self.noticed = false;
        self.foreign = self.reload_if_foreign()?;
        Ok(())
    }

    /// Writes what is remembered and ends the transaction.
    pub(super) fn commit(&mut self) -> rusqlite::Result<()> {
        self.write_heads()?;
        self.step(Step::BeforeCommit);
        self.run("COMMIT")?;
        self.step(Step::AfterCommit);
        Ok(())
    }

    /// Undoes the transaction and forgets what was remembered.
    pub(super) fn roll_back(&mut self) {
        // After some errors SQLite has rolled back by itself, and there is nothing to undo.
        if !self.conn.is_autocommit() {
            let _ = self.run("ROLLBACK");
        }
        self.appended = Channels::default();
        self.noticed = false;
        self.data_version = None;
    }

    /// Takes note of what other processes wrote; outside a transaction. Returns whether there was anything.
    pub(super) fn refresh(&mut self) -> rusqlite::Result<bool> {
        if !self.is_foreign()? {
            return Ok(false);
        }
        self.run("BEGIN")?;
        let reloaded = self.reload_if_foreign();
        self.run("COMMIT")?;
        reloaded
    }

    pub(super) fn run(&self, sql: &str) -> rusqlite::Result<()> {
        self.conn.prepare_cached(sql)?.raw_execute().map(|_| ())
    }

    fn is_foreign(&self) -> rusqlite::Result<bool> {
        Ok(self.data_version != Some(data_version(&self.conn)?))
    }

    fn reload_if_foreign(&mut self) -> rusqlite::Result<bool> {
        let now = data_version(&self.conn)?;
        if self.data_version == Some(now) {
            return Ok(false);
        }
        self.data_version = None;
        self.reload()?;
        self.data_version = Some(now);
        Ok(true)
    }

    fn reload(&mut self) -> rusqlite::Result<()> {
        for channel in ChannelName::ALL {
            self.channels[*channel as usize].last = last_place(&self.conn, *channel)?;
        }
        let mut consumers = self.conn.prepare_cached("SELECT id, name, seen FROM consumers WHERE grp = ?1")?;
        let mut groups = self.conn.prepare_cached(
            "SELECT p.id, g.channel, g.name, p.pos, p.ms, p.seq, g.seen FROM groups g JOIN progress p USING(channel, name)",
        )?;
        let mut found = Vec::new();
        let mut rows = groups.query([])?;
        while let Some(row) = rows.next()? {
            // A channel that this program does not know belongs to a newer one.
            let Some(channel) = known(&row.get::<_, String>(1)?) else {
                continue;
            };
            let id = row.get(0)?;
            let seen: Option<i64> = row.get(6)?;
            let consumers = consumers.query_map([id], |row| {
                let seen = row.get(2)?;
                Ok(ConsumerHead { id: row.get(0)?, name: row.get(1)?, seen: Seen { now: seen, written: seen } })
            })?;
            found.push(GroupHead {
                id,
                channel,
                name: row.get(2)?,
                delivered: Place { pos: row.get(3)?, id: id_of(row.get(4)?, row.get(5)?) },
                moved: false,
                seen: Seen { now: seen, written: seen },
                consumers: consumers.collect::<rusqlite::Result<_>>()?,
            });
        }
        drop(rows);
        drop((groups, consumers));
        self.groups = found;
        Ok(())
    }

    /// Writes progress and signs of life that changed, once for the whole transaction.
    fn write_heads(&mut self) -> rusqlite::Result<()> {
        for group in &mut self.groups {
            if group.moved {
                let at = group.delivered;
                self.conn
                    .prepare_cached("UPDATE progress SET pos = ?2, ms = ?3, seq = ?4 WHERE id = ?1")?
                    .execute(params![group.id, at.pos, at.id.ms.cast_signed(), at.id.seq.cast_signed()])?;
                group.moved = false;
            }
            if let Some(seen) = group.seen.due() {
                self.conn
                    .prepare_cached("UPDATE groups SET seen = ?3 WHERE channel = ?1 AND name = ?2")?
                    .execute(params![group.channel.as_str(), group.name, seen])?;
                group.seen.written = Some(seen);
            }
            for consumer in &mut group.consumers {
                if let Some(seen) = consumer.seen.due() {
                    self.conn
                        .prepare_cached("UPDATE consumers SET seen = ?2 WHERE id = ?1")?
                        .execute([consumer.id, seen])?;
                    consumer.seen.written = Some(seen);
                }
            }
        }
        Ok(())
    }

    // ---- appending -----------------------------------------------------------------------------------------------------

    /// Appends a message whose envelope is already text.
    pub(super) fn append(&mut self, message: &Outgoing, e: &str) -> rusqlite::Result<EntryId> {
        let next = self.next_place(message.channel, self.wall());
        self.append_at(next, message, e)?;
        Ok(next.id)
    }

    /// Where a message that is said at `wall` would stand.
    pub(super) fn next_place(&self, channel: ChannelName, wall: i64) -> Place {
        let last = self.channels[channel as usize].last;
        Place { pos: last.pos + 1, id: EntryId::following(last.id, u64::try_from(wall).unwrap_or(0)) }
    }

    /// As [`Store::append`], at the place that it has now.
    pub(super) fn append_at(&mut self, next: Place, message: &Outgoing, e: &str) -> rusqlite::Result<()> {
        self.step(Step::BeforeAppend);
        self.put_at(message.channel, next, e, &message.body, message.announce)?;
        self.step(Step::AfterAppend);
        Ok(())
    }

    /// Writes an entry at the channel's end.
    pub(super) fn put_at(
        &mut self,
        channel: ChannelName,
        place: Place,
        e: &str,
        b: &str,
        announce: bool,
    ) -> rusqlite::Result<()> {
        let head = &mut self.channels[channel as usize];
        let (ms, seq) = (place.id.ms.cast_signed(), place.id.seq.cast_signed());
        let mut insert = self.conn.prepare_cached(&head.insert)?;
        insert.execute(params![place.pos, ms, seq, !announce, e, b])?;
        head.last = place;
        self.appended.insert(channel);
        Ok(())
    }

    // ---- groups --------------------------------------------------------------------------------------------------------

    /// The index of a group in [`Store::groups`].
    pub(super) fn group(&self, channel: ChannelName, name: &str) -> Option<usize> {
        self.groups.iter().position(|group| group.channel == channel && group.name == name)
    }

    /// Forgets groups and ends, to be loaded again at the next transaction or at once.
    pub(super) fn reload_now(&mut self) -> rusqlite::Result<()> {
        self.reload()
    }

    /// Notes how far a group has been given messages.
    pub(super) fn move_to(&mut self, group: usize, place: Place) {
        let group = &mut self.groups[group];
        group.delivered = place;
        group.moved = true;
    }

    /// A group's acknowledgement is a sign of life, too.
    pub(super) fn touch_group(&mut self, group: usize) {
        let now = self.monotonic();
        self.groups[group].seen.now = Some(now);
    }

    /// The number of a consumer that is known.
    pub(super) fn known_consumer(&self, group: usize, name: &str) -> Option<i64> {
        let consumers = &self.groups[group].consumers;
        consumers.iter().find(|consumer| consumer.name == name).map(|consumer| consumer.id)
    }

    /// A sign of life of a consumer, who need not be known yet. Returns its number.
    pub(super) fn touch(&mut self, group: usize, name: &str) -> rusqlite::Result<i64> {
        let now = self.monotonic();
        let group = &mut self.groups[group];
        group.seen.now = Some(now);
        if let Some(consumer) = group.consumers.iter_mut().find(|consumer| consumer.name == name) {
            consumer.seen.now = Some(now);
            return Ok(consumer.id);
        }
        self.conn
            .prepare_cached("INSERT INTO consumers(grp, name, seen) VALUES(?1, ?2, ?3)")?
            .execute(params![group.id, name, now])?;
        let id = self.conn.last_insert_rowid();
        let seen = Seen { now: Some(now), written: Some(now) };
        group.consumers.push(ConsumerHead { id, name: name.to_owned(), seen });
        Ok(id)
    }

    /// Whether a sign of life now would have to be written.
    pub(super) fn unseen(&self, group: usize, name: &str) -> bool {
        let now = self.monotonic();
        let consumer = self.groups[group].consumers.iter().find(|consumer| consumer.name == name);
        consumer.is_none_or(|consumer| {
            consumer.seen.written.is_none_or(|written| now - written >= SEEN_GRAIN_MS || now < written)
        })
    }
}

/// Changes whenever somebody else wrote.
pub(super) fn data_version(conn: &Connection) -> rusqlite::Result<i64> {
    conn.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

/// The channel of that full name, if this program knows it.
pub(super) fn known(name: &str) -> Option<ChannelName> {
    ChannelName::ALL.iter().copied().find(|channel| channel.as_str() == name)
}

/// An id from its two columns.
pub(super) fn id_of(ms: i64, seq: i64) -> EntryId {
    EntryId { ms: ms.cast_unsigned(), seq: seq.cast_unsigned() }
}

/// The newest id and position a channel ever gave.
pub(super) fn last_place(conn: &Connection, channel: ChannelName) -> rusqlite::Result<Place> {
    let place = |row: &rusqlite::Row<'_>| Ok(Place { pos: row.get(0)?, id: id_of(row.get(1)?, row.get(2)?) });
    let sql = format!("SELECT pos, ms, seq FROM {} ORDER BY pos DESC LIMIT 1", stream_table(channel));
    let newest = conn.prepare_cached(&sql)?.query_row([], place).optional()?.unwrap_or_default();
    let recorded = conn
        .prepare_cached("SELECT last_pos, last_ms, last_seq FROM channels WHERE name = ?1")?
        .query_row([channel.as_str()], place)
        .optional()?
        .unwrap_or_default();
    Ok(Place { pos: newest.pos.max(recorded.pos), id: newest.id.max(recorded.id) })
}
