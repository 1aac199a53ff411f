//! Recordings: what a feed brought, as a file: one JSON object a line, a head first.
//!
//! Owns the format, its version, and what may not get into it: secrets are taken out as they are out of logs. Documents are written where
//! they changed, not each time they were read. Must never be written where others can read it, nor read without a bound.

mod format;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, Write};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::app::About;
use super::app::told::Ways;
use super::store::Item;
use super::zone::Zone;
use crate::bus::{Key, State};
use crate::contracts::envelope::millis;
use crate::contracts::untrusted::sanitize_line;
use crate::telemetry::redact::redact;
use format::{Line, Recorded};

/// The version of the format that is written.
pub const VERSION: u32 = 1;
/// Bytes of a recording that are read.
pub const READ_LIMIT: u64 = 1 << 30;

/// The first line: what it is, and where it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The version of the format.
    pub fullsend_recording: u32,
    /// The version of the program that made it.
    pub version: String,
    /// The workspace.
    pub workspace: String,
    /// The engine: `embedded` or `redis`.
    pub engine: String,
    /// `manual`, `guarded` or `autopilot`.
    pub mode: String,
    /// Who answered questions.
    pub providers: String,
    /// Nano-dollars that a day allowed.
    pub day_limit: Option<u64>,
    /// When it was begun.
    #[serde(with = "millis")]
    pub at: DateTime<Utc>,
}

impl Head {
    /// The head of a recording of this room that begins now.
    pub fn of(about: &About, at: DateTime<Utc>) -> Self {
        Self {
            fullsend_recording: VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            workspace: about.workspace.clone(),
            engine: about.engine.clone(),
            mode: about.mode.clone(),
            providers: about.providers.clone(),
            day_limit: about.day_limit,
            at,
        }
    }

    /// The surroundings of a room that plays it.
    pub fn about(&self) -> About {
        let clean = |text: &str| sanitize_line(text, 60);
        About {
            workspace: clean(&self.workspace),
            engine: clean(&self.engine),
            location: "a recording".to_owned(),
            mode: clean(&self.mode),
            providers: clean(&self.providers),
            operator: "operator".to_owned(),
            is_inside: false,
            team: None,
            day_limit: self.day_limit,
            home: String::new(),
            remark: None,
            zone: Zone::UTC,
            ways: Ways { bell: false, notification: false, title: false },
            is_plain: false,
        }
    }
}

/// Why a file cannot be played.
#[derive(Debug, Error)]
pub enum Unreadable {
    /// It cannot be read.
    #[error("it cannot be read")]
    Io(#[from] std::io::Error),
    /// It is something else.
    #[error("it is no recording: its first line is not the head of one")]
    Foreign,
    /// It was made by a newer program.
    #[error("it is of version {found} of the format, this program reads {VERSION}; a newer fullsend plays it")]
    Newer {
        /// Its version.
        found: u32,
    },
    /// A line of it makes no sense.
    #[error("line {line} is no item of a recording: {why}")]
    Broken {
        /// Which, counted from 1.
        line: usize,
        /// What is wrong; harmless.
        why: String,
    },
    /// It is larger than is read.
    #[error("it is larger than {} MiB; make a shorter one with `record --for`", READ_LIMIT >> 20)]
    TooLarge,
}

/// A recording, read.
#[derive(Debug)]
pub struct Recording {
    /// What it is.
    pub head: Head,
    /// Its items, with the times at which they came: ascending.
    pub items: Vec<(DateTime<Utc>, Item)>,
    /// Whether its last line was cut off, and left out.
    pub is_torn: bool,
}

impl Recording {
    /// Reads a recording. A last line that was cut off, as a crash leaves it, is left out.
    ///
    /// # Errors
    /// Where it is none that this program can play.
    pub fn read(mut from: impl BufRead) -> Result<Self, Unreadable> {
        let mut text = Vec::new();
        let mut left = READ_LIMIT;
        let mut next = |text: &mut Vec<u8>| -> Result<bool, Unreadable> {
            text.clear();
            let read = std::io::Read::take(&mut from, left).read_until(b'\n', text)?;
            left = left.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
            if left == 0 { Err(Unreadable::TooLarge) } else { Ok(read > 0) }
        };
        next(&mut text)?;
        let head = head(&text)?;
        let mut recording = Self { head, items: Vec::new(), is_torn: false };
        let mut last = DateTime::<Utc>::MIN_UTC;
        let mut number = 1;
        while next(&mut text)? {
            number += 1;
            match serde_json::from_slice::<Line>(&text) {
                Ok(line) => {
                    // A clock that stepped back while it was recorded does not turn the order round.
                    last = last.max(line.at);
                    recording.items.push((last, line.item.into_item()));
                }
                // Only the last line has no end.
                Err(_) if !text.ends_with(b"\n") => recording.is_torn = true,
                Err(err) => {
                    return Err(Unreadable::Broken { line: number, why: sanitize_line(&err.to_string(), 120) });
                }
            }
        }
        Ok(recording)
    }

