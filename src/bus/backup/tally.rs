//! Whether two stores hold the same.
//!
//! Owns a sum over records that does not depend on their order, so that stores of any size are compared without keeping them.
//! Must never call two stores the same that differ in a message, a group, a key or a timer.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::{Counts, QUEUE};
use crate::bus::{BusError, Record, SharedBus};

/// What a store holds, added up.
///
/// What goes by itself (keys with a time to live, idempotency keys) is apart, because some of it may go between two tallies, and
/// because a server keeps the times by its own clock. Lease numbers are only counted: they go up whenever somebody looks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many of each kind.
    pub counts: Counts,
    lasting: Sum,
    passing: Sum,
    /// How many of those that pass go in each minute since 1970.
    ends: BTreeMap<i64, u64>,
}

/// A count and the sum of hashes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    count: u64,
    lanes: [u64; 4],
}

impl Sum {
    fn add(&mut self, record: &Record) -> Result<(), BusError> {
        let text = serde_json::to_vec(record).map_err(|err| BusError::Protocol(format!("a record: {err}")))?;
        let hash = Sha256::digest(&text);
        for (lane, bytes) in self.lanes.iter_mut().zip(hash.chunks_exact(8)) {
            let part = bytes.iter().fold(0, |part: u64, byte| part << 8 | u64::from(*byte));
            *lane = lane.wrapping_add(part);
        }
        self.count += 1;
        Ok(())
    }
}

impl Tally {
    /// Counts a record in.
    ///
    /// # Errors
    /// Where it cannot be written as JSON.
    pub fn add(&mut self, record: &Record) -> Result<(), BusError> {
        self.counts.add(record);
        let end = match record {
            Record::Fence { .. } => return Ok(()),
            Record::State { expires_at, .. } => *expires_at,
            Record::Once { expires_at, .. } => Some(*expires_at),
            Record::Entry { .. }
            | Record::Channel { .. }
            | Record::Group { .. }
            | Record::Pending { .. }
            | Record::Timer { .. } => None,
        };
        let Some(end) = end else { return self.lasting.add(record) };
        *self.ends.entry(end.timestamp().div_euclid(60)).or_default() += 1;
        self.passing.add(&endless(record.clone()))
    }

    /// What about `other`, tallied later and until `now`, is not as here, in words; none where it is the same.
    pub fn difference(&self, other: &Self, now: DateTime<Utc>) -> Option<String> {
        if self.lasting != other.lasting {
            return Some(if self.counts == other.counts {
                "as much is in both, but not the same".to_owned()
            } else {
                format!("the one holds {}, the other {}", self.counts, other.counts)
            });
        }
        if self.passing == other.passing {
            return None;
        }
        let minute = now.timestamp().div_euclid(60) + 1;
        let gone: u64 = self.ends.range(..=minute).map(|(_, count)| count).sum();
        let (here, there) = (self.passing.count, other.passing.count);
        (there >= here || here - there > gone)
            .then(|| format!("of what has a time to live, the one holds {here}, the other {there}, or something else"))
    }
}

/// The record without its end.
fn endless(record: Record) -> Record {
    match record {
        Record::State { key, state, .. } => Record::State { key, state, expires_at: None },
        Record::Once { key, entries, .. } => Record::Once { key, entries, expires_at: DateTime::UNIX_EPOCH },
        other => other,
    }
}

/// Adds up what a store holds.
///
/// # Errors
/// Where it cannot be read.
pub async fn tally(bus: &SharedBus) -> Result<Tally, BusError> {
    let (sink, mut records) = mpsc::channel(QUEUE);
    let adding = async move {
        let mut tally = Tally::default();
        while let Some(record) = records.recv().await {
            tally.add(&record)?;
        }
        Ok(tally)
    };
    let (exported, tally) = tokio::join!(bus.export(sink), adding);
    exported.and(tally)
}

/// Copies everything from one store into another, which must be empty, and returns what was copied.
///
/// # Errors
/// Where one of them fails. The other may then hold a part.
pub async fn copy(from: &SharedBus, to: &SharedBus, mut progress: impl FnMut(u64) + Send) -> Result<Tally, BusError> {
    let (out, mut records) = mpsc::channel(QUEUE);
    let (sink, source) = mpsc::channel(QUEUE);
    let carrying = async move {
        let mut tally = Tally::default();
        while let Some(record) = records.recv().await {
            tally.add(&record)?;
            if sink.send(record).await.is_err() {
                break;
            }
            progress(tally.counts.total());
        }
        Ok::<_, BusError>(tally)
    };
    let (exported, tally, imported) = tokio::join!(from.export(out), carrying, to.import(source));
    // An import that refuses ends the export as well: its own error is the reason.
    imported?;
    exported?;
    tally
}
