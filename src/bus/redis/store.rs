//! State, leases and timers.
//!
//! Owns reading state (writing it is the commit's), and the leases with their fencing numbers.

use std::time::Duration;

use chrono::{DateTime, Utc};
use redis::Value;

use super::{RedisBus, value};
use crate::bus::Got;
use crate::bus::commit::LeaseFence;
use crate::bus::error::BusError;
use crate::bus::state::{Document, Key, State, VERSION_FIELD, reduced};
use crate::contracts::ChannelName;

/// A page of a scan gives up its turn after so many looks at the server, so that a call stays short where few keys match.
const LOOKS: usize = 16;
/// So many keys may be of any type.
const FEW: usize = 8;
/// Keys that are read in one go.
const IN_ONE_GO: usize = 500;
/// At least so many of the server's keys are gone through in a look.
const LEAST_LOOK: usize = 100;

impl RedisBus {
    /// What stands under a key, and how long it has to live.
    pub(super) async fn state_with_ttl(&self, key: &Key) -> Result<Option<(State, Option<Duration>)>, BusError> {
        let script = &self.link.scripts.get;
        let name = self.link.names.key(key);
        let answer = self.link.run(script, &script.call(&[&name])).await?;
        if answer == Value::Nil {
            return Ok(None);
        }
        let [kind, content, ttl] = value::parts(answer)?;
        let state = state(&name, &value::text(&kind)?, content)?;
        let ttl = u64::try_from(value::int(&ttl)?).ok().map(Duration::from_millis);
        Ok(Some((state, ttl)))
    }

    /// What stands under each of these keys; documents with some of their fields alone.
    pub(super) async fn do_get_many(&self, keys: &[Key], only: Option<&[&str]>) -> Result<Vec<Got>, BusError> {
        let mut found = Vec::with_capacity(keys.len());
        for keys in keys.chunks(IN_ONE_GO) {
            // Of many keys nearly all are documents, which the server hands out faster without the script.
            let plain = only.is_none() && keys.len() > FEW;
            let commands: Vec<_> = keys.iter().map(|key| self.getting(key, only, plain)).collect();
            let answers = self.link.send_all(commands.iter()).await?;
            for (key, answer) in keys.iter().zip(answers) {
                found.push(match answer {
                    // No hash, or a script that the server has forgotten.
                    Value::ServerError(_) => self.alone(key, only).await?,
                    Value::Nil => Ok(None),
                    answer => match only {
                        Some(only) => Ok(chosen(only, answer)?),
                        None if plain => Ok(some_document(answer)?),
                        None => self.whole(key, answer)?,
                    },
                });
            }
        }
        Ok(found)
    }

    fn getting(&self, key: &Key, only: Option<&[&str]>, plain: bool) -> redis::Cmd {
        let name = self.link.names.key(key);
        match only {
            Some(only) => {
                let mut cmd = redis::cmd("HMGET");
                cmd.arg(name).arg(VERSION_FIELD).arg(only);
                cmd
            }
            None if plain => {
                let mut cmd = redis::cmd("HGETALL");
                cmd.arg(name);
                cmd
            }
            None => self.link.scripts.get.call(&[name]),
        }
    }

    fn whole(&self, key: &Key, answer: Value) -> Result<Got, BusError> {
        let [kind, content, _] = value::parts(answer)?;
        match state(&self.link.names.key(key), &value::text(&kind)?, content) {
            Ok(state) => Ok(Ok(Some(state))),
            Err(err @ BusError::ForeignType { .. }) => Ok(Err(err)),
            Err(err) => Err(err),
        }
    }

    async fn alone(&self, key: &Key, only: Option<&[&str]>) -> Result<Got, BusError> {
        match self.state_with_ttl(key).await {
            Ok(found) => Ok(Ok(reduced(found.map(|(state, _)| state), only))),
            Err(err @ BusError::ForeignType { .. }) => Ok(Err(err)),
            Err(err) => Err(err),
        }
    }

    pub(super) async fn do_scan(
        &self,
        prefix: &str,
        cursor: Option<String>,
        limit: usize,
    ) -> Result<(Vec<Key>, Option<String>), BusError> {
        // The server answers about as many keys as asked for, not at most. Where they are too many, the cursor says from which
        // key on the same answer is to be continued.
        let cursor = cursor.unwrap_or_else(|| "0:".to_owned());
        let (at, after) = cursor.split_once(':').unwrap_or((&cursor, ""));
        let (mut at, mut after) = (at.to_owned(), after.to_owned());
        let limit = limit.max(1);
        for _ in 0..LOOKS {
            let (next, names) = self.scan_once(prefix, &at, limit.max(LEAST_LOOK)).await?;
            let mut keys: Vec<_> = names.iter().filter_map(|name| self.link.names.state_key(name)).collect();
            keys.retain(|key| key.as_str() > after.as_str());
            keys.sort();
            keys.dedup();
            if keys.len() > limit {
                keys.truncate(limit);
                let last = keys.last().map(ToString::to_string).unwrap_or_default();
                return Ok((keys, Some(format!("{at}:{last}"))));
            }
            if next == "0" {
                return Ok((keys, None));
            }
            if !keys.is_empty() {
                return Ok((keys, Some(format!("{next}:"))));
            }
            (at, after) = (next, String::new());
        }
        Ok((Vec::new(), Some(format!("{at}:"))))
    }