    /// How many items came until then.
    pub fn upto(&self, at: DateTime<Utc>) -> usize {
        self.items.partition_point(|(when, _)| *when <= at)
    }

    /// When it begins and ends.
    pub fn span(&self) -> (DateTime<Utc>, DateTime<Utc>) {
        let first = self.items.first().map_or(self.head.at, |(at, _)| *at);
        (first, self.items.last().map_or(first, |(at, _)| *at))
    }
}

fn head(line: &[u8]) -> Result<Head, Unreadable> {
    #[derive(Deserialize)]
    struct Version {
        fullsend_recording: u32,
    }
    let version: Version = serde_json::from_slice(line).map_err(|_| Unreadable::Foreign)?;
    if version.fullsend_recording > VERSION {
        return Err(Unreadable::Newer { found: version.fullsend_recording });
    }
    serde_json::from_slice(line).map_err(|_| Unreadable::Foreign)
}

/// Writes a recording.
pub struct Recorder<W> {
    to: W,
    written: u64,
    most: u64,
    items: u64,
    known: BTreeMap<Key, State>,
    left_out: BTreeMap<String, usize>,
}

/// What became of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Took {
    /// It is written, where it was news.
    Written,
    /// The recording is as large as it may be: nothing more is written.
    Full,
}

impl<W: Write> Recorder<W> {
    /// Begins one that may have so many bytes.
    ///
    /// # Errors
    /// Where the head cannot be written.
    pub fn begin(mut to: W, head: &Head, most: u64) -> std::io::Result<Self> {
        let mut line = redact(&serde_json::to_string(head)?);
        line.push('\n');
        to.write_all(line.as_bytes())?;
        let written = u64::try_from(line.len()).unwrap_or(u64::MAX);
        Ok(Self { to, written, most, items: 0, known: BTreeMap::new(), left_out: BTreeMap::new() })
    }

    /// Writes an item that came now.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn take(&mut self, at: DateTime<Utc>, item: &Item) -> std::io::Result<Took> {
        for recorded in self.news(item) {
            let Some(line) = line(at, recorded) else { continue };
            let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
            if self.written.saturating_add(length) > self.most {
                return Ok(Took::Full);
            }
            self.to.write_all(line.as_bytes())?;
            self.written += length;
            self.items += 1;
        }
        Ok(Took::Written)
    }

    /// What of it is not in the recording yet.
    fn news(&mut self, item: &Item) -> Vec<Recorded> {
        match item {
            Item::Documents { prefix, found, left_out } => {
                let there: BTreeSet<&Key> = found.iter().map(|(key, _)| key).collect();
                let is_gone = |key: &&Key| key.as_str().starts_with(prefix.as_str()) && !there.contains(key);
                let gone: Vec<Key> = self.known.keys().filter(is_gone).cloned().collect();
                let mut news: Vec<Recorded> = Vec::new();
                for key in gone {
                    self.known.remove(&key);
                    news.push(Recorded::Document { key, state: None });
                }
                for (key, state) in found {
                    news.extend(self.document(key, Some(state)));
                }
                if self.left_out.insert(prefix.clone(), *left_out).unwrap_or(0) != *left_out {
                    news.push(Recorded::LeftOut { prefix: prefix.clone(), count: *left_out });
                }
                news
            }
            Item::Document { key, state } => self.document(key, state.as_ref()).into_iter().collect(),
            other => Recorded::of(other).into_iter().collect(),
        }
    }

    fn document(&mut self, key: &Key, state: Option<&State>) -> Option<Recorded> {
        if self.known.get(key) == state {
            return None;
        }
        match state {
            Some(state) => self.known.insert(key.clone(), state.clone()),
            None => self.known.remove(key),
        };
        Some(Recorded::Document { key: key.clone(), state: state.cloned() })
    }

    /// Items and bytes so far.
    pub fn written(&self) -> (u64, u64) {
        (self.items, self.written)
    }

    /// Hands everything on to where it is written.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}

/// The line of an item, without secrets; none where it cannot be written at all.
fn line(at: DateTime<Utc>, item: Recorded) -> Option<String> {
    let line = Line { at, item: item.redacted() };
    let text = redact(&serde_json::to_string(&line).ok()?);
    // What was taken out must not have taken the form with it.
    let text = if serde_json::from_str::<Line>(&text).is_ok() {
        text
    } else {
        let gap = Recorded::Gap("something was left out of the recording: it held a secret".to_owned());
        serde_json::to_string(&Line { at, item: gap }).ok()?
    };
    Some(format!("{text}\n"))
}

/// An item as it stands in a recording, for programs; none where it does not.
pub fn to_json(at: DateTime<Utc>, item: &Item) -> Option<serde_json::Value> {
    serde_json::to_value(Line { at, item: Recorded::of(item)? }).ok()
}
