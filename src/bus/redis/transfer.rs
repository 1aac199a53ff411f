//! Backups and moves: everything out, and back in exactly as it was.
//!
//! Owns the translation between what is stored and [`Record`]s. Must never write into a store that holds something.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use redis::{Cmd, Value};
use tokio::sync::mpsc;

use super::commit::StoredTimer;
use super::names::Names;
use super::{RedisBus, value};
use crate::bus::commit::Timer;
use crate::bus::entry::EntryId;
use crate::bus::error::BusError;
use crate::bus::state::{State, VERSION_FIELD};
use crate::bus::{Range, Record};
use crate::contracts::ChannelName;

const PAGE: usize = 200;
/// Commands written in one go.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 1024 * 1024;

async fn give(sink: &mpsc::Sender<Record>, record: Record) -> Result<(), BusError> {
    // Whoever asked for the records is gone; there is nobody to tell.
    sink.send(record).await.map_err(|_| BusError::Closed)
}

impl RedisBus {
    pub(super) async fn do_export(&self, sink: &mpsc::Sender<Record>) -> Result<(), BusError> {
        for channel in ChannelName::ALL {
            self.export_channel(*channel, sink).await?;
        }
        self.export_timers(sink).await?;
        let mut seen = HashSet::new();
        let mut cursor = "0".to_owned();
        loop {
            let (next, names) = self.scan_once("", &cursor, PAGE).await?;
            for name in names {
                // The server may name a key twice.
                if seen.insert(name.clone()) {
                    self.export_key(&name, sink).await?;
                }
            }
            if next == "0" {
                return Ok(());
            }
            cursor = next;
        }
    }

    async fn export_channel(&self, channel: ChannelName, sink: &mpsc::Sender<Record>) -> Result<(), BusError> {
        let (info, newest) = self.do_inspect(channel).await?;
        let newest = value::id(&newest)?;
        if newest == EntryId::ZERO && info.groups.is_empty() {
            return Ok(());
        }
        let mut after = None;
        loop {
            let range = match after {
                Some(id) => Range::after(id, PAGE),
                None => Range { newest_first: false, ..Range::newest(PAGE) },
            };
            let page = self.do_range(channel, range).await?;
            let full = page.len() == PAGE;
            for entry in page {
                after = Some(entry.id);
                let (id, e, b) = (entry.id, entry.e, entry.b);
                give(sink, Record::Entry { channel, id, e, b }).await?;
            }
            if !full {
                break;
            }
        }
        give(sink, Record::Channel { channel, last: newest }).await?;
        for group in info.groups {
            let (name, last_delivered) = (group.group, group.last_delivered);
            let record = Record::Group { channel, group: name.clone(), last_delivered };
            give(sink, record).await?;
            self.export_pending(channel, &name, sink).await?;
        }
        Ok(())
    }

    async fn export_pending(
        &self,
        channel: ChannelName,
        group: &str,
        sink: &mpsc::Sender<Record>,
    ) -> Result<(), BusError> {
        let mut from = "-".to_owned();
        loop {
            let mut cmd = redis::cmd("XPENDING");
            cmd.arg(self.link.names.stream(channel)).arg(group);
            cmd.arg(&from).arg("+").arg(PAGE);
            let page = value::items(self.link.send(&cmd).await?)?;
            let full = page.len() == PAGE;
            for one in page {
                let [id, consumer, _, attempt] = value::parts(one)?;
                let id = value::id(&id)?;
                from = format!("({id}");
                let record = Record::Pending {
                    channel,
                    group: group.to_owned(),
                    consumer: value::into_text(consumer)?,
                    id,
                    attempt: u32::try_from(value::int(&attempt)?).unwrap_or(u32::MAX),
                };
                give(sink, record).await?;
            }
            if !full {
                return Ok(());
            }
        }
    }

    async fn export_timers(&self, sink: &mpsc::Sender<Record>) -> Result<(), BusError> {
        let mut cmd = redis::cmd("HGETALL");
        cmd.arg(self.link.names.timer_messages());
        for (id, stored) in value::pairs(self.link.send(&cmd).await?)? {
            let id = value::into_text(id)?;
            let mut cmd = redis::cmd("ZSCORE");
            cmd.arg(self.link.names.timers()).arg(&id);
            let score = self.link.send(&cmd).await?;
            let at = match &score {
                Value::Nil => None,
                score => value::text(score)?.parse::<f64>().ok(),
            };
            #[expect(clippy::cast_possible_truncation, reason = "milliseconds since 1970 are whole and small")]
            let at = at.and_then(|ms| DateTime::from_timestamp_millis(ms as i64));
            let stored = serde_json::from_str::<StoredTimer>(&value::text(&stored)?).ok();
            if let (Some(at), Some(message)) = (at, stored.and_then(StoredTimer::into_message)) {
                let timer = Timer { id, at, message };
                give(sink, Record::Timer { timer }).await?;
            } else {
                tracing::warn!(timer = id, "a timer cannot be read, and is not exported");
            }
        }
        Ok(())
    }

