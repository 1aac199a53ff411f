//! What became of a letter: the document `dead_letters:{entry}`.
//!
//! Owns its fields. Must never change a letter: streams are only appended to.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use crate::bus::{BusError, Document, EntryId, Expect, Key, Op, Range, SharedBus, State, Ttl};
use crate::contracts::envelope::rfc3339;
use crate::contracts::{ChannelName, Untrusted, keys};

/// Keys read at a time.
const PAGE: usize = 1_000;
/// A mark outlives its letter by this long.
const MARGIN: Duration = Duration::from_hours(30 * 24);

/// How it stands with a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nothing was done about it.
    Open,
    /// It was said again.
    Replayed,
    /// Nobody wants it any more.
    Dropped,
}

impl Status {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Replayed => "replayed",
            Self::Dropped => "dropped",
        }
    }
}

/// What became of one letter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mark {
    /// How it stands with it.
    #[serde(rename = "state")]
    pub status: Status,
    /// Who did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The id of the message that was said again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Its entry on its channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// What a change of it expects.
    #[serde(skip)]
    pub expect: Expect,
}

impl Mark {
    const OPEN: Self =
        Self { status: Status::Open, by: None, at: None, message: None, entry: None, expect: Expect::Absent };

    /// Reads it.
    pub fn read(document: &Document) -> Self {
        let text = |field| document.get(field).map(str::to_owned);
        let status = match document.get("state") {
            Some("replayed") => Status::Replayed,
            Some("dropped") => Status::Dropped,
            _ => Status::Open,
        };
        Self {
            status,
            by: text("by"),
            at: text("at"),
            message: text("message"),
            entry: text("entry"),
            expect: Expect::Version(document.version),
        }
    }

    /// In words, harmless: who did what when.
    pub fn told(&self) -> String {
        let mut told = self.status.as_str().to_owned();
        let parts = [(" by ", &self.by), (" at ", &self.at), (" as ", &self.entry), (", message ", &self.message)];
        for (word, part) in parts {
            if let Some(part) = part {
                told.push_str(word);
                told.push_str(&Untrusted::from(part.as_str()).line(100));
            }
        }
        told
    }
}

/// Which letters have a mark: most have none, and need not be asked for.
#[derive(Debug)]
pub struct Marks(BTreeSet<Key>);

impl Marks {
    /// Finds out which.
    ///
    /// # Errors
    /// Where the bus cannot be reached.
    pub async fn read(bus: &SharedBus) -> Result<Self, BusError> {
        let mut marked = BTreeSet::new();
        let mut cursor = None;
        loop {
            let (page, next) = bus.scan(PREFIX, cursor, PAGE).await?;
            marked.extend(page);
            match next {
                Some(_) => cursor = next,
                None => return Ok(Self(marked)),
            }
        }
    }

    /// How many of the letters that are still there have no mark: those about which nothing was done.
    ///
    /// # Errors
    /// Where the bus cannot be reached.
    pub async fn open(&self, bus: &SharedBus) -> Result<usize, BusError> {
        let mut open = 0;
        let mut last = EntryId::ZERO;
        loop {
            let page = bus.range(ChannelName::DeadLetter, Range::after(last, PAGE)).await?;
            open += page.iter().filter(|entry| !self.0.contains(&key(entry.id))).count();
            match page.last() {
                Some(entry) if page.len() == PAGE => last = entry.id,
                _ => return Ok(open),
            }
        }
    }

    /// What became of a letter. Something of a foreign type under its key is no mark; writing one there will say so.
    ///
    /// # Errors
    /// Where the bus cannot be reached.
    pub async fn of(&self, bus: &SharedBus, letter: EntryId) -> Result<Mark, BusError> {
        let key = key(letter);
        if !self.0.contains(&key) {
            return Ok(Mark::OPEN);
        }
        match bus.get(&key).await {
            Ok(state) => Ok(state.as_ref().and_then(State::document).map_or(Mark::OPEN, Mark::read)),
            Err(BusError::ForeignType { .. }) => Ok(Mark::OPEN),
            Err(err) => Err(err),
        }
    }
}

/// Where marks stand.
pub const PREFIX: &str = "dead_letters:";

/// Where the mark of a letter stands.
pub fn key(letter: EntryId) -> Key {
    // Digits and a dash can always be part of a key.
    Key::new(keys::dead_letter(&letter.to_string()).unwrap_or_default())
}

/// Writes a mark in the place of `old`.
pub(super) fn set(
    letter: EntryId,
    old: &Mark,
    status: Status,
    by: &str,
    at: chrono::DateTime<chrono::Utc>,
    message: Option<String>,
    kept: Duration,
) -> Op {
    let fields = vec![
        ("state".to_owned(), Some(status.as_str().to_owned())),
        ("by".to_owned(), Some(by.to_owned())),
        ("at".to_owned(), Some(rfc3339(at))),
        ("message".to_owned(), message),
        ("entry".to_owned(), None),
    ];
    Op::Change { key: key(letter), expect: old.expect, fields, ttl: Ttl::Set(kept.saturating_add(MARGIN)) }
}

/// Adds where the message was said again, which is known only after it was.
pub(super) fn add_entry(letter: EntryId, entry: EntryId) -> Op {
    let fields = vec![("entry".to_owned(), Some(entry.to_string()))];
    Op::Change { key: key(letter), expect: Expect::Any, fields, ttl: Ttl::Keep }
}
