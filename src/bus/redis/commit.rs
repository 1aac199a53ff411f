//! Commits, as the script `commit.lua` wants and answers them.
//!
//! Owns that one format. Must never decide anything: checking and writing are the script's.

use std::io::Write as _;

use redis::{Cmd, Value};
use serde::{Deserialize, Serialize};

use super::names::Names;
use super::script::{Script, Scripts};
use super::starts::{Start, Starts};
use super::value;
use crate::bus::commit::{Commit, Expect, Op, Outcome, Outgoing, Refusal, StateChange, Timer, Ttl};
use crate::bus::entry::EntryId;
use crate::bus::error::BusError;
use crate::bus::state::{Key, VERSION_FIELD};
use crate::contracts::{ChannelName, Envelope};

/// Texts one behind the other.
#[derive(Default)]
struct Packed {
    data: Vec<u8>,
    ends: Vec<usize>,
}

impl Packed {
    fn push(&mut self, text: &str) {
        self.data.extend_from_slice(text.as_bytes());
        self.ends.push(self.data.len());
    }

    fn push_shown(&mut self, shown: impl std::fmt::Display) {
        // Writing into memory cannot fail.
        let _ = write!(self.data, "{shown}");
        self.ends.push(self.data.len());
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.data[start..*end])
    }
}

/// A unit, ready to be sent.
#[derive(Default)]
pub(super) struct Unit {
    keys: Packed,
    args: Packed,
    /// What Rust can see already; such a unit is not sent.
    refused: Option<Refusal>,
    /// A start alone: sent together with others like it.
    start: Option<Start>,
    /// It has steps that `relay.lua` does not know.
    special: bool,
    acknowledges: bool,
}

impl Unit {
    pub(super) fn of(commit: &Commit, names: &Names) -> Self {
        let mut unit = Self { start: Start::of(commit, names), ..Self::default() };
        if unit.start.is_some() {
            return unit;
        }
        unit.acknowledges = !commit.acknowledge.is_empty();
        unit.special = commit.under.is_some()
            || commit.acknowledge.len() > 1
            || !commit.ops.iter().all(|op| matches!(op, Op::Append(_)));
        if let Some(fence) = &commit.under {
            unit.step("L", [names.lease(&fence.name), names.fence(&fence.name)]);
            unit.args.push_shown(fence.number);
        }
        if let Some(once) = &commit.once {
            unit.step("O", [names.once(once)]);
        }
        let letter = if commit.acknowledge.len() == 1 { "K" } else { "J" };
        for pending in &commit.acknowledge {
            unit.step(letter, [names.stream(pending.channel)]);
            unit.args.push(&pending.group);
            unit.args.push_shown(pending.entry);
        }
        for op in &commit.ops {
            unit.op(op, names);
        }
        unit
    }

    /// Whether it is about a message that a consumer holds.
    pub(super) fn is_a_consumers(&self) -> bool {
        self.start.is_some() || self.acknowledges
    }

    /// About how many bytes it takes on the wire.
    pub(super) fn size(&self) -> usize {
        if self.start.is_some() {
            return super::starts::SIZE;
        }
        self.keys.data.len() + self.args.data.len() + 16 * (self.keys.ends.len() + self.args.ends.len())
    }

    /// The arguments as `relay.lua` wants them; the keys are the same for both scripts.
    fn add_relay_args(&self, cmd: &mut Cmd) {
        let mut steps = self.args.iter().peekable();
        let has_once = steps.next_if(|letter| *letter == b"O").is_some();
        let has_ack = steps.next_if(|letter| *letter == b"K").is_some();
        let texts: Vec<&[u8]> = steps.collect();
        let (acknowledged, appends) = texts.split_at(if has_ack { 2 } else { 0 });
        let mut shape = vec![b'0' + u8::from(has_once), b'0' + u8::from(has_ack)];
        // `A` or `Q`, then envelope and body.
        shape.extend(appends.iter().step_by(3).flat_map(|letter| *letter));
        cmd.arg(shape).arg(acknowledged);
        for append in appends.chunks_exact(3) {
            cmd.arg(&append[1..]);
        }
    }

    fn step<const N: usize>(&mut self, letter: &str, keys: [String; N]) {
        self.args.push(letter);
        for key in keys {
            self.keys.push(&key);
        }
    }

