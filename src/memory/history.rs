//! The history of a note: every version that it ever had.
//!
//! Owns reading `note_versions:{name}:{version}` and making each text again. Must never write: versions come with changes
//! ([`super::note`]).

use chrono::{DateTime, Utc};
use serde::Serialize;
use similar::TextDiff;
use thiserror::Error;

use super::{note, patch};
use crate::bus::{BusError, Document, Got, Key, SharedBus, State};
use crate::contracts::canonical::sha256;
use crate::contracts::envelope::read_time;
use crate::contracts::notes::NoteName;

/// Keys read at a time.
const PAGE: usize = 256;

/// A version of a note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Version {
    /// Its number.
    pub version: u64,
    /// Who wrote it.
    pub by: String,
    /// When.
    pub at: Option<DateTime<Utc>>,
    /// Why.
    pub reason: String,
    /// The chain of messages that led to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// Bytes of its text.
    pub bytes: u64,
    /// SHA-256 of its text.
    pub digest: String,
}

impl Version {
    fn of(version: u64, document: &Document) -> Self {
        let text = |field: &str| document.get(field).unwrap_or_default().to_owned();
        Self {
            version,
            by: text("by"),
            at: document.get("at").and_then(read_time),
            reason: text("reason"),
            trace: document.get("trace").map(str::to_owned),
            bytes: document.get("bytes").and_then(|bytes| bytes.parse().ok()).unwrap_or(0),
            digest: text("digest"),
        }
    }
}

/// Why a version cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HistoryError {
    /// It is not there.
    #[error("`{name}` has no version {version}. `fullsend notes history {name}` lists them")]
    Missing {
        /// The note.
        name: NoteName,
        /// The version.
        version: u64,
    },
    /// It is there, and its text is not what was written.
    #[error(
        "version {version} of `{name}` cannot be made again: {reason}. Somebody changed its history; a backup may have it"
    )]
    Broken {
        /// The note.
        name: NoteName,
        /// The version.
        version: u64,
        /// What is wrong.
        reason: String,
    },
    /// The bus cannot be read.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// The key of a version.
pub fn key(name: NoteName, version: u64) -> Key {
    Key::new(format!("note_versions:{name}:{version}"))
}

async fn record(bus: &SharedBus, name: NoteName, version: u64) -> Result<Document, HistoryError> {
    match bus.get(&key(name, version)).await? {
        Some(State::Hash(document)) => Ok(document),
        _ => Err(HistoryError::Missing { name, version }),
    }
}

/// The versions of a note, the newest first, at most `limit`. What somebody deleted is left out.
///
/// # Errors
/// Where the bus cannot be read.
pub async fn list(bus: &SharedBus, name: NoteName, limit: usize) -> Result<Vec<Version>, BusError> {
    let newest = match note::NoteState::read(bus, name).await?.version {
        0 => last(bus, name).await?,
        version => version,
    };
    let numbers: Vec<u64> = (1..=newest).rev().take(limit).collect();
    let keys: Vec<Key> = numbers.iter().map(|version| key(name, *version)).collect();
    let found = bus.get_many(&keys, Some(&["by", "at", "reason", "trace", "bytes", "digest"])).await?;
    let there = |(version, got): (u64, Got)| Some(Version::of(version, got.ok()??.document()?));
    Ok(numbers.into_iter().zip(found).filter_map(there).collect())
}

/// The last version in the history, whatever the document says; 0 where there is none.
pub(super) async fn last(bus: &SharedBus, name: NoteName) -> Result<u64, BusError> {
    // Going through all keys is only for the document that somebody deleted.
    if bus.get(&key(name, 1)).await?.is_none() {
        return Ok(0);
    }
    let prefix = format!("note_versions:{name}:");
    let (mut cursor, mut last) = (None, 0);
    loop {
        let (keys, next) = bus.scan(&prefix, cursor, PAGE).await?;
        let numbers = keys.iter().filter_map(|key| key.as_str().strip_prefix(&prefix)?.parse::<u64>().ok());
        last = numbers.chain([last]).max().unwrap_or(last);
        cursor = next;
        if cursor.is_none() {
            return Ok(last);
        }
    }
}

/// A version.
///
/// # Errors
/// As [`text`].
pub async fn version(bus: &SharedBus, name: NoteName, version: u64) -> Result<Version, HistoryError> {
    Ok(Version::of(version, &record(bus, name, version).await?))
}

/// The text of a version.
///
/// # Errors
/// Where it is not there, or its history was changed.
pub async fn text(bus: &SharedBus, name: NoteName, version: u64) -> Result<String, HistoryError> {
    let broken = |reason: String| HistoryError::Broken { name, version, reason };
    let wanted = record(bus, name, version).await?;
    let digest = wanted.get("digest").unwrap_or_default().to_owned();
    let mut patches = Vec::new();
    let (mut at, mut document) = (version, wanted);
    let mut text = loop {
        if let Some(text) = document.fields.remove("text") {
            break text;
        }
        let patch = document.fields.remove("patch").ok_or_else(|| broken(format!("version {at} has no text")))?;
        patches.push(patch);
        at = at.checked_sub(1).filter(|at| *at > 0).ok_or_else(|| broken("it begins with a patch".to_owned()))?;
        document = record(bus, name, at).await.map_err(|err| match err {
            HistoryError::Missing { version: at, .. } => broken(format!("version {at} is gone")),
            other => other,
        })?;
    };
    while let Some(patch) = patches.pop() {
        text = patch::applied(&text, &patch).ok_or_else(|| broken("a patch does not fit".to_owned()))?;
    }
    if sha256(text.as_bytes()) != digest {
        return Err(broken("its text is not what was written".to_owned()));
    }
    Ok(text)
}

/// What changed from one version to another, as a unified diff; empty where they say the same. Version 0 is the empty text before the
/// first.
///
/// # Errors
/// As [`text`].
pub async fn diff(bus: &SharedBus, name: NoteName, a: u64, b: u64) -> Result<String, HistoryError> {
    let of = async |version: u64| if version == 0 { Ok(String::new()) } else { text(bus, name, version).await };
    let (old, new) = (of(a).await?, of(b).await?);
    let diff = TextDiff::from_lines(&old, &new);
    Ok(diff.unified_diff().context_radius(3).header(&format!("{name} {a}"), &format!("{name} {b}")).to_string())
}
