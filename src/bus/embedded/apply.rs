//! Commits on the embedded store: each unit checked, then written.
//!
//! Owns the order of the checks. A unit with a single thing that can be refused is checked by doing that thing first; only one
//! with more of them needs a savepoint. Must never leave a part of a refused unit behind.

use rusqlite::{OptionalExtension, params};

use super::schema::at_most;
use super::state;
use super::store::Store;
use crate::bus::commit::ONCE_TTL;
use crate::bus::{Commit, EntryId, LeaseFence, Op, Outcome, Outgoing, PendingRef, Timer};

/// A commit with the envelopes of its appends as text, in order.
pub(super) struct Unit {
    commit: Commit,
    envelopes: Vec<String>,
}

impl Unit {
    /// Writes the envelopes, on the caller's time rather than the writer's.
    pub(super) fn new(commit: Commit) -> Self {
        let envelopes = commit.ops.iter().filter_map(|op| match op {
            Op::Append(message) => Some(message.envelope.to_json()),
            _ => None,
        });
        Self { envelopes: envelopes.collect(), commit }
    }

    /// How many things of it can be refused after the first check.
    fn doubts(&self) -> usize {
        let in_ops = self.commit.ops.iter().filter(|op| match op {
            Op::Append(_) | Op::Schedule(_) | Op::Cancel { .. } => false,
            Op::Start { .. } | Op::Change { .. } | Op::Add { .. } | Op::Delete { .. } | Op::State { .. } => true,
        });
        self.commit.acknowledge.len() + in_ops.count()
    }
}

impl Store {
    /// Applies a unit completely or not at all.
    pub(super) fn apply(&mut self, unit: &Unit) -> rusqlite::Result<Outcome> {
        let commit = &unit.commit;
        if let Some(fence) = &commit.under
            && !self.holds(fence)?
        {
            return Ok(Outcome::Fenced);
        }
        if let (Some(key), [Op::Append(message)], []) = (&commit.once, &*commit.ops, &*commit.acknowledge) {
            return self.say_once(key, message, unit.envelopes.first().map_or("", String::as_str));
        }
        if let Some(key) = &commit.once
            && let Some(entries) = self.said_before(key)?
        {
            return Ok(Outcome::Duplicate(entries));
        }
        let guarded = unit.doubts() > 1;
        if guarded {
            self.run("SAVEPOINT unit")?;
        }
        let refused = self.apply_doubtful(commit)?;
        if guarded {
            if refused.is_some() {
                self.run("ROLLBACK TO unit")?;
            }
            self.run("RELEASE unit")?;
        }
        if let Some(outcome) = refused {
            return Ok(outcome);
        }
        let entries = self.apply_certain(unit)?;
        if let Some(key) = &commit.once {
            self.remember(key, &entries, once_until(self.wall()))?;
        }
        Ok(Outcome::Committed(entries))
    }

    /// Everything that can be refused, in order. Stops at the first refusal.
    fn apply_doubtful(&mut self, commit: &Commit) -> rusqlite::Result<Option<Outcome>> {
        for (index, pending) in commit.acknowledge.iter().enumerate() {
            // Named twice is acknowledged once.
            if !commit.acknowledge[..index].contains(pending) && !self.acknowledge(pending)? {
                return Ok(Some(Outcome::NotPending));
            }
        }
        let wall = if commit.ops.is_empty() { 0 } else { self.wall() };
        for op in &commit.ops {
            let applied = match op {
                Op::Append(_) | Op::Schedule(_) | Op::Cancel { .. } => Ok(()),
                Op::Start { pending, consumer, attempt } => {
                    if self.start(pending, consumer, *attempt)? {
                        Ok(())
                    } else {
                        Err(Outcome::NotPending)
                    }
                }
                Op::Change { key, expect, fields, ttl } => state::change(&self.conn, wall, key, *expect, fields, *ttl)?,
                Op::Add { key, field, n, ceiling } => state::add(&self.conn, wall, key, field, *n, *ceiling)?,
                Op::Delete { key, expect } => state::delete(&self.conn, wall, key, *expect)?,
                Op::State { key, change } => state::apply(&self.conn, wall, key, change)?,
            };
            if let Err(outcome) = applied {
                return Ok(Some(outcome));
            }
        }
        Ok(None)
    }

    /// Everything that cannot be refused, in order.
    fn apply_certain(&mut self, unit: &Unit) -> rusqlite::Result<Vec<EntryId>> {
        let mut envelopes = unit.envelopes.iter();
        let mut entries = Vec::with_capacity(unit.envelopes.len());
        for op in &unit.commit.ops {
            match op {
                Op::Append(message) => {
                    let e = envelopes.next().map_or("", String::as_str);
                    entries.push(self.append(message, e)?);
                }
                Op::Schedule(timer) => self.schedule(timer)?,
                Op::Cancel { timer } => {
                    self.conn.prepare_cached("DELETE FROM timers WHERE id = ?1")?.execute([timer])?;
                }
                Op::Start { .. } | Op::Change { .. } | Op::Add { .. } | Op::Delete { .. } | Op::State { .. } => {}
            }
        }
        Ok(entries)
    }

    fn acknowledge(&mut self, pending: &PendingRef) -> rusqlite::Result<bool> {
        let Some(group) = self.group(pending.channel, &pending.group) else {
            return Ok(false);
        };
        let gone = self
            .conn
            .prepare_cached("DELETE FROM pending WHERE grp = ?1 AND ms = ?2 AND seq = ?3")?
            .execute([self.groups[group].id, pending.entry.ms.cast_signed(), pending.entry.seq.cast_signed()])?;
        if gone > 0 {
            self.touch_group(group);
        }
        Ok(gone > 0)
    }

