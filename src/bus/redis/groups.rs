//! Work as a group: reading, holding on, taking over.
//!
//! Owns how deliveries are counted: the server's delivery count is the number of attempts that were started.

use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use super::names::Names;
use super::{RedisBus, fault, value};
use crate::bus::entry::EntryId;
use crate::bus::error::BusError;
use crate::bus::{Claimed, Claims, GroupFound, Reader, Want};
use crate::contracts::ChannelName;

/// No read hands out more.
const MOST_AT_ONCE: usize = 1_000;
/// No call waits longer; the caller simply asks again.
pub(super) const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// What a read without waiting came to.
enum Took {
    Some(Vec<Claimed>),
    /// Nothing; what each group was last given, where that was asked for.
    Nothing(Vec<EntryId>),
}

impl RedisBus {
    pub(super) async fn do_ensure_group(&self, channel: ChannelName, group: &str) -> Result<GroupFound, BusError> {
        let names = &self.link.names;
        let script = &self.link.scripts.ensure;
        let mut cmd = script.call(&[names.stream(channel), names.progress()]);
        cmd.arg(group).arg(Names::progress_field(channel, group));
        let answer = value::items(self.link.run(script, &cmd).await?)?;
        let said = answer.first().map(value::text).transpose()?.unwrap_or_default();
        match (said.as_ref(), answer.get(1)) {
            ("existing", _) => Ok(GroupFound::Existing),
            ("created", _) => Ok(GroupFound::Created),
            ("resumed", Some(id)) => Ok(GroupFound::Resumed(value::id(id)?)),
            ("T", Some(found)) => Err(self.foreign_stream(channel, &value::text(found)?)),
            _ => Err(value::odd("what became of a group", &Value::Array(answer))),
        }
    }

    pub(super) fn foreign_stream(&self, channel: ChannelName, found: &str) -> BusError {
        BusError::ForeignType { key: self.link.names.stream(channel), found: found.to_owned(), wanted: "stream" }
    }

    /// The error that a script met on one of its streams.
    fn stream_error(&self, channel: ChannelName, group: &str, text: &str) -> BusError {
        if text.contains("NOGROUP") {
            return BusError::NoGroup { channel, group: group.to_owned() };
        }
        match fault::of_text(text) {
            BusError::ForeignType { .. } => self.foreign_stream(channel, "value of another type"),
            other => other,
        }
    }

    /// Reads `{'E', index, error}`, if it is one.
    fn refusal(&self, answer: &[Value], channels: &[ChannelName], group: &str) -> Option<BusError> {
        let [letter, index, text] = answer else { return None };
        if *letter != Value::BulkString(b"E".to_vec()) {
            return None;
        }
        let channel = channel_at(channels, index).ok()?;
        Some(self.stream_error(channel, group, &value::text(text).ok()?))
    }

    pub(super) async fn do_read(
        &self,
        reader: &Reader,
        channels: &[ChannelName],
        want: Want,
        patience: Duration,
    ) -> Result<Vec<Claimed>, BusError> {
        let want = Want { start: want.start.min(MOST_AT_ONCE), ahead: want.ahead.min(MOST_AT_ONCE) };
        if channels.is_empty() || want.start + want.ahead == 0 {
            return Ok(Vec::new());
        }
        let until = Instant::now() + patience.min(LONGEST_WAIT);
        // Each time another channel may fill the window first, so that a busy one does not starve the others.
        let turn = self.turns.fetch_add(1, Ordering::Relaxed) % channels.len();
        let mut channels = channels.to_vec();
        channels.rotate_left(turn);
        // What may only be started at once needs no script to take back the server's count: it can be waited for directly.
        let mut direct = want.ahead == 0 && patience >= Duration::from_millis(1);
        loop {
            let last = if direct {
                Vec::new()
            } else {
                match self.take(reader, &channels, want).await? {
                    Took::Some(taken) => return Ok(taken),
                    Took::Nothing(last) => last,
                }
            };
            let left = until.saturating_duration_since(Instant::now());
            if left < Duration::from_millis(1) {
                return Ok(Vec::new());
            }
            if want.start > 0 {
                if let Some(taken) = self.wait_and_take(reader, &channels, want.start, left).await? {
                    return Ok(taken);
                }
                direct = false;
            } else {
                let cursors: Vec<_> = channels.iter().copied().zip(last).collect();
                self.do_watch(&cursors, 1, left).await?;
            }
        }
    }

    async fn take(&self, reader: &Reader, channels: &[ChannelName], want: Want) -> Result<Took, BusError> {
        let script = &self.link.scripts.read;
        let keys: Vec<_> = channels.iter().map(|channel| self.link.names.stream(*channel)).collect();
        let mut cmd = script.call(&keys);
        cmd.arg(&reader.group).arg(&reader.consumer).arg(want.start).arg(want.ahead);
        let answer = value::items(self.link.run(script, &cmd).await?)?;
        if let Some(error) = self.refusal(&answer, channels, &reader.group) {
            return Err(error);
        }
        if answer.first() == Some(&Value::BulkString(b"W".to_vec())) {
            let last = value::items(answer.into_iter().nth(1).unwrap_or_default())?;
            return Ok(Took::Nothing(last.iter().map(value::id).collect::<Result<_, _>>()?));
        }
        if answer.is_empty() {
            return Ok(Took::Nothing(Vec::new()));
        }
        let mut taken = answer.into_iter().map(|one| claimed(one, channels)).collect::<Result<Vec<_>, _>>()?;
        taken.sort_by_key(|claimed| claimed.entry.id);
        Ok(Took::Some(taken))
    }

