//! Groups on the embedded store: who was given what.
//!
//! Owns delivery, takeover and trimming. Must never hand a message of a group to two consumers.

use std::time::Duration;

use rusqlite::{OptionalExtension, params};

use super::Step;
use super::find;
use super::schema::{at_most, stream_table};
use super::store::{Place, Store, id_of, last_place};
use crate::bus::{BusError, Claimed, Claims, Entry, EntryId, GroupFound, Reader, Want};
use crate::contracts::ChannelName;

/// An answer of the store's that may be an error of the caller's.
pub(super) type Answer<T> = rusqlite::Result<Result<T, BusError>>;

/// What to do with messages that are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// Still at work.
    Extend,
    /// Handed back.
    Release,
}

/// Which pending messages are taken over.
#[derive(Debug, Clone, Copy)]
pub(super) enum Take {
    /// The reader's own.
    Own,
    /// Anybody's who has been silent for so long.
    Stale(Duration),
}

/// A pending message: its id, its group's index, its channel, its attempts, and its texts if they are still there.
type Found = (EntryId, usize, ChannelName, u32, Option<(String, String)>);

/// Negative `since`: longer ago than any idle time that could be asked for.
const LONG_AGO: i64 = -1;

fn no_group(channel: ChannelName, group: &str) -> BusError {
    BusError::NoGroup { channel, group: group.to_owned() }
}

impl Store {
    /// The indexes of a reader's groups, in the order of the channels.
    fn groups_of(&self, group: &str, channels: &[ChannelName]) -> Result<Vec<usize>, BusError> {
        let index = |channel: &ChannelName| self.group(*channel, group).ok_or_else(|| no_group(*channel, group));
        channels.iter().map(index).collect()
    }

    /// Whether a read would find something, by what is remembered; also where it would find an error.
    pub(super) fn has_news(&self, group: &str, channels: &[ChannelName]) -> bool {
        channels.iter().any(|channel| match self.group(*channel, group) {
            Some(index) => self.channels[*channel as usize].last.pos > self.groups[index].delivered.pos,
            None => true,
        })
    }

    /// Whether the reader's sign of life has to be written now.
    pub(super) fn is_unseen(&self, reader: &Reader, channels: &[ChannelName]) -> bool {
        let unseen = |channel: &ChannelName| {
            let group = self.group(*channel, &reader.group);
            group.is_some_and(|group| self.unseen(group, &reader.consumer))
        };
        channels.iter().any(unseen)
    }

    /// Creates a group, or finds it.
    pub(super) fn ensure_group(&mut self, channel: ChannelName, name: &str) -> rusqlite::Result<GroupFound> {
        if self.group(channel, name).is_some() {
            return Ok(GroupFound::Existing);
        }
        let progress: Option<(i64, Place)> = self
            .conn
            .prepare_cached("SELECT id, pos, ms, seq FROM progress WHERE channel = ?1 AND name = ?2")?
            .query_row([channel.as_str(), name], |row| {
                Ok((row.get(0)?, Place { pos: row.get(1)?, id: id_of(row.get(2)?, row.get(3)?) }))
            })
            .optional()?;
        let found = match progress {
            None => {
                self.put_group(channel, name, Place::default())?;
                GroupFound::Created
            }
            Some((id, delivered)) => {
                // What it had not acknowledged is given out again, and everything after that.
                let oldest: Option<(i64, i64, i64)> = self
                    .conn
                    .query_row(
                        "SELECT ms, seq, pos FROM pending WHERE grp = ?1 ORDER BY ms, seq LIMIT 1",
                        [id],
                        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
                    )
                    .optional()?;
                let reached = match oldest {
                    Some((_, _, pos)) => find::place_before(&self.conn, channel, pos)?,
                    None => delivered,
                };
                self.conn.execute("DELETE FROM pending WHERE grp = ?1", [id])?;
                self.put_group(channel, name, reached)?;
                GroupFound::Resumed(reached.id)
            }
        };
        self.reload_now()?;
        Ok(found)
    }

    /// Writes a group that has come to `place`. Returns its number.
    pub(super) fn put_group(&self, channel: ChannelName, name: &str, place: Place) -> rusqlite::Result<i64> {
        self.conn.execute("INSERT INTO groups(channel, name) VALUES(?1, ?2)", [channel.as_str(), name])?;
        self.conn.query_row(
            "INSERT INTO progress(channel, name, pos, ms, seq) VALUES(?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE
             SET pos = excluded.pos, ms = excluded.ms, seq = excluded.seq RETURNING id",
            params![channel.as_str(), name, place.pos, place.id.ms.cast_signed(), place.id.seq.cast_signed()],
            |row| row.get(0),
        )
    }