    /// One look: keys on the server whose names start with the prefix and `start`.
    pub(super) async fn scan_once(
        &self,
        start: &str,
        cursor: &str,
        count: usize,
    ) -> Result<(String, Vec<String>), BusError> {
        let mut cmd = redis::cmd("SCAN");
        cmd.arg(cursor).arg("MATCH").arg(self.link.names.pattern(start));
        cmd.arg("COUNT").arg(value::at_most(count));
        let [next, names] = value::parts(self.link.send(&cmd).await?)?;
        let names = value::items(names)?.into_iter().map(value::into_text).collect::<Result<_, _>>()?;
        Ok((value::into_text(next)?, names))
    }

    /// Takes, extends (`ttl` above zero) or gives up a lease.
    pub(super) async fn do_lease(
        &self,
        name: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<LeaseFence>, BusError> {
        let script = &self.link.scripts.lease;
        let mut cmd = script.call(&[self.link.names.lease(name), self.link.names.fence(name)]);
        cmd.arg(owner).arg(value::millis(ttl)).arg(self.clock.now().timestamp().max(0));
        match self.link.run(script, &cmd).await? {
            Value::Nil => Ok(None),
            number => Ok(Some(LeaseFence { name: name.to_owned(), number: value::count(&number)? })),
        }
    }

    pub(super) async fn do_next_timer(&self) -> Result<Option<DateTime<Utc>>, BusError> {
        let mut cmd = redis::cmd("ZRANGE");
        cmd.arg(self.link.names.timers()).arg(0).arg(0).arg("WITHSCORES");
        due(self.link.send(&cmd).await?)
    }

    pub(super) async fn do_fire_timers(
        &self,
        now: DateTime<Utc>,
        limit: usize,
        under: &LeaseFence,
    ) -> Result<usize, BusError> {
        let names = &self.link.names;
        let script = &self.link.scripts.timers;
        let mut keys = vec![names.lease(&under.name), names.fence(&under.name), names.timers(), names.timer_messages()];
        keys.extend(ChannelName::ALL.iter().map(|channel| names.stream(*channel)));
        let mut said = 0;
        // Calls of bounded length, for the server does nothing else meanwhile.
        while said < limit {
            let turn = (limit - said).min(100);
            let mut cmd = script.call(&keys);
            cmd.arg(under.number).arg(now.timestamp_millis()).arg(turn).arg(names.prefix().len());
            let fired = usize::try_from(value::int(&self.link.run(script, &cmd).await?)?).unwrap_or(0);
            said += fired;
            if fired < turn {
                break;
            }
        }
        Ok(said)
    }
}

/// All fields of a document; none where there is nothing.
fn some_document(answer: Value) -> Result<Option<State>, BusError> {
    let document = document(answer)?;
    let there = document.version > 0 || !document.fields.is_empty();
    Ok(there.then_some(State::Hash(document)))
}

fn document(content: Value) -> Result<Document, BusError> {
    let mut document = Document::default();
    for (field, content) in value::pairs(content)? {
        let (field, content) = (value::into_text(field)?, value::into_text(content)?);
        if field == VERSION_FIELD {
            document.version = version(&content);
        } else {
            document.fields.insert(field, content);
        }
    }
    Ok(document)
}

/// A document of the fields that were asked for, the version first; none where there is nothing of it.
fn chosen(only: &[&str], answer: Value) -> Result<Option<State>, BusError> {
    let mut values = value::items(answer)?.into_iter();
    let mut document = Document::default();
    let stated = values.next().filter(|stated| *stated != Value::Nil);
    if let Some(stated) = &stated {
        document.version = version(&value::text(stated)?);
    }
    for (field, content) in only.iter().zip(values).filter(|(_, content)| *content != Value::Nil) {
        document.fields.insert((*field).to_owned(), value::into_text(content)?);
    }
    let there = document.version > 0 || !document.fields.is_empty();
    Ok(there.then_some(State::Hash(document)))
}

/// The time of the first member: `[[id, ms]]`.
fn due(answer: Value) -> Result<Option<DateTime<Utc>>, BusError> {
    let Some(first) = value::items(answer)?.into_iter().next() else { return Ok(None) };
    let [_, score] = value::parts(first)?;
    let Value::Double(ms) = score else { return Err(value::odd("a time", &score)) };
    #[expect(clippy::cast_possible_truncation, reason = "whole milliseconds of this age")]
    Ok(DateTime::from_timestamp_millis(ms as i64))
}

fn state(key: &str, kind: &str, content: Value) -> Result<State, BusError> {
    match kind {
        "hash" => document(content).map(State::Hash),
        "string" => value::into_text(content).map(State::String),
        "list" => texts(content).map(State::List),
        "set" => texts(content).map(State::Set),
        "zset" => value::pairs(content)?
            .into_iter()
            .map(|(member, score)| {
                let number = value::text(&score)?.parse().map_err(|_| value::odd("a score", &score))?;
                Ok((value::into_text(member)?, number))
            })
            .collect::<Result<_, _>>()
            .map(State::Sorted),
        other => Err(BusError::ForeignType {
            key: key.to_owned(),
            found: other.to_owned(),
            wanted: "hash, string, list, set or sorted set",
        }),
    }
}

fn texts<C: FromIterator<String>>(content: Value) -> Result<C, BusError> {
    value::items(content)?.into_iter().map(value::into_text).collect()
}

/// A version as the script reads it: what is no whole number below 10^15 is somebody else's, and counts as none.
fn version(text: &str) -> u64 {
    let known = text.len() <= 15 && text.bytes().all(|byte| byte.is_ascii_digit());
    if known { text.parse().unwrap_or(0) } else { 0 }
}
