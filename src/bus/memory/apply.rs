//! Commits on the store in memory: check everything on a draft, then write.
//!
//! Owns the order of the checks. Must never write before the last check has passed.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::data::{Data, Held, Moment, Once};
use super::spoken;
use crate::bus::commit::ONCE_TTL;
use crate::bus::{
    Commit, Document, EntryId, Expect, Heard, Key, LeaseFence, Op, Outcome, Outgoing, PendingRef, Refusal, State,
    StateChange, Ttl,
};

/// The keys that a unit changes, as they will be; none where a key goes.
type Draft = BTreeMap<Key, Option<Held>>;

impl Data {
    /// Applies a unit completely or not at all; what is to be announced is added to `news`.
    pub(super) fn apply(&mut self, unit: &Commit, now: Moment, news: &mut Vec<Heard>) -> Outcome {
        let draft = match self.check(unit, now) {
            Ok(draft) => draft,
            Err(outcome) => return outcome,
        };
        for (key, held) in draft {
            match held {
                Some(held) => self.keys.insert(key, held),
                None => self.keys.remove(&key),
            };
        }
        for pending in &unit.acknowledge {
            self.acknowledge(pending, now);
        }
        let mut ids = Vec::new();
        for op in &unit.ops {
            match op {
                Op::Append(message) => ids.push(self.append(message, now, news)),
                Op::Start { pending, attempt, .. } => self.start(pending, *attempt, now),
                Op::Schedule(timer) => {
                    self.timers.insert(timer.id.clone(), timer.clone());
                }
                Op::Cancel { timer } => {
                    self.timers.remove(timer);
                }
                Op::Change { .. } | Op::Add { .. } | Op::Delete { .. } | Op::State { .. } => {}
            }
        }
        if let Some(key) = &unit.once {
            let once = Once { entries: ids.clone(), expires_at: later(now.wall, ONCE_TTL) };
            self.once.insert(key.clone(), once);
        }
        Outcome::Committed(ids)
    }

    /// Everything that can stand against a unit: lease, idempotency key, acknowledgements, then each thing in order.
    fn check(&self, unit: &Commit, now: Moment) -> Result<Draft, Outcome> {
        if unit.under.as_ref().is_some_and(|fence| !self.holds(fence)) {
            return Err(Outcome::Fenced);
        }
        let once = unit.once.as_ref().and_then(|key| self.once.get(key));
        if let Some(once) = once.filter(|once| once.expires_at > now.wall) {
            return Err(Outcome::Duplicate(once.entries.clone()));
        }
        if !unit.acknowledge.iter().all(|pending| self.holder(pending).is_some()) {
            return Err(Outcome::NotPending);
        }
        let mut draft = Draft::new();
        for op in &unit.ops {
            self.check_op(op, now, &mut draft)?;
        }
        Ok(draft)
    }

    fn check_op(&self, op: &Op, now: Moment, draft: &mut Draft) -> Result<(), Outcome> {
        let standing = |draft: &Draft, key: &Key| match draft.get(key) {
            Some(drafted) => drafted.clone(),
            None => self.live(key, now).cloned(),
        };
        match op {
            Op::Append(message) => {
                let key = Self::stream_key(message.channel);
                if self.keys.contains_key(&key) {
                    return Err(foreign(&key, "foreign", "stream"));
                }
                Ok(())
            }
            Op::Start { pending, consumer, .. } => match self.holder(pending) {
                Some(holder) if holder == consumer => Ok(()),
                _ => Err(Outcome::NotPending),
            },
            Op::Change { key, expect, fields, ttl } => {
                let held = change(key, standing(draft, key), *expect, fields, *ttl, now)?;
                draft.insert(key.clone(), Some(held));
                Ok(())
            }
            Op::Add { key, field, n, ceiling } => {
                let held = add(key, standing(draft, key), field, *n, *ceiling)?;
                draft.insert(key.clone(), Some(held));
                Ok(())
            }
            Op::Delete { key, expect } => {
                let held = standing(draft, key);
                let version = held.as_ref().and_then(version);
                expected(key, *expect, held.is_some(), version)?;
                draft.insert(key.clone(), None);
                Ok(())
            }
            Op::State { key, change } => {
                let held = state(key, standing(draft, key), change)?;
                draft.insert(key.clone(), held);
                Ok(())
            }
            Op::Schedule(_) | Op::Cancel { .. } => Ok(()),
        }
    }

