//! Ids: of messages, of traces, and where new ones come from.
//!
//! Must never hand out an id that does not sort after the earlier ones of the same source.

use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(s: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(s).map(Self)
            }
        }
    };
}

uuid_id! {
    /// Names one message for ever (UUIDv7, so ids sort by the time they were made).
    MessageId
}
uuid_id! {
    /// Names the chain that a message belongs to: the id of its first message.
    TraceId
}

impl From<MessageId> for TraceId {
    fn from(first: MessageId) -> Self {
        Self(first.0)
    }
}

/// Makes new ids: UUIDv7 (RFC 9562, 5.7) from the given time and a seedable source of chance.
///
/// Ids of one source always ascend, also within a millisecond and when the clock steps back.
#[derive(Debug)]
pub struct Ids {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rng: fastrand::Rng,
    last: u128,
}

impl Ids {
    /// A source with the machine's own chance.
    pub fn random() -> Self {
        Self::from_rng(fastrand::Rng::new())
    }

    /// A source that makes the same ids each time, for tests and replays.
    pub fn seeded(seed: u64) -> Self {
        Self::from_rng(fastrand::Rng::with_seed(seed))
    }

    fn from_rng(rng: fastrand::Rng) -> Self {
        Self { state: Mutex::new(State { rng, last: 0 }) }
    }

    /// A new id for something that happens at `now`.
    pub fn message(&self, now: DateTime<Utc>) -> MessageId {
        MessageId(self.next(now))
    }

    /// A new UUIDv7.
    pub fn next(&self, now: DateTime<Utc>) -> Uuid {
        let ms = u64::try_from(now.timestamp_millis()).unwrap_or(0);
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut random = [0_u8; 10];
        state.rng.fill(&mut random);
        let drawn = uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid().as_u128();
        // A later id must sort after an earlier one: step on from the last where chance or the clock went back.
        let next = if drawn > state.last { drawn } else { state.last + 1 };
        state.last = next;
        Uuid::from_u128(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_ascend_even_when_the_clock_steps_back() {
        let ids = Ids::seeded(7);
        let mut now = DateTime::from_timestamp_millis(1_800_000_000_000).unwrap();
        let mut last = ids.next(now);
        for step in 0..1_000 {
            now += chrono::TimeDelta::milliseconds(if step % 3 == 0 { -5 } else { 1 });
            let next = ids.next(now);
            assert!(next > last, "{next} after {last}");
            assert_eq!(next.get_version_num(), 7);
            last = next;
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_ids() {
        let at = DateTime::from_timestamp_millis(1_800_000_000_000).unwrap();
        assert_eq!(Ids::seeded(3).next(at), Ids::seeded(3).next(at));
        assert_ne!(Ids::seeded(3).next(at), Ids::seeded(4).next(at));
    }
}
