//! Commits: what is to happen, all of it or nothing, and what became of it.
//!
//! Owns the vocabulary that effects are made of. Must never hold anything that has to be computed while it is applied: an engine
//! checks, writes and answers.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::entry::EntryId;
use super::state::Key;
use crate::contracts::body::BODY_LIMIT;
use crate::contracts::{ChannelName, Envelope, ShapeError};

/// How long an idempotency key is remembered.
pub const ONCE_TTL: Duration = Duration::from_hours(24);

/// One unit: applied completely, or not at all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Commit {
    /// Applied only if this key was not used in the last [`ONCE_TTL`]; otherwise [`Outcome::Duplicate`].
    pub once: Option<String>,
    /// Acknowledged with it. Applied only if every one of them is still pending for its group; otherwise [`Outcome::NotPending`].
    /// Who holds it does not matter: the first commit wins.
    pub acknowledge: Vec<PendingRef>,
    /// Applied only if this is still the lease's number; otherwise [`Outcome::Fenced`].
    pub under: Option<LeaseFence>,
    /// What happens, in order.
    pub ops: Vec<Op>,
}

impl Commit {
    /// A unit of `ops` alone.
    pub fn of(ops: Vec<Op>) -> Self {
        Self { ops, ..Self::default() }
    }
}

/// A message that was handed to a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PendingRef {
    /// Its channel.
    pub channel: ChannelName,
    /// The group.
    pub group: String,
    /// The entry.
    pub entry: EntryId,
}

/// A lease as it was taken: the fencing number goes with every write made under it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LeaseFence {
    /// The lease.
    pub name: String,
    /// Higher for each new holder.
    pub number: u64,
}

/// A message on its way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outgoing {
    /// Where to.
    pub channel: ChannelName,
    /// The envelope.
    pub envelope: Envelope,
    /// The body: the JSON text of an object.
    pub body: String,
    /// Whether it is announced on the pub/sub channel of the same name. Only the bridge does not: it was already heard there.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub announce: bool,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_yes(announce: &bool) -> bool {
    *announce
}

impl Outgoing {
    /// A message to be appended and announced.
    ///
    /// # Errors
    /// Where the body is too large.
    pub fn new(channel: ChannelName, envelope: Envelope, body: String) -> Result<Self, ShapeError> {
        if body.len() > BODY_LIMIT {
            return Err(ShapeError::TooLarge(body.len()));
        }
        Ok(Self { channel, envelope, body, announce: true })
    }

    /// The body with the envelope as its key `meta`, as it is announced.
    pub fn announcement(&self) -> String {
        announcement(&self.envelope.to_json(), &self.body)
    }
}

/// The body `b` (an object's JSON) with the envelope `e` as its first key, `meta`.
pub fn announcement(e: &str, b: &str) -> String {
    let rest = b.trim_start().strip_prefix('{').unwrap_or_default().trim_start();
    let comma = if rest.starts_with('}') { "" } else { "," };
    format!("{{\"meta\":{e}{comma}{rest}")
}

/// One thing that happens.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// A message is appended to its channel's stream and announced, in one step.
    Append(Outgoing),
    /// A handler starts on a pending message: its attempts become `attempt`. Refuses the unit ([`Outcome::NotPending`]) if the
    /// message is no longer held by `consumer`. Restarts its idle time.
    Start {
        /// The message.
        pending: PendingRef,
        /// Who starts.
        consumer: String,
        /// The attempts from now on; one less takes a start back.
        attempt: u32,
    },
    /// Fields of a document change, its version goes up by one.
    Change {
        /// The document.
        key: Key,
        /// What must be there now.
        expect: Expect,
        /// Fields to set (some) and to remove (none).
        fields: Vec<(String, Option<String>)>,
        /// What happens to its time to live.
        ttl: Ttl,
    },
    /// A counter in a document goes up (or down), never above its ceiling. Creates document and field. The version stays.
    Add {
        /// The document.
        key: Key,
        /// The field, a whole number.
        field: String,
        /// How much.
        n: i64,
        /// Refuses the unit ([`Outcome::Ceiling`]) where the sum would be higher.
        ceiling: Option<i64>,
    },
    /// Whatever stands under the key goes away.
    Delete {
        /// The key.
        key: Key,
        /// What must be there now; only a document has a version.
        expect: Expect,
    },
    /// One of the founding types that are no documents changes.
    State {
        /// The key.
        key: Key,
        /// How.
        change: StateChange,
    },
    /// A message is said later, by the holder of the lease `timers`. A timer with the same id is replaced.
    Schedule(Timer),
    /// A timer is taken back, if it has not fired.
    Cancel {
        /// Its id.
        timer: String,
    },
}