    async fn export_key(&self, name: &str, sink: &mpsc::Sender<Record>) -> Result<(), BusError> {
        let names = &self.link.names;
        let now = self.clock.now();
        let at = |ttl: Duration| TimeDelta::from_std(ttl).ok().and_then(|ttl| now.checked_add_signed(ttl));
        if let Some(key) = names.state_key(name) {
            match self.state_with_ttl(&key).await {
                Ok(Some((state, ttl))) => {
                    let expires_at = ttl.and_then(at);
                    give(sink, Record::State { key, state, expires_at }).await?;
                }
                Ok(None) => {}
                Err(BusError::ForeignType { found, .. }) => {
                    tracing::warn!(key = name, found, "a key of a foreign type is not exported");
                }
                Err(error) => return Err(error),
            }
            return Ok(());
        }
        let once = name.strip_prefix(&names.once(""));
        let fence = name.strip_prefix(&names.fence(""));
        if once.is_none() && fence.is_none() {
            return Ok(());
        }
        let own = crate::bus::Key::new(name.strip_prefix(names.prefix()).unwrap_or(name));
        let Some((State::String(text), ttl)) = self.state_with_ttl(&own).await? else {
            return Ok(());
        };
        if let Some(key) = once {
            let entries = text
                .split_ascii_whitespace()
                .map(|id| id.parse().map_err(|_| BusError::bad_id(id)))
                .collect::<Result<_, _>>()?;
            let expires_at = ttl.and_then(at).unwrap_or(now);
            let key = key.to_owned();
            return give(sink, Record::Once { key, entries, expires_at }).await;
        }
        match (fence, text.parse()) {
            (Some(name), Ok(number)) => give(sink, Record::Fence { name: name.to_owned(), number }).await,
            _ => Ok(()),
        }
    }

    /// Whether nothing is stored but what the engine itself writes into an empty store.
    async fn is_empty(&self) -> Result<bool, BusError> {
        let names = &self.link.names;
        let own = [names.schema(), names.lease(""), names.fence(""), names.probes()[0].clone()];
        let mut cursor = "0".to_owned();
        loop {
            let (next, found) = self.scan_once("", &cursor, PAGE).await?;
            if found.iter().any(|name| !own.iter().any(|own| name.starts_with(own.as_str()))) {
                return Ok(false);
            }
            if next == "0" {
                return Ok(true);
            }
            cursor = next;
        }
    }

    pub(super) async fn do_import(&self, mut source: mpsc::Receiver<Record>) -> Result<u64, BusError> {
        if !self.is_empty().await? {
            return Err(BusError::NotEmpty(self.link.target.location().to_owned()));
        }
        let mut import = Import { names: &self.link.names, now: self.clock.now(), marks: HashMap::new() };
        let mut line = 0;
        let mut batch: Vec<(u64, Cmd)> = Vec::new();
        let mut size = 0;
        while let Some(record) = source.recv().await {
            line += 1;
            let commands = import.commands(record).map_err(|reason| BusError::BadRecord { line, reason })?;
            for command in commands {
                size += command.get_packed_command().len();
                batch.push((line, command));
            }
            if batch.len() >= BATCH || size >= BATCH_BYTES {
                self.write_batch(&mut batch).await?;
                size = 0;
            }
        }
        self.write_batch(&mut batch).await?;
        Ok(line)
    }

    async fn write_batch(&self, batch: &mut Vec<(u64, Cmd)>) -> Result<(), BusError> {
        let answers = self.link.send_all(batch.iter().map(|(_, cmd)| cmd)).await?;
        for ((line, _), answer) in batch.drain(..).zip(answers) {
            if let Value::ServerError(error) = answer {
                let error = redis::RedisError::from(error);
                return Err(match super::fault::of_call(&error) {
                    BusError::Protocol(reason) => BusError::BadRecord { line, reason },
                    other => other,
                });
            }
        }
        Ok(())
    }
}

struct Import<'a> {
    names: &'a Names,
    now: DateTime<Utc>,
    /// The oldest message that is pending for a group.
    marks: HashMap<(ChannelName, String), EntryId>,
}

fn command(words: &[&str]) -> Cmd {
    let mut cmd = Cmd::new();
    for word in words {
        cmd.arg(word);
    }
    cmd
}