    /// Removes a group and everything about it.
    pub(super) fn drop_group(&mut self, channel: ChannelName, name: &str) -> rusqlite::Result<bool> {
        let Some(index) = self.group(channel, name) else {
            return Ok(false);
        };
        let id = self.groups[index].id;
        self.conn.execute("DELETE FROM pending WHERE grp = ?1", [id])?;
        self.conn.execute("DELETE FROM consumers WHERE grp = ?1", [id])?;
        self.conn.execute("DELETE FROM progress WHERE id = ?1", [id])?;
        self.conn.execute("DELETE FROM groups WHERE channel = ?1 AND name = ?2", [channel.as_str(), name])?;
        self.groups.remove(index);
        Ok(true)
    }

    // ---- delivery ------------------------------------------------------------------------------------------------------

    /// Takes the group's next messages for the consumer.
    pub(super) fn read(&mut self, reader: &Reader, channels: &[ChannelName], want: Want) -> Answer<Vec<Claimed>> {
        let groups = match self.groups_of(&reader.group, channels) {
            Ok(groups) => groups,
            Err(error) => return Ok(Err(error)),
        };
        let total = want.start.saturating_add(want.ahead);
        let mut found: Vec<(usize, i64, Entry)> = Vec::new();
        for (&channel, &group) in channels.iter().zip(&groups) {
            self.touch(group, &reader.consumer)?;
            self.news(channel, group, total, &mut found)?;
        }
        if channels.len() > 1 {
            found.sort_by_key(|(_, _, entry)| entry.id);
            found.truncate(total);
        }
        let now = self.monotonic();
        let mut claimed = Vec::with_capacity(found.len());
        for (index, (group, pos, entry)) in found.into_iter().enumerate() {
            self.step(Step::BeforeClaim);
            let attempt = u32::from(index < want.start);
            let consumer = self.known_consumer(group, &reader.consumer).unwrap_or_default();
            self.conn
                .prepare_cached("INSERT OR REPLACE INTO pending(grp, ms, seq, pos, consumer, since, attempt) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
                .execute(params![
                    self.groups[group].id,
                    entry.id.ms.cast_signed(),
                    entry.id.seq.cast_signed(),
                    pos,
                    consumer,
                    now,
                    attempt
                ])?;
            self.move_to(group, Place { pos, id: entry.id });
            self.step(Step::AfterClaim);
            claimed.push(Claimed { entry, attempt });
        }
        Ok(Ok(claimed))
    }

    /// Adds what the group has not been given to `found`.
    fn news(
        &mut self,
        channel: ChannelName,
        group: usize,
        limit: usize,
        found: &mut Vec<(usize, i64, Entry)>,
    ) -> rusqlite::Result<()> {
        let head = &self.channels[channel as usize];
        let after = self.groups[group].delivered.pos;
        if head.last.pos <= after || limit == 0 {
            return Ok(());
        }
        let before = found.len();
        let mut statement = self.conn.prepare_cached(&head.after)?;
        let mut rows = statement.query(params![after, at_most(limit)])?;
        while let Some(row) = rows.next()? {
            let entry = Entry::new(channel, id_of(row.get(1)?, row.get(2)?), row.get(3)?, row.get(4)?);
            found.push((group, row.get(0)?, entry));
        }
        if found.len() == before {
            // Somebody deleted the rest by hand: do not look for it again.
            let last = head.last;
            drop(rows);
            drop(statement);
            self.move_to(group, last);
        }
        Ok(())
    }

    /// Gives the reader pending messages of its group: its own, or stale ones. Both are a sign of life.
    pub(super) fn take(
        &mut self,
        reader: &Reader,
        channels: &[ChannelName],
        take: Take,
        limit: usize,
    ) -> Answer<Claims> {
        let groups = match self.groups_of(&reader.group, channels) {
            Ok(groups) => groups,
            Err(error) => return Ok(Err(error)),
        };
        let now = self.monotonic();
        let mut found: Vec<Found> = Vec::new();
        for (&channel, &group) in channels.iter().zip(&groups) {
            let consumer = self.touch(group, &reader.consumer)?;
            let (owner, before) = match take {
                Take::Own => (Some(consumer), i64::MAX),
                Take::Stale(idle) => (None, now.saturating_sub(i64::try_from(idle.as_millis()).unwrap_or(i64::MAX))),
            };
            let table = stream_table(channel);
            let sql = format!(
                "SELECT p.ms, p.seq, p.attempt, s.e, s.b FROM pending p
                 LEFT JOIN {table} s ON s.pos = p.pos AND s.ms = p.ms AND s.seq = p.seq
                 WHERE p.grp = ?1 AND (?2 IS NULL OR p.consumer = ?2) AND (p.since < 0 OR p.since <= ?3)
                 ORDER BY p.ms, p.seq LIMIT ?4"
            );
            let mut statement = self.conn.prepare_cached(&sql)?;
            let mut rows = statement.query(params![self.groups[group].id, owner, before, at_most(limit)])?;
            while let Some(row) = rows.next()? {
                let e: Option<String> = row.get(3)?;
                let texts = e.zip(row.get::<_, Option<String>>(4)?);
                found.push((id_of(row.get(0)?, row.get(1)?), group, channel, row.get(2)?, texts));
            }
        }
        found.sort_by_key(|(id, ..)| *id);
        found.truncate(limit);
        let mut claims = Claims::default();
        for (id, group, channel, attempt, texts) in found {
            self.step(Step::BeforeClaim);
            let key = [self.groups[group].id, id.ms.cast_signed(), id.seq.cast_signed()];
            if let Some((e, b)) = texts {
                let consumer = self.known_consumer(group, &reader.consumer).unwrap_or_default();
                self.conn
                    .prepare_cached(
                        "UPDATE pending SET consumer = ?4, since = ?5 WHERE grp = ?1 AND ms = ?2 AND seq = ?3",
                    )?
                    .execute([key[0], key[1], key[2], consumer, now])?;
                claims.claimed.push(Claimed { entry: Entry::new(channel, id, e, b), attempt });
            } else {
                self.conn
                    .prepare_cached("DELETE FROM pending WHERE grp = ?1 AND ms = ?2 AND seq = ?3")?
                    .execute(key)?;
                claims.vanished.push((channel, id));
            }
            self.step(Step::AfterClaim);
        }
        Ok(Ok(claims))
    }

    /// Extends or hands back what the reader holds. Returns what it does not hold.
    pub(super) fn hold(
        &mut self,
        reader: &Reader,
        held: &[(ChannelName, EntryId)],
        what: Hold,
    ) -> rusqlite::Result<Vec<(ChannelName, EntryId)>> {
        let since = match what {
            Hold::Extend => self.monotonic(),
            Hold::Release => LONG_AGO,
        };
        let mut lost = Vec::new();
        for &(channel, id) in held {
            let changed = match self.group(channel, &reader.group) {
                None => 0,
                Some(group) => {
                    let consumer = self.touch(group, &reader.consumer)?;
                    self.conn
                        .prepare_cached(
                            "UPDATE pending SET since = ?5 WHERE grp = ?1 AND ms = ?2 AND seq = ?3 AND consumer = ?4",
                        )?
                        .execute([self.groups[group].id, id.ms.cast_signed(), id.seq.cast_signed(), consumer, since])?
                }
            };
            if changed == 0 {
                lost.push((channel, id));
            }
        }
        Ok(lost)
    }

    // ---- trimming ------------------------------------------------------------------------------------------------------

    /// Removes up to `chunk` of a channel's oldest entries that nobody needs. Returns how many went.
    pub(super) fn trim(
        &mut self,
        channel: ChannelName,
        older_than: i64,
        keep: u64,
        chunk: i64,
    ) -> rusqlite::Result<u64> {
        let Some((first, last)) = find::ends(&self.conn, channel)? else {
            return Ok(0);
        };
        let too_old = find::lower_bound(&self.conn, channel, id_of(older_than.max(0), 0))? - 1;
        let too_many = last - i64::try_from(keep).unwrap_or(i64::MAX).min(last);
        let mut until = too_old.max(too_many).min(first - 1 + chunk);
        for group in self.groups.iter().filter(|group| group.channel == channel) {
            let oldest: Option<i64> = self
                .conn
                .prepare_cached("SELECT pos FROM pending WHERE grp = ?1 ORDER BY ms, seq LIMIT 1")?
                .query_row([group.id], |row| row.get(0))
                .optional()?;
            until = until.min(oldest.map_or(group.delivered.pos, |pos| pos - 1));
        }
        if until < first {
            return Ok(0);
        }
        let newest = last_place(&self.conn, channel)?;
        self.conn
            .prepare_cached("UPDATE channels SET last_pos = ?2, last_ms = ?3, last_seq = ?4 WHERE name = ?1")?
            .execute(params![channel.as_str(), newest.pos, newest.id.ms.cast_signed(), newest.id.seq.cast_signed()])?;
        self.unindex(channel, first, until)?;
        let sql = format!("DELETE FROM {} WHERE pos <= ?1", stream_table(channel));
        let gone = self.conn.prepare_cached(&sql)?.execute([until])?;
        Ok(gone as u64)
    }
}