    /// Waits in the server. None where nothing came, or a group went away meanwhile (the next look will say which).
    async fn wait_and_take(
        &self,
        reader: &Reader,
        channels: &[ChannelName],
        start: usize,
        wait: Duration,
    ) -> Result<Option<Vec<Claimed>>, BusError> {
        let mut cmd = redis::cmd("XREADGROUP");
        cmd.arg("GROUP").arg(&reader.group).arg(&reader.consumer);
        cmd.arg("COUNT").arg(start).arg("BLOCK").arg(block_ms(wait)).arg("STREAMS");
        for channel in channels {
            cmd.arg(self.link.names.stream(*channel));
        }
        for _ in channels {
            cmd.arg(">");
        }
        let answer = match self.link.wait_on(&cmd, wait).await? {
            Ok(answer) => answer,
            Err(error) if fault::cannot_wait(&error) => return Ok(None),
            Err(error) => return Err(fault::of_call(&error)),
        };
        let mut taken = Vec::new();
        for (key, entries) in value::streams(answer)? {
            let Some(channel) = self.link.names.channel_of_stream(&key) else {
                continue;
            };
            for entry in value::entries(channel, entries)? {
                taken.push(Claimed { entry, attempt: 1 });
            }
        }
        taken.sort_by_key(|claimed| claimed.entry.id);
        Ok((!taken.is_empty()).then_some(taken))
    }

    /// Takes pending messages over: this consumer's own, or those idle for so long.
    pub(super) async fn do_claim(
        &self,
        reader: &Reader,
        channels: &[ChannelName],
        idle: Option<Duration>,
        limit: usize,
    ) -> Result<Claims, BusError> {
        let script = &self.link.scripts.claim;
        let keys: Vec<_> = channels.iter().map(|channel| self.link.names.stream(*channel)).collect();
        let mut cmd = script.call(&keys);
        cmd.arg(&reader.group).arg(&reader.consumer);
        match idle {
            Some(idle) => cmd.arg(value::millis(idle)),
            None => cmd.arg(""),
        };
        cmd.arg(limit);
        let answer = value::items(self.link.run(script, &cmd).await?)?;
        if let Some(error) = self.refusal(&answer, channels, &reader.group) {
            return Err(error);
        }
        let [taken, gone] = value::parts(Value::Array(answer))?;
        let mut claims = Claims::default();
        for one in value::items(taken)? {
            claims.claimed.push(claimed(one, channels)?);
        }
        claims.claimed.sort_by_key(|claimed| claimed.entry.id);
        for one in value::items(gone)? {
            let [index, id] = value::parts(one)?;
            claims.vanished.push((channel_at(channels, &index)?, value::id(&id)?));
        }
        Ok(claims)
    }

    /// Extends or releases messages; returns those that the consumer does not hold.
    pub(super) async fn do_hold(
        &self,
        mode: &str,
        reader: &Reader,
        held: &[(ChannelName, EntryId)],
    ) -> Result<Vec<(ChannelName, EntryId)>, BusError> {
        let script = &self.link.scripts.hold;
        let mut lost = Vec::new();
        // A call of bounded length, for the server does nothing else meanwhile.
        for held in held.chunks(500) {
            let keys: Vec<_> = held.iter().map(|(channel, _)| self.link.names.stream(*channel)).collect();
            let mut cmd = script.call(&keys);
            cmd.arg(mode).arg(&reader.group).arg(&reader.consumer);
            for (_, id) in held {
                cmd.arg(id.to_string());
            }
            for index in value::items(self.link.run(script, &cmd).await?)? {
                lost.extend(held.get(place(&index)?));
            }
        }
        Ok(lost)
    }
}

/// How long the server is to wait: at least a millisecond, for zero means for ever.
pub(super) fn block_ms(wait: Duration) -> u64 {
    value::millis(wait).max(1)
}

/// A script's index, which counts from 1.
fn place(index: &Value) -> Result<usize, BusError> {
    usize::try_from(value::int(index)? - 1).map_err(|_| value::odd("an index", index))
}

fn channel_at(channels: &[ChannelName], index: &Value) -> Result<ChannelName, BusError> {
    channels.get(place(index)?).copied().ok_or_else(|| value::odd("the index of a channel", index))
}

fn claimed(one: Value, channels: &[ChannelName]) -> Result<Claimed, BusError> {
    let [index, id, fields, attempt] = value::parts(one)?;
    Ok(Claimed {
        entry: value::entry(channel_at(channels, &index)?, &id, fields)?,
        attempt: u32::try_from(value::int(&attempt)?).unwrap_or(u32::MAX),
    })
}