    fn expect(&mut self, expect: Expect) {
        match expect {
            Expect::Any => self.args.push("*"),
            Expect::Absent => self.args.push("-"),
            Expect::Version(version) => self.args.push_shown(version),
        }
    }

    fn op(&mut self, op: &Op, names: &Names) {
        match op {
            Op::Append(message) => {
                self.step(if message.announce { "A" } else { "Q" }, [names.stream(message.channel)]);
                self.args.push(&message.envelope.to_json());
                self.args.push(&message.body);
            }
            Op::Start { pending, consumer, attempt } => {
                self.step("S", [names.stream(pending.channel)]);
                self.args.push(&pending.group);
                self.args.push_shown(pending.entry);
                self.args.push(consumer);
                self.args.push_shown(attempt);
            }
            Op::Change { key, expect, fields, ttl } => self.change(names.key(key), *expect, fields, *ttl),
            Op::Add { key, field, n, ceiling } => {
                self.step("I", [names.key(key)]);
                self.args.push(field);
                self.args.push_shown(n);
                match ceiling {
                    Some(ceiling) => self.args.push_shown(ceiling),
                    None => self.args.push(""),
                }
            }
            Op::Delete { key, expect } => {
                self.step("D", [names.key(key)]);
                self.expect(*expect);
            }
            Op::State { key, change } => self.state(key, change, names),
            Op::Schedule(timer) => {
                self.step("T", [names.timers(), names.timer_messages()]);
                self.args.push(&timer.id);
                self.args.push_shown(timer.at.timestamp_millis());
                self.args.push(&StoredTimer::of(timer).to_json());
            }
            Op::Cancel { timer } => {
                self.step("X", [names.timers(), names.timer_messages()]);
                self.args.push(timer);
            }
        }
    }

    fn change(&mut self, key: String, expect: Expect, fields: &[(String, Option<String>)], ttl: Ttl) {
        self.step("C", [key]);
        self.expect(expect);
        match ttl {
            Ttl::Keep => self.args.push("k"),
            Ttl::Clear => self.args.push("c"),
            Ttl::Set(length) => self.args.push_shown(value::millis(length).max(1)),
        }
        // The version is the script's to write.
        let fields = || fields.iter().filter(|(field, _)| field != VERSION_FIELD);
        let sets = fields().filter(|(_, value)| value.is_some()).count();
        self.args.push_shown(sets);
        self.args.push_shown(fields().count() - sets);
        for (field, value) in fields() {
            if let Some(value) = value {
                self.args.push(field);
                self.args.push(value);
            }
        }
        for (field, value) in fields() {
            if value.is_none() {
                self.args.push(field);
            }
        }
    }

    fn state(&mut self, key: &Key, change: &StateChange, names: &Names) {
        let at = [names.key(key)];
        match change {
            StateChange::SetString(value) => {
                self.step("V", at);
                self.args.push(value);
            }
            StateChange::Push { value, keep } => {
                self.step("P", at);
                self.args.push(value);
                self.args.push_shown(keep);
            }
            StateChange::AddMember(member) => {
                self.step("M", at);
                self.args.push(member);
            }
            StateChange::RemoveMember(member) => {
                self.step("R", at);
                self.args.push(member);
            }
            StateChange::Score { member, score } => {
                if score.is_nan() {
                    // The server would refuse it in the middle of the unit.
                    self.refused = Some(Refusal::NotANumber { key: key.to_string(), field: member.clone() });
                }
                self.step("Z", at);
                self.args.push(member);
                self.args.push_shown(score);
            }
        }
    }
}

/// The call of the script for these units, and that script.
pub(super) fn call<'a>(scripts: &'a Scripts, units: &[Unit], names: &Names) -> (&'a Script, Cmd) {
    let sent = || units.iter().filter(|unit| unit.refused.is_none() && unit.start.is_none());
    let special = sent().any(|unit| unit.special);
    let script = if special { &scripts.commit } else { &scripts.relay };
    let starts = Starts::of(units.iter().filter_map(|unit| unit.start.as_ref()));
    let mut cmd = script.call_with(1 + sent().map(|unit| unit.keys.ends.len()).sum::<usize>() + starts.len());
    cmd.arg(names.progress());
    for unit in sent() {
        for key in unit.keys.iter() {
            cmd.arg(key);
        }
    }
    starts.add_keys(&mut cmd);
    cmd.arg(names.prefix().len()).arg(sent().count());
    for unit in sent() {
        if special {
            cmd.arg(unit.args.ends.len()).arg(unit.keys.ends.len());
            for arg in unit.args.iter() {
                cmd.arg(arg);
            }
        } else {
            unit.add_relay_args(&mut cmd);
        }
    }
    starts.add_args(&mut cmd);
    (script, cmd)
}

