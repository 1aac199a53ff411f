//! How the machine is: the engine, who reads how far, what is spent, what could not be handled, what the program writes down.
//!
//! Must never hold more than a person looks at: letters and lines of the log are bounded.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::back::Source;
use super::item::Row;
use super::ring::{Caps, Ring};
use crate::bus::{ChannelInfo, EntryId, Health};
use crate::contracts::envelope::read_time;
use crate::contracts::messages::{Cut, DeadLetter};
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::{Body, ChannelName};
use crate::llm::ledger::report::Report;

/// Letters that are remembered.
const LETTERS: usize = 500;
/// Lines of the log that are kept.
const LOGS: Caps = Caps { lines: 2_000, bytes: 2 << 20 };
const NAME_LIMIT: usize = 60;
const WORDS_LIMIT: usize = 300;

/// How the machine is.
#[derive(Debug, Clone)]
pub struct System {
    /// How the engine says that it is; none where it was not asked yet.
    pub health: Option<Health>,
    /// What is spent, reserved and allowed; none where it was not read yet.
    pub budgets: Option<Report>,
    /// What the program wrote down.
    pub logs: Ring,
    channels: BTreeMap<ChannelName, ChannelInfo>,
    letters: VecDeque<Letter>,
}

impl Default for System {
    fn default() -> Self {
        let (channels, letters) = (BTreeMap::new(), VecDeque::new());
        Self {
            health: None,
            budgets: None,
            logs: Ring::new(Source::Log, LOGS, Caps { lines: 0, bytes: 0 }),
            channels,
            letters,
        }
    }
}

/// A message that could not be handled; its texts are harmless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Its entry.
    pub id: EntryId,
    /// The channel that it was said on.
    pub channel: String,
    /// Its type, where its envelope could be read.
    pub kind: String,
    /// Who gave it up.
    pub group: String,
    /// Why, in a word.
    pub code: &'static str,
    /// How many times it was tried.
    pub attempts: u32,
    /// Why, in words.
    pub reason: String,
    /// Whether only its beginning is kept.
    pub is_cut: bool,
}

impl System {
    /// A channel as it was found.
    pub(super) fn channel(&mut self, info: ChannelInfo) {
        self.channels.insert(info.channel, info);
    }

    /// The channels that were looked at, in the order of the wiring table.
    pub fn channels(&self) -> impl Iterator<Item = &ChannelInfo> {
        ChannelName::ALL.iter().filter_map(|name| self.channels.get(name))
    }

    /// Takes in a message on `fullsend:dead_letter`.
    pub(super) fn letter(&mut self, row: &Row) {
        let Some(id) = row.entry else { return };
        let line = |text: &str, limit| sanitize_line(text, limit);
        let read = crate::contracts::messages::DeadLetters::read(&row.body);
        let letter = match read {
            Ok(crate::contracts::messages::DeadLetters::DeadLetter(letter)) => of(id, &letter),
            Err(err) => Letter {
                id,
                channel: "-".to_owned(),
                kind: "-".to_owned(),
                group: "-".to_owned(),
                code: "none",
                attempts: 0,
                reason: line(&format!("it is no dead letter: {err}"), WORDS_LIMIT),
                is_cut: false,
            },
        };
        if self.letters.len() >= LETTERS {
            self.letters.pop_front();
        }
        self.letters.push_back(letter);
    }

    /// The letters, the newest first.
    pub fn letters(&self) -> impl Iterator<Item = &Letter> {
        self.letters.iter().rev()
    }
}

fn of(id: EntryId, letter: &DeadLetter) -> Letter {
    let line = |text: &str, limit| sanitize_line(text, limit);
    let cut = |cut: &Option<Cut>| cut.is_some();
    Letter {
        id,
        channel: line(letter.channel.trim_start_matches("fullsend:"), NAME_LIMIT),
        kind: letter.original_type().map_or_else(|| "-".to_owned(), |kind| line(&kind, NAME_LIMIT)),
        group: letter.group.as_deref().map_or_else(|| "-".to_owned(), |group| line(group, NAME_LIMIT)),
        code: letter.code.as_str(),
        attempts: letter.attempts,
        reason: line(&letter.reason, WORDS_LIMIT),
        is_cut: cut(&letter.body_cut),
    }
}

/// A line of the program's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When.
    pub at: Option<DateTime<Utc>>,
    /// `INFO`, `WARN`, …; harmless.
    pub level: String,
    /// Which part of the program; harmless.
    pub target: String,
    /// What, with its fields; harmless.
    pub words: String,
    /// The line as it stands in the file, without secrets. Raw.
    pub raw: Box<str>,
}

impl LogLine {
    /// Reads a line; one that is none of ours is shown as it is.
    pub fn read(line: &str) -> Self {
        let raw = crate::telemetry::redact(line).into_boxed_str();
        let Ok(mut fields) = serde_json::from_str::<Map<String, Value>>(&raw) else {
            let words = sanitize_line(&raw, WORDS_LIMIT);
            return Self { at: None, level: String::new(), target: String::new(), words, raw };
        };
        let mut text = |name: &str| match fields.remove(name) {
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
            None => String::new(),
        };
        let (at, level, target) = (text("timestamp"), text("level"), text("target"));
        let mut words = text("message");
        fields.remove("spans");
        fields.remove("span");
        for (name, value) in &fields {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            // Writing to a string cannot fail.
            let _ = write!(words, "  {name}={value}");
        }
        Self {
            at: read_time(&at),
            level: sanitize_line(&level, 10),
            target: sanitize_line(target.trim_start_matches("fullsend::"), NAME_LIMIT),
            words: sanitize_line(&words, WORDS_LIMIT),
            raw,
        }
    }

    /// About how many bytes it takes.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.raw.len() + self.words.len() + self.target.len()
    }
}

/// A line of the log, shared.
pub type SharedLine = Arc<LogLine>;