/// A message to be said at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timer {
    /// Names it.
    pub id: String,
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub message: Outgoing,
}

/// What a change expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Anything, or nothing.
    Any,
    /// Nothing: create it.
    Absent,
    /// A document with this version.
    Version(u64),
}

/// What happens to a time to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ttl {
    /// It stays as it is.
    Keep,
    /// It starts now with this length.
    Set(Duration),
    /// It ends: the document stays for good.
    Clear,
}

/// A change of a list, set, sorted set or string.
#[derive(Debug, Clone, PartialEq)]
pub enum StateChange {
    /// A string is set.
    SetString(String),
    /// A value is put at the end of a list; the oldest beyond `keep` go.
    Push {
        /// The value.
        value: String,
        /// How many stay.
        keep: usize,
    },
    /// A member joins a set.
    AddMember(String),
    /// A member leaves a set or a sorted set.
    RemoveMember(String),
    /// A member of a sorted set gets a score.
    Score {
        /// The member.
        member: String,
        /// Its score.
        score: f64,
    },
}

impl StateChange {
    /// The type that it wants to find, as Redis names it; none where a set and a sorted set both do.
    pub fn wants(&self) -> Option<&'static str> {
        match self {
            Self::SetString(_) => Some("string"),
            Self::Push { .. } => Some("list"),
            Self::AddMember(_) => Some("set"),
            Self::Score { .. } => Some("zset"),
            Self::RemoveMember(_) => None,
        }
    }
}

/// What became of a unit. Everything but `Committed` means that nothing of it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It happened; the ids of what it appended, in order.
    Committed(Vec<EntryId>),
    /// Its idempotency key was used before; the ids of what was appended then.
    Duplicate(Vec<EntryId>),
    /// One of its acknowledgements is no longer pending: somebody else was first.
    NotPending,
    /// Its lease has gone to somebody else.
    Fenced,
    /// A document is not what it expected.
    Conflict {
        /// The document.
        key: Key,
        /// Its version; none where there is none.
        found: Option<u64>,
    },
    /// A counter would have gone above its ceiling.
    Ceiling {
        /// The document.
        key: Key,
        /// The counter.
        field: String,
        /// What it stands at.
        value: i64,
    },
    /// It can never be applied as things are.
    Refused(Refusal),
}

impl Outcome {
    /// Whether it happened, now or before.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Committed(_) | Self::Duplicate(_))
    }
}

/// Why a unit can never be applied as things are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A key holds something else.
    #[error("`{key}` holds a {found}, a {wanted} belongs there. Look at it, then rename or delete it")]
    ForeignType {
        /// The key.
        key: String,
        /// What is there.
        found: String,
        /// What should be there.
        wanted: String,
    },
    /// A counter that is no whole number, or would leave the range of one.
    #[error("`{field}` of `{key}` is no whole number that could be added to")]
    NotANumber {
        /// The key.
        key: String,
        /// The field.
        field: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_is_the_body_with_one_more_key() {
        for (body, expected) in [
            (r#"{"type":"x","n":1}"#, r#"{"meta":{"id":1},"type":"x","n":1}"#),
            ("{}", r#"{"meta":{"id":1}}"#),
            (" { \"a\": 2 }", r#"{"meta":{"id":1},"a": 2 }"#),
        ] {
            assert_eq!(announcement(r#"{"id":1}"#, body), expected);
        }
    }
}