    fn holder(&self, pending: &PendingRef) -> Option<&String> {
        let group = self.streams.get(&pending.channel)?.groups.get(&pending.group)?;
        group.pending.get(&pending.entry).map(|held| &held.consumer)
    }

    fn acknowledge(&mut self, pending: &PendingRef, now: Moment) {
        let stream = self.stream(pending.channel);
        if let Some(group) = stream.groups.get_mut(&pending.group) {
            group.pending.remove(&pending.entry);
            group.touched = Some(now.monotonic);
        }
        stream.raise_watermark(&pending.group);
    }

    fn start(&mut self, pending: &PendingRef, attempt: u32, now: Moment) {
        let group = self.stream(pending.channel).groups.get_mut(&pending.group);
        if let Some(held) = group.and_then(|group| group.pending.get_mut(&pending.entry)) {
            held.attempt = attempt;
            held.since = Some(now.monotonic);
        }
    }

    fn append(&mut self, message: &Outgoing, now: Moment, news: &mut Vec<Heard>) -> EntryId {
        let stream = self.stream(message.channel);
        let ms = u64::try_from(now.wall.timestamp_millis()).unwrap_or(0);
        let id = EntryId::following(stream.last, ms);
        stream.last = id;
        let texts = (message.envelope.to_json(), message.body.clone());
        stream.entries.insert(id, texts);
        if message.announce {
            news.push(spoken(message));
        }
        id
    }

    /// Says what is due, in order of time.
    pub(super) fn fire_timers(
        &mut self,
        due_at: DateTime<Utc>,
        limit: usize,
        under: &LeaseFence,
        now: Moment,
        news: &mut Vec<Heard>,
    ) -> usize {
        if !self.holds(under) {
            return 0;
        }
        let sayable = |message: &Outgoing| !self.keys.contains_key(&Self::stream_key(message.channel));
        let mut due: Vec<_> =
            (self.timers.values()).filter(|timer| timer.at <= due_at && sayable(&timer.message)).cloned().collect();
        due.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        due.truncate(limit);
        for timer in &due {
            self.timers.remove(&timer.id);
            self.append(&timer.message, now, news);
        }
        due.len()
    }
}