    fn start(&mut self, pending: &PendingRef, consumer: &str, attempt: u32) -> rusqlite::Result<bool> {
        let Some(group) = self.group(pending.channel, &pending.group) else {
            return Ok(false);
        };
        let Some(consumer) = self.known_consumer(group, consumer) else {
            return Ok(false);
        };
        let id = self.groups[group].id;
        let changed = self
            .conn
            .prepare_cached(
                "UPDATE pending SET attempt = ?5, since = ?6 WHERE grp = ?1 AND ms = ?2 AND seq = ?3 AND consumer = ?4",
            )?
            .execute(params![
                id,
                pending.entry.ms.cast_signed(),
                pending.entry.seq.cast_signed(),
                consumer,
                attempt,
                self.monotonic()
            ])?;
        Ok(changed > 0)
    }

    // ---- idempotency keys ----------------------------------------------------------------------------------------------

    /// A message and its key alone, as senders say it: writing the key tells whether it was used before.
    fn say_once(&mut self, key: &str, message: &Outgoing, e: &str) -> rusqlite::Result<Outcome> {
        let now = self.wall();
        let next = self.next_place(message.channel, now);
        let written = self
            .conn
            .prepare_cached(
                "INSERT INTO once(key, entries, expires) VALUES(?1, ?2, ?3) ON CONFLICT DO UPDATE
                 SET entries = excluded.entries, expires = excluded.expires WHERE expires <= ?4",
            )?
            .execute(params![key, next.id.to_string(), once_until(now), now])?;
        if written == 0 {
            return Ok(Outcome::Duplicate(self.said_before(key)?.unwrap_or_default()));
        }
        self.append_at(next, message, e)?;
        Ok(Outcome::Committed(vec![next.id]))
    }

    fn said_before(&self, key: &str) -> rusqlite::Result<Option<Vec<EntryId>>> {
        let entries: Option<String> = self
            .conn
            .prepare_cached("SELECT entries FROM once WHERE key = ?1 AND expires > ?2")?
            .query_row(params![key, self.wall()], |row| row.get(0))
            .optional()?;
        Ok(entries.map(|entries| parse_ids(&entries)))
    }

    pub(super) fn remember(&self, key: &str, entries: &[EntryId], expires: i64) -> rusqlite::Result<()> {
        let entries: Vec<String> = entries.iter().map(ToString::to_string).collect();
        self.conn
            .prepare_cached("INSERT OR REPLACE INTO once(key, entries, expires) VALUES(?1, ?2, ?3)")?
            .execute(params![key, entries.join(" "), expires])?;
        Ok(())
    }

    /// Forgets idempotency keys that have lapsed, looking at `limit` keys after `cursor`. Returns where to look on.
    pub(super) fn forget(&self, cursor: &str, limit: usize) -> rusqlite::Result<Option<String>> {
        let keys: Vec<(String, i64)> = self
            .conn
            .prepare_cached("SELECT key, expires FROM once WHERE key > ?1 ORDER BY key LIMIT ?2")?
            .query_map(params![cursor, at_most(limit)], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let now = self.wall();
        for (key, _) in keys.iter().filter(|(_, expires)| *expires <= now) {
            self.conn.prepare_cached("DELETE FROM once WHERE key = ?1")?.execute([key])?;
        }
        Ok((keys.len() == limit).then(|| keys.into_iter().next_back().map(|(key, _)| key)).flatten())
    }

    // ---- timers --------------------------------------------------------------------------------------------------------

    pub(super) fn schedule(&self, timer: &Timer) -> rusqlite::Result<()> {
        // Plain texts and times: there is nothing in a message that could fail to serialise.
        let message = serde_json::to_string(&timer.message).unwrap_or_default();
        self.conn
            .prepare_cached("INSERT OR REPLACE INTO timers(id, at, message) VALUES(?1, ?2, ?3)")?
            .execute(params![timer.id, timer.at.timestamp_millis(), message])?;
        Ok(())
    }

    /// Says what is due, in order of time, if the lease is still the given one.
    pub(super) fn fire_timers(&mut self, now: i64, limit: usize, under: &LeaseFence) -> rusqlite::Result<usize> {
        if !self.holds(under)? {
            return Ok(0);
        }
        let due: Vec<(String, String)> = self
            .conn
            .prepare_cached("SELECT id, message FROM timers WHERE at <= ?1 ORDER BY at, id LIMIT ?2")?
            .query_map(params![now, at_most(limit)], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let mut fired = 0;
        for (id, message) in due {
            match serde_json::from_str::<Outgoing>(&message) {
                Ok(message) => {
                    let e = message.envelope.to_json();
                    self.append(&message, &e)?;
                    fired += 1;
                }
                Err(error) => tracing::error!(timer = %id, %error, "a timer cannot be read and is removed: {message}"),
            }
            self.conn.prepare_cached("DELETE FROM timers WHERE id = ?1")?.execute([&id])?;
        }
        Ok(fired)
    }
}

/// When an idempotency key that is used at `wall` lapses.
fn once_until(wall: i64) -> i64 {
    wall.saturating_add(i64::try_from(ONCE_TTL.as_millis()).unwrap_or(i64::MAX))
}

/// Ids as the table `once` holds them.
pub(super) fn parse_ids(text: &str) -> Vec<EntryId> {
    text.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}
