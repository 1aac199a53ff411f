//! What stands in a stream, and how it is read as a message.
//!
//! Must never fail on what somebody else wrote there: an entry is text until it is asked to be a message.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Bound, BusError, Range, SharedBus};
use crate::contracts::body::BODY_LIMIT;
use crate::contracts::channel::grants;
use crate::contracts::{Body, ChannelName, Envelope, Grant, MessageId, Priority, ShapeError, Trust};

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
    /// All its fields as a JSON object, where they are not just an `e` and a `b`, each a text: somebody else wrote it. A value
    /// that is no UTF-8 is `{"hex": …}`, the values of a name that comes twice are a list.
    pub fields: Option<Box<str>>,
}

impl Entry {
    /// An entry of ours.
    pub fn new(channel: ChannelName, id: EntryId, e: String, b: String) -> Self {
        Self { channel, id, e, b, fields: None }
    }

    /// Reads the entry as a message; the body is checked by [`Message::read`] only. A body that somebody added without an
    /// envelope is a message from outside, as one that the bridge hears.
    ///
    /// # Errors
    /// Where the envelope cannot be read, or is missing and the body is none of the channel's.
    pub fn message(&self) -> Result<Message<'_>, ShapeError> {
        let envelope = match (self.e.is_empty(), self.b.is_empty()) {
            (false, _) => crate::contracts::body::read_as("envelope", &self.e)?,
            (true, false) => self.bare()?,
            (true, true) => {
                let reason = "the entry has no field `e`; messages are published by `fullsend publish`".to_owned();
                return Err(ShapeError::Field { kind: "envelope", path: "e".to_owned(), reason });
            }
        };
        Ok(Message { envelope, body: &self.b, channel: self.channel, id: self.id })
    }

    /// Whether it is a message that counts: on a channel of the team's own, one that the team said.
    pub fn is_believed(&self) -> bool {
        self.message().is_ok_and(|message| self.channel.believes(&message.envelope.source))
    }

    /// The envelope that a bare body gets: the same for everybody who reads the entry, however often.
    fn bare(&self) -> Result<Envelope, ShapeError> {
        if self.b.len() > BODY_LIMIT {
            return Err(ShapeError::TooLarge(self.b.len()));
        }
        let kind = self.channel.check(&self.b)?;
        let digest = Sha256::digest(format!("{} {} {}", self.channel, self.id, self.b));
        let mut chance = [0; 10];
        chance.copy_from_slice(&digest[..10]);
        let id = MessageId(uuid::Builder::from_unix_timestamp_millis(self.id.ms, &chance).into_uuid());
        Ok(Envelope {
            id,
            kind: kind.into(),
            v: 1,
            source: grants::Bridge::SERVICE.as_str().into(),
            at: self.id.at(),
            trace: id.into(),
            cause: None,
            subject: None,
            priority: stated_priority(&self.b).unwrap_or_default(),
            trust: Trust::External,
            expires_at: None,
        })
    }
}

/// The body's own `priority`, where it has one that can be read.
pub(super) fn stated_priority(body: &str) -> Option<Priority> {
    #[derive(Deserialize)]
    struct Stated {
        priority: Option<Priority>,
    }
    serde_json::from_str::<Stated>(body).ok()?.priority
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

/// The entry with this id, if it is still there.
///
/// # Errors
/// Where the bus cannot be reached.
pub async fn find(bus: &SharedBus, channel: ChannelName, id: EntryId) -> Result<Option<Entry>, BusError> {
    let from = match id {
        EntryId { seq: 0, .. } => Bound::Time(id.at()),
        EntryId { ms, seq } => Bound::Entry(EntryId { ms, seq: seq - 1 }),
    };
    let found = bus.range(channel, Range { from, ..Range::after(EntryId::ZERO, 1) }).await?;
    Ok(found.into_iter().find(|entry| entry.id == id))
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

    fn bare(b: &str) -> Entry {
        Entry::new(ChannelName::Echo, EntryId { ms: 1_800_000_000_000, seq: 3 }, String::new(), b.to_owned())
    }

    #[test]
    fn a_body_without_an_envelope_is_one_message_from_outside_for_everybody() {
        let entry = bare(r#"{"type":"echo_request","text":"x","priority":"critical"}"#);
        let envelope = entry.message().unwrap().envelope;
        assert_eq!(envelope, entry.message().unwrap().envelope);
        assert_eq!((envelope.kind.as_ref(), envelope.source.as_ref()), ("echo_request", "bridge"));
        assert_eq!((envelope.trust, envelope.priority), (Trust::External, Priority::Urgent));
        assert_eq!((envelope.at, envelope.trace), (entry.id.at(), envelope.id.into()));
        assert_eq!(envelope.id.0.get_version_num(), 7);
        let next = Entry { id: EntryId { seq: 4, ..entry.id }, ..entry.clone() };
        assert_ne!(next.message().unwrap().envelope.id, envelope.id);
    }

    #[test]
    fn what_is_no_body_of_the_channel_is_no_message_without_an_envelope() {
        for (b, word) in [("", "no field `e`"), ("{}", "no `type`"), (r#"{"type":"echo_request"}"#, "`text`")] {
            let err = bare(b).message().unwrap_err().to_string();
            assert!(err.contains(word), "{err}");
        }
        let large = bare(&format!(r#"{{"type":"echo_request","text":"{}"}}"#, "x".repeat(BODY_LIMIT)));
        assert!(matches!(large.message(), Err(ShapeError::TooLarge(_))));
    }
}