fn later(now: DateTime<Utc>, by: std::time::Duration) -> DateTime<Utc> {
    TimeDelta::from_std(by).ok().and_then(|by| now.checked_add_signed(by)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn foreign(key: &Key, found: &str, wanted: &str) -> Outcome {
    Outcome::Refused(Refusal::ForeignType { key: key.to_string(), found: found.to_owned(), wanted: wanted.to_owned() })
}

fn type_name(held: &Held) -> &'static str {
    held.state.as_ref().map_or("foreign", State::type_name)
}

fn version(held: &Held) -> Option<u64> {
    held.state.as_ref().and_then(State::document).map(|document| document.version)
}

fn expected(key: &Key, expect: Expect, there: bool, found: Option<u64>) -> Result<(), Outcome> {
    let met = match expect {
        Expect::Any => true,
        Expect::Absent => !there,
        Expect::Version(version) => found == Some(version),
    };
    if met { Ok(()) } else { Err(Outcome::Conflict { key: key.clone(), found }) }
}

/// The document under a key and its end; an empty one where there is nothing.
fn document(key: &Key, held: Option<Held>) -> Result<(Document, Option<DateTime<Utc>>), Outcome> {
    match held {
        None => Ok((Document::default(), None)),
        Some(Held { state: Some(State::Hash(document)), expires_at }) => Ok((document, expires_at)),
        Some(other) => Err(foreign(key, type_name(&other), "hash")),
    }
}

fn change(
    key: &Key,
    held: Option<Held>,
    expect: Expect,
    fields: &[(String, Option<String>)],
    ttl: Ttl,
    now: Moment,
) -> Result<Held, Outcome> {
    let there = held.is_some();
    let (mut document, kept) = document(key, held)?;
    expected(key, expect, there, there.then_some(document.version))?;
    document.version += 1;
    for (field, value) in fields {
        match value {
            Some(value) => document.fields.insert(field.clone(), value.clone()),
            None => document.fields.remove(field),
        };
    }
    let expires_at = match ttl {
        Ttl::Keep => kept,
        Ttl::Set(length) => Some(later(now.wall, length)),
        Ttl::Clear => None,
    };
    Ok(Held { state: Some(State::Hash(document)), expires_at })
}

/// A whole number as it is written: no sign or zero before it that it does not need.
fn whole(text: &str) -> Option<i64> {
    text.parse().ok().filter(|number: &i64| number.to_string() == text)
}

fn add(key: &Key, held: Option<Held>, field: &str, n: i64, ceiling: Option<i64>) -> Result<Held, Outcome> {
    let (mut document, expires_at) = document(key, held)?;
    let not_a_number = || Outcome::Refused(Refusal::NotANumber { key: key.to_string(), field: field.to_owned() });
    let value: i64 = match document.get(field) {
        Some(text) => whole(text).ok_or_else(not_a_number)?,
        None => 0,
    };
    let sum = value.checked_add(n).ok_or_else(not_a_number)?;
    if ceiling.is_some_and(|ceiling| sum > ceiling) {
        return Err(Outcome::Ceiling { key: key.clone(), field: field.to_owned(), value });
    }
    document.fields.insert(field.to_owned(), sum.to_string());
    Ok(Held { state: Some(State::Hash(document)), expires_at })
}

/// What stands under a key after a change; nothing once the last member has gone.
fn state(key: &Key, held: Option<Held>, change: &StateChange) -> Result<Option<Held>, Outcome> {
    let expires_at = held.as_ref().and_then(|held| held.expires_at);
    let found = match held {
        None => None,
        Some(Held { state: Some(state), .. }) => Some(state),
        Some(Held { state: None, .. }) => return Err(foreign(key, "foreign", change.wants().unwrap_or("set"))),
    };
    let next = match (found, change) {
        (None | Some(State::String(_)), StateChange::SetString(text)) => Some(State::String(text.clone())),
        (found @ (None | Some(State::List(_))), StateChange::Push { value, keep }) => {
            let mut values = match found {
                Some(State::List(values)) => values,
                _ => Vec::new(),
            };
            values.push(value.clone());
            values.drain(..values.len().saturating_sub(*keep));
            (!values.is_empty()).then_some(State::List(values))
        }
        (found @ (None | Some(State::Set(_))), StateChange::AddMember(member)) => {
            let mut members = match found {
                Some(State::Set(members)) => members,
                _ => std::collections::BTreeSet::new(),
            };
            members.insert(member.clone());
            Some(State::Set(members))
        }
        (found @ (None | Some(State::Sorted(_))), StateChange::Score { member, score }) => {
            let mut members = match found {
                Some(State::Sorted(members)) => members,
                _ => BTreeMap::new(),
            };
            members.insert(member.clone(), *score);
            Some(State::Sorted(members))
        }
        (None, StateChange::RemoveMember(_)) => None,
        (Some(State::Set(mut members)), StateChange::RemoveMember(member)) => {
            members.remove(member);
            (!members.is_empty()).then_some(State::Set(members))
        }
        (Some(State::Sorted(mut members)), StateChange::RemoveMember(member)) => {
            members.remove(member);
            (!members.is_empty()).then_some(State::Sorted(members))
        }
        (Some(other), change) => return Err(foreign(key, other.type_name(), change.wants().unwrap_or("set"))),
    };
    Ok(next.map(|next| Held { state: Some(next), expires_at }))
}