impl Import<'_> {
    fn commands(&mut self, record: Record) -> Result<Vec<Cmd>, String> {
        match record {
            Record::Entry { channel, id, e, b } => {
                let key = self.names.stream(channel);
                Ok(vec![command(&["XADD", &key, &id.to_string(), "e", &e, "b", &b])])
            }
            Record::Channel { channel, last } => {
                // There may be no entry left: a group that comes and goes makes the stream.
                let key = self.names.stream(channel);
                let mut commands = vec![
                    command(&["XGROUP", "CREATE", &key, "bus:import", "$", "MKSTREAM"]),
                    command(&["XGROUP", "DESTROY", &key, "bus:import"]),
                ];
                if last > EntryId::ZERO {
                    commands.push(command(&["XSETID", &key, &last.to_string()]));
                }
                Ok(commands)
            }
            Record::Group { channel, group, last_delivered } => {
                let key = self.names.stream(channel);
                let last = last_delivered.to_string();
                Ok(vec![
                    command(&["XGROUP", "CREATE", &key, &group, &last, "MKSTREAM"]),
                    self.mark(channel, &group, last_delivered),
                ])
            }
            Record::Pending { channel, group, consumer, id, attempt } => {
                Ok(self.pending(channel, group, &consumer, id, attempt))
            }
            Record::State { key, state, expires_at } => {
                let name = self.names.key(&key);
                if self.names.state_key(&name).is_none() {
                    return Err(format!("`{key}` belongs to the bus itself"));
                }
                Ok(self.state(&name, state, expires_at))
            }
            Record::Timer { timer } => {
                let message = StoredTimer::of(&timer).to_json();
                let at = timer.at.timestamp_millis().to_string();
                Ok(vec![
                    command(&["ZADD", &self.names.timers(), &at, &timer.id]),
                    command(&["HSET", &self.names.timer_messages(), &timer.id, &message]),
                ])
            }
            Record::Once { key, entries, expires_at } => {
                let ids: Vec<_> = entries.iter().map(ToString::to_string).collect();
                Ok(self
                    .left(expires_at)
                    .map(|left| command(&["SET", &self.names.once(&key), &ids.join(" "), "PX", &left]))
                    .into_iter()
                    .collect())
            }
            Record::Fence { name, number } => {
                Ok(vec![command(&["SET", &self.names.fence(&name), &number.to_string()])])
            }
        }
    }

    fn mark(&self, channel: ChannelName, group: &str, id: EntryId) -> Cmd {
        let field = Names::progress_field(channel, group);
        command(&["HSET", &self.names.progress(), &field, &id.to_string()])
    }

    fn pending(&mut self, channel: ChannelName, group: String, consumer: &str, id: EntryId, attempt: u32) -> Vec<Cmd> {
        let key = self.names.stream(channel);
        let (id_text, attempt) = (id.to_string(), attempt.to_string());
        let mut commands = vec![command(&[
            "XCLAIM",
            &key,
            &group,
            consumer,
            "0",
            &id_text,
            "FORCE",
            "RETRYCOUNT",
            &attempt,
            "JUSTID",
        ])];
        let oldest = self.marks.get(&(channel, group.clone()));
        if oldest.is_none_or(|oldest| id < *oldest) {
            commands.push(self.mark(channel, &group, before(id)));
            self.marks.insert((channel, group), id);
        }
        commands
    }

    /// How many milliseconds are left; none where the time has passed.
    fn left(&self, until: DateTime<Utc>) -> Option<String> {
        let left = (until - self.now).num_milliseconds();
        (left > 0).then(|| left.to_string())
    }

    fn state(&self, key: &str, state: State, expires_at: Option<DateTime<Utc>>) -> Vec<Cmd> {
        let mut cmd = Cmd::new();
        let filled = match state {
            State::String(text) => {
                cmd.arg("SET").arg(key).arg(text);
                true
            }
            State::Hash(document) => {
                cmd.arg("HSET").arg(key);
                for (field, text) in &document.fields {
                    cmd.arg(field).arg(text);
                }
                if document.version > 0 {
                    cmd.arg(VERSION_FIELD).arg(document.version);
                }
                document.version > 0 || !document.fields.is_empty()
            }
            State::List(values) => {
                cmd.arg("RPUSH").arg(key).arg(&values);
                !values.is_empty()
            }
            State::Set(members) => {
                cmd.arg("SADD").arg(key).arg(&members);
                !members.is_empty()
            }
            State::Sorted(members) => {
                cmd.arg("ZADD").arg(key);
                for (member, score) in &members {
                    cmd.arg(score.to_string()).arg(member);
                }
                !members.is_empty()
            }
        };
        match expires_at.map(|at| self.left(at)) {
            // The server keeps nothing empty, and what has passed needs not be put back.
            _ if !filled => Vec::new(),
            Some(None) => Vec::new(),
            Some(Some(left)) => vec![cmd, command(&["PEXPIRE", key, &left])],
            None => vec![cmd],
        }
    }
}

/// The id just before another.
fn before(id: EntryId) -> EntryId {
    match (id.ms, id.seq) {
        (0, 0) => EntryId::ZERO,
        (ms, 0) => EntryId { ms: ms - 1, seq: u64::MAX },
        (ms, seq) => EntryId { ms, seq: seq - 1 },
    }
}