/// What the script answered for these units.
pub(super) fn outcomes(answer: Value, units: &[Unit]) -> Result<Vec<Outcome>, BusError> {
    let starts = Starts::of(units.iter().filter_map(|unit| unit.start.as_ref()));
    let sent = units.iter().filter(|unit| unit.refused.is_none() && unit.start.is_none()).count();
    let mut answers = match answer {
        Value::Array(answers) => answers,
        // Nothing was asked.
        _ if sent + starts.len() == 0 => Vec::new(),
        lines => value::text(&lines)?.split('\n').map(|line| Value::BulkString(line.into())).collect(),
    };
    if answers.len() != sent + starts.len() {
        return Err(value::odd("an answer for each unit", &Value::Array(answers)));
    }
    let started = starts.started(&answers.split_off(sent))?;
    let mut answers = answers.into_iter();
    units
        .iter()
        .map(|unit| match (&unit.refused, &unit.start) {
            (Some(refusal), _) => Ok(Outcome::Refused(refusal.clone())),
            (None, Some(start)) if started.contains(&start.place()) => Ok(Outcome::Committed(Vec::new())),
            (None, Some(_)) => Ok(Outcome::NotPending),
            (None, None) => outcome(answers.next().unwrap_or_default()),
        })
        .collect()
}

fn outcome(answer: Value) -> Result<Outcome, BusError> {
    if let Value::Array(parts) = answer {
        return refused(parts);
    }
    let text = value::text(&answer)?;
    let ids = |list: &str| -> Result<Vec<EntryId>, BusError> {
        list.split_ascii_whitespace().map(|id| id.parse().map_err(|_| BusError::bad_id(id))).collect()
    };
    match text.split_at_checked(1) {
        Some(("+", list)) => Ok(Outcome::Committed(ids(list)?)),
        Some(("=", list)) => Ok(Outcome::Duplicate(ids(list)?)),
        Some(("!", _)) => Ok(Outcome::NotPending),
        Some(("F", _)) => Ok(Outcome::Fenced),
        _ => Err(value::odd("what became of a unit", &answer)),
    }
}

fn refused(parts: Vec<Value>) -> Result<Outcome, BusError> {
    let texts = parts.into_iter().map(value::into_text).collect::<Result<Vec<_>, _>>()?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    match texts.as_slice() {
        ["C", key, found] => Ok(Outcome::Conflict { key: Key::new(*key), found: found.parse().ok() }),
        ["M", key, field, at] => Ok(Outcome::Ceiling {
            key: Key::new(*key),
            field: (*field).to_owned(),
            value: at.parse().map_err(|_| BusError::Protocol(format!("`{at}` as a counter")))?,
        }),
        ["N", key, field] => {
            Ok(Outcome::Refused(Refusal::NotANumber { key: (*key).to_owned(), field: (*field).to_owned() }))
        }
        ["T", key, found, wanted] => Ok(Outcome::Refused(Refusal::ForeignType {
            key: (*key).to_owned(),
            found: (*found).to_owned(),
            wanted: (*wanted).to_owned(),
        })),
        other => Err(BusError::Protocol(format!("{other:?} as what became of a unit"))),
    }
}

/// A timer's message as it is kept: envelope and body as texts, so that the script hands them on as they are.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredTimer {
    channel: ChannelName,
    announce: bool,
    e: String,
    b: String,
}

impl StoredTimer {
    pub(super) fn of(timer: &Timer) -> Self {
        Self {
            channel: timer.message.channel,
            announce: timer.message.announce,
            e: timer.message.envelope.to_json(),
            b: timer.message.body.clone(),
        }
    }

    pub(super) fn to_json(&self) -> String {
        // Texts and a flag: there is nothing in it that could fail to serialise.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The message, where its envelope can be read.
    pub(super) fn into_message(self) -> Option<Outgoing> {
        let envelope: Envelope = serde_json::from_str(&self.e).ok()?;
        Some(Outgoing { channel: self.channel, envelope, body: self.b, announce: self.announce })
    }
}
