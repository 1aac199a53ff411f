//! What stands in a stream, and how it is read as a message.
//!
//! Must never fail on what somebody else wrote there: an entry is text until it is asked to be a message.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::contracts::{Body, ChannelName, Envelope, ShapeError};

/// Names an entry within its channel, and orders it: milliseconds since 1970 when it was appended (never descending), and a counter.
/// Written `ms-seq`, as Redis writes stream ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EntryId {
    /// Milliseconds since 1970.
    pub ms: u64,
    /// Counts within the millisecond.
    pub seq: u64,
}

impl EntryId {
    /// Before every entry.
    pub const ZERO: Self = Self { ms: 0, seq: 0 };
    /// After every entry.
    pub const MAX: Self = Self { ms: u64::MAX, seq: u64::MAX };

    /// The first id that an entry appended at `now` may have, after `last`: as Redis chooses it.
    #[must_use]
    pub fn following(last: Self, now_ms: u64) -> Self {
        if now_ms > last.ms { Self { ms: now_ms, seq: 0 } } else { Self { ms: last.ms, seq: last.seq + 1 } }
    }

    /// When it was appended, by the store's clock.
    pub fn at(self) -> DateTime<Utc> {
        i64::try_from(self.ms).ok().and_then(DateTime::from_timestamp_millis).unwrap_or_default()
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// Not of the form `ms-seq`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no entry id; it looks like 1772357400000-0")]
pub struct NotAnEntryId(String);

impl FromStr for EntryId {
    type Err = NotAnEntryId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (ms, seq) = text.split_once('-').unwrap_or((text, "0"));
        match (ms.parse(), seq.parse()) {
            (Ok(ms), Ok(seq)) => Ok(Self { ms, seq }),
            _ => Err(NotAnEntryId(text.chars().take(60).collect())),
        }
    }
}

impl Serialize for EntryId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EntryId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// An entry of a channel's stream, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The channel.
    pub channel: ChannelName,
    /// Its id there.
    pub id: EntryId,
    /// The field `e`: the envelope's JSON, if somebody wrote one. Empty where the field is missing.
    pub e: String,
    /// The field `b`: the body's JSON. Empty where the field is missing.
    pub b: String,
}

impl Entry {
    /// Reads the entry as a message; the body is checked by [`Message::read`] only.
    ///
    /// # Errors
    /// Where the envelope is missing or cannot be read.
    pub fn message(&self) -> Result<Message<'_>, ShapeError> {
        if self.e.is_empty() {
            let reason = "the entry has no field `e`; messages are published by `fullsend publish`".to_owned();
            return Err(ShapeError::Field { kind: "envelope", path: "e".to_owned(), reason });
        }
        let envelope = crate::contracts::body::read_as("envelope", &self.e)?;
        Ok(Message { envelope, body: &self.b, channel: self.channel, id: self.id })
    }
}

/// A message: envelope read, body still text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    /// The envelope.
    pub envelope: Envelope,
    /// The body's JSON.
    pub body: &'a str,
    /// The channel it stands on.
    pub channel: ChannelName,
    /// Its entry there.
    pub id: EntryId,
}

impl Message<'_> {
    /// Reads the body as what its channel carries.
    ///
    /// # Errors
    /// As [`Body::read`].
    pub fn read<M: Body>(&self) -> Result<M, ShapeError> {
        M::read(self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_each_other_also_when_the_clock_steps_back() {
        let first = EntryId::following(EntryId::ZERO, 1_000);
        let second = EntryId::following(first, 1_000);
        let third = EntryId::following(second, 400);
        let fourth = EntryId::following(third, 1_001);
        assert_eq!(
            [first, second, third, fourth].map(|id| id.to_string()),
            ["1000-0", "1000-1", "1000-2", "1001-0"].map(str::to_owned)
        );
        assert_eq!("1000-2".parse(), Ok(third));
        assert!("now".parse::<EntryId>().is_err());
    }
}
