//! The bus: streams, groups, state, leases and timers behind one small port, with two engines.
//!
//! Owns the semantics that everything else rests on: work is appended and announced in one step; effects are committed together
//! with the acknowledgement of what caused them, or not at all; the first commit wins. Must never know a service, a screen
//! or what a message means: bodies are JSON text here.
//!
//! | engine | what it is |
//! |---|---|
//! | redis | Redis or Valkey: several machines share the groups |
//! | embedded | a SQLite file: no server, the processes of one machine share it |
//! | memory | for tests only |
//!
//! All three pass one conformance suite (`tests/conformance.rs`).

pub mod backoff;
pub mod backup;
pub mod bridge;
pub mod commit;
pub mod consumer;
pub mod effects;
pub mod embedded;
pub mod entry;
pub mod error;
pub mod filter;
pub mod leased;
pub mod letters;
pub mod memory;
pub mod redis;
pub mod retention;
pub mod sender;
pub mod state;
#[cfg(test)]
pub(crate) mod testing;
pub mod timers;
pub mod waiting;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::mpsc;

pub use commit::{Commit, Expect, LeaseFence, Op, Outcome, Outgoing, PendingRef, Refusal, StateChange, Timer, Ttl};
pub use consumer::{Consumer, ConsumerOptions, Context, Failure, Handler, Received};
pub use effects::{Draft, Effects, Origin};
pub use entry::{Entry, EntryId, Message};
pub use error::BusError;
pub use redis::{RedisBus, RedisOptions};
pub use sender::{SendError, Sender};
pub use state::{Document, Key, State};

use crate::contracts::{ChannelName, Envelope};

/// Version of what an engine stores. A store with a newer one is refused, one with an older one is backed up and migrated.
pub const SCHEMA_VERSION: u32 = 1;

/// A shared engine.
pub type SharedBus = Arc<dyn Bus>;

/// What stands under one of several keys.
pub type Got = Result<Option<State>, BusError>;

/// The port. One implementation is one store; all processes that open the same store see the same bus.
///
/// Every call either succeeds, or says by its error whether it may have taken effect ([`BusError::unknown_outcome`]). No call
/// waits longer than its own argument or the engine's response time-out. Dropping a call's future never corrupts anything, but
/// a dropped [`Bus::read`] may leave messages pending for its consumer, to be found by [`Bus::own_pending`].
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// `redis` or `embedded` (or `memory`), for people.
    fn engine(&self) -> &'static str;

    // ---- say and acknowledge -------------------------------------------------------------------------------------------

    /// Applies each unit completely or not at all, in order, and says for each what became of it.
    ///
    /// A unit is checked first (lease, idempotency key, acknowledgements, versions, types, ceilings) and written afterwards.
    /// Units are independent: one that is not applied does not stop the next.
    ///
    /// # Errors
    /// Where the store cannot be reached or refuses to write; [`BusError::unknown_outcome`] tells whether a retry is needed
    /// to find out. Retrying a unit that has acknowledgements or an idempotency key is safe.
    async fn commit(&self, units: Vec<Commit>) -> Result<Vec<Outcome>, BusError>;

    /// Says a notice: to whoever listens now. Lost if nobody does.
    ///
    /// # Errors
    /// Where the store cannot be reached.
    async fn notify(&self, notice: Outgoing) -> Result<(), BusError>;

    // ---- work as a group -----------------------------------------------------------------------------------------------

    /// Creates the group from the beginning of the channel if it is not there, and says what it found.
    ///
    /// A group that was there before and has been deleted by somebody resumes where its acknowledgements had come to.
    ///
    /// # Errors
    /// Where the store cannot be reached, or a foreign type stands under the channel's key.
    async fn ensure_group(&self, channel: ChannelName, group: &str) -> Result<GroupFound, BusError>;

    /// Takes the group's next messages for this consumer, oldest first, waiting up to `wait` for the first.
    ///
    /// Up to `want.start` of them are handed out as started: their attempt counts from now on (attempt 1). Up to `want.ahead`
    /// more are handed out unstarted (attempt 0); mark each by [`Op::Start`] before its handler runs. The engine may return
    /// more than `want.start` messages that say attempt 1 when several channels had news in the same instant; the caller marks
    /// those it does not start at once back to attempt 0 by [`Op::Start`].
    ///
    /// # Errors
    /// [`BusError::NoGroup`] where somebody deleted a group; call [`Bus::ensure_group`].
    async fn read(
        &self,
        reader: &Reader,
        channels: &[ChannelName],
        want: Want,
        wait: Duration,
    ) -> Result<Vec<Claimed>, BusError>;

    /// What this consumer already holds and has not acknowledged, oldest first, with the attempts so far. Counts as a heartbeat.
    ///
    /// # Errors
    /// As [`Bus::read`].
    async fn own_pending(&self, reader: &Reader, channels: &[ChannelName], limit: usize) -> Result<Claims, BusError>;

    /// Says that the messages are still being worked on. Returns those that this consumer no longer holds.
    ///
    /// # Errors
    /// Where the store cannot be reached.
    async fn extend(
        &self,
        reader: &Reader,
        held: &[(ChannelName, EntryId)],
    ) -> Result<Vec<(ChannelName, EntryId)>, BusError>;

    /// Takes over messages of the group whose holder has been silent for `idle`, oldest first. Attempts stay as they are.
    ///
    /// # Errors
    /// As [`Bus::read`].
    async fn claim_stale(
        &self,
        reader: &Reader,
        channels: &[ChannelName],
        idle: Duration,
        limit: usize,
    ) -> Result<Claims, BusError>;

    /// Hands messages back unhandled, with the attempts they had: the next [`Bus::claim_stale`] of anybody takes them.
    ///
    /// # Errors
    /// Where the store cannot be reached.
    async fn release(&self, reader: &Reader, held: &[(ChannelName, EntryId)]) -> Result<(), BusError>;

    // ---- view ----------------------------------------------------------------------------------------------------------

    /// History of one channel.
    ///
    /// # Errors
    /// Where the store cannot be reached.
    async fn range(&self, channel: ChannelName, range: Range) -> Result<Vec<Entry>, BusError>;

    /// Entries of all channels that hold each of these words, at least as the beginning of one, newest first, at most `limit`, with ids
    /// before `before`. None where there is no index of words, or they are none: read the history then. What was said in the last
    /// second or so may not be found yet.
    ///
    /// # Errors
    /// Where the store cannot be read.
    async fn search(
        &self,
        _words: &[String],
        _limit: usize,
        _before: Option<EntryId>,
    ) -> Result<Option<Vec<Entry>>, BusError> {
        Ok(None)
    }

    /// The newest entry's id of each channel (none for an empty one): where to watch from to see only what is new.
    ///
    /// # Errors
    /// Where the store cannot be reached.
    async fn newest(&self, channels: &[ChannelName]) -> Result<Vec<(ChannelName, Option<EntryId>)>, BusError>;

    /// Entries after each cursor, at most `limit` a channel, waiting up to `wait` for the first. Without a group; nothing is held back for it.
    ///
    /// # Errors
    /// Where the store cannot be reached.
    async fn watch(
        &self,
        cursors: &[(ChannelName, EntryId)],
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<Entry>, BusError>;

    /// Everything announced on the channels from now on, as it is announced: notices, and bare bodies of others (no envelope in [`Heard`]) where the engine
    /// has pub/sub. Bounded; what does not fit is counted.
    ///
    /// # Errors
    /// Where the store cannot be reached.
    async fn listen(&self, channels: &[ChannelName]) -> Result<Listener, BusError>;

    // ---- state ---------------------------------------------------------------------------------------------------------

    /// What stands under a key, whatever its type.
    ///
    /// # Errors
    /// [`BusError::ForeignType`] where it is of a type that no key of ours has.
    async fn get(&self, key: &Key) -> Result<Option<State>, BusError>;

    /// What stands under each of these keys, in their order, in one go. With `only`, a document comes with these fields alone; one that
    /// has none of them and no version counts as absent. A key of a foreign type is an error of its own.
    ///
    /// # Errors
    /// Where the store cannot be reached.
    async fn get_many(&self, keys: &[Key], only: Option<&[&str]>) -> Result<Vec<Got>, BusError> {
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            found.push(match self.get(key).await {
                Ok(state) => Ok(state::reduced(state, only)),
                Err(err @ BusError::ForeignType { .. }) => Err(err),
                Err(err) => return Err(err),
            });
        }
        Ok(found)
    }

    /// Keys that start with `prefix`, in pages: pass the returned cursor on until none comes back. Sorted within a page only.
    ///
    /// # Errors
    /// Where the store cannot be reached.
    async fn scan(
        &self,
        prefix: &str,
        cursor: Option<String>,
        limit: usize,
    ) -> Result<(Vec<Key>, Option<String>), BusError>;

    // ---- leases and timers ---------------------------------------------------------------------------------------------

    /// Takes the lease if it is free or already `owner`'s; each new holder gets a higher fencing number. None where another holds it.
    ///
    /// # Errors
    /// Where the store cannot be reached.
    async fn lease(&self, name: &str, owner: &str, ttl: Duration) -> Result<Option<LeaseFence>, BusError>;

    /// Gives the lease up, if `owner` still holds it.
    ///
    /// # Errors
    /// Where the store cannot be reached.
    async fn unlease(&self, name: &str, owner: &str) -> Result<(), BusError>;

    /// Says the messages whose time has come, at most `limit`, and returns how many. Each is said exactly once.
    /// Does nothing if the lease is no longer the given one.
    ///
    /// # Errors
    /// Where the store cannot be reached.
    async fn fire_timers(&self, now: DateTime<Utc>, limit: usize, under: &LeaseFence) -> Result<usize, BusError>;

    /// When the earliest timer is due; none where there is no timer.
    ///
    /// # Errors
    /// Where the store cannot be reached.
    async fn next_timer(&self) -> Result<Option<DateTime<Utc>>, BusError>;

    // ---- housekeeping --------------------------------------------------------------------------------------------------

    /// Removes the channel's oldest entries: those said before `older_than`, and the oldest beyond `keep`; never one that a group
    /// has not been given or has not acknowledged. Returns how many went. May keep somewhat more than asked.
    ///
    /// # Errors
    /// Where the store cannot be reached.
    async fn trim(&self, channel: ChannelName, older_than: DateTime<Utc>, keep: u64) -> Result<u64, BusError>;

    /// The channel's length and its groups.
    ///
    /// # Errors
    /// Where the store cannot be reached.
    async fn inspect(&self, channel: ChannelName) -> Result<ChannelInfo, BusError>;

    /// Removes a group with all that is pending for it. Returns whether it was there.
    ///
    /// # Errors
    /// Where the store cannot be reached.
    async fn drop_group(&self, channel: ChannelName, group: &str) -> Result<bool, BusError>;

    /// How the engine is: reachable, durable, its version, settings that endanger the promise.
    ///
    /// # Errors
    /// Never for an unreachable store: that is a finding.
    async fn health(&self) -> Result<Health, BusError>;

    /// Everything in the store, record by record, for backups and moves. Consistent where nobody writes meanwhile.
    ///
    /// # Errors
    /// Where the store cannot be reached, or the sink is gone.
    async fn export(&self, sink: mpsc::Sender<Record>) -> Result<(), BusError>;

    /// Puts records back exactly as they were, entry ids included. The store must be empty ([`BusError::NotEmpty`]).
    ///
    /// # Errors
    /// Where the store is not empty, cannot be reached, or a record does not fit.
    async fn import(&self, source: mpsc::Receiver<Record>) -> Result<u64, BusError>;

    /// Finishes what is under way and closes. Later calls fail.
    async fn close(&self);
}

/// A consumer of a group: a leased slot, see [`Bus::lease`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reader {
    /// The group, named as its service.
    pub group: String,
    /// The consumer: `service@host#slot`.
    pub consumer: String,
}

/// How many messages a reader wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// To start at once.
    pub start: usize,
    /// To keep in the window, unstarted.
    pub ahead: usize,
}

/// A message handed to a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The message as it is stored.
    pub entry: Entry,
    /// How many times a handler was started on it, this time included if it was handed out as started.
    pub attempt: u32,
}

/// Messages taken over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// The messages.
    pub claimed: Vec<Claimed>,
    /// Pending entries whose messages are no longer in the stream (trimmed or deleted by somebody): lost, and to be said aloud.
    /// They are no longer pending.
    pub vanished: Vec<(ChannelName, EntryId)>,
}

/// What [`Bus::ensure_group`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupFound {
    /// It was there.
    Existing,
    /// It is new, and starts at the channel's beginning.
    Created,
    /// It had been deleted by somebody, and resumes after this entry. What was handled out of order after it is handled again.
    Resumed(EntryId),
}

/// Part of a channel's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// From here (exclusive for an id).
    pub from: Bound,
    /// To here (exclusive for an id).
    pub to: Bound,
    /// Newest first.
    pub newest_first: bool,
    /// At most so many.
    pub limit: usize,
}

/// An end of a [`Range`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// No limit on this side.
    Open,
    /// This entry itself is excluded.
    Entry(EntryId),
    /// Entries appended at or after (as `from`), or before (as `to`), this time.
    Time(DateTime<Utc>),
}

impl Range {
    /// The newest `limit` entries, newest first.
    pub fn newest(limit: usize) -> Self {
        Self { from: Bound::Open, to: Bound::Open, newest_first: true, limit }
    }

    /// Everything after `id`, oldest first, at most `limit`.
    pub fn after(id: EntryId, limit: usize) -> Self {
        Self { from: Bound::Entry(id), to: Bound::Open, newest_first: false, limit }
    }
}

/// Something announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// On this channel.
    pub channel: ChannelName,
    /// The envelope, where it has one that can be read.
    pub envelope: Option<Envelope>,
    /// The body, without `meta`; where it could not be read as an object, the payload as it came.
    pub body: String,
}

/// Things heard, in a bounded queue.
#[derive(Debug)]
pub struct Listener {
    /// What was heard; closed when the connection behind it is lost: listen again, and say that there was a gap.
    pub heard: mpsc::Receiver<Heard>,
    /// How many did not fit into the queue.
    pub dropped: Arc<std::sync::atomic::AtomicU64>,
}

/// A channel, as [`Bus::inspect`] sees it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ChannelInfo {
    /// Which.
    pub channel: ChannelName,
    /// Entries in it.
    pub length: u64,
    /// The oldest and the newest entry.
    pub first: Option<EntryId>,
    /// The newest entry.
    pub last: Option<EntryId>,
    /// Its groups.
    pub groups: Vec<GroupInfo>,
}

/// A group of a channel.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct GroupInfo {
    /// Its name.
    pub group: String,
    /// The last entry that was handed out.
    pub last_delivered: EntryId,
    /// Handed out and not acknowledged.
    pub pending: u64,
    /// The oldest of those.
    pub oldest_pending: Option<EntryId>,
    /// Not handed out yet; none where the engine cannot tell.
    pub lag: Option<u64>,
    /// Since one of its consumers last read, extended or acknowledged; none where nobody ever did.
    pub idle: Option<Duration>,
    /// Its consumers.
    pub consumers: Vec<ConsumerInfo>,
}

/// A consumer of a group.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ConsumerInfo {
    /// Its name.
    pub consumer: String,
    /// What it holds.
    pub pending: u64,
    /// Since it last read or extended.
    pub idle: Duration,
}

/// How an engine is.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Health {
    /// Which engine.
    pub engine: &'static str,
    /// Where its store is, without secrets.
    pub location: String,
    /// Whether it can be reached.
    pub reachable: bool,
    /// The server's or the library's version.
    pub version: String,
    /// What survives a kill of everything, and a power cut, in words.
    pub durability: String,
    /// Bytes on disk or in the server's memory, where known.
    pub bytes: Option<u64>,
    /// What is wrong, each with a fix.
    pub findings: Vec<Finding>,
}

impl Health {
    /// How large the store is, for people.
    pub fn size(&self) -> Option<String> {
        let (mib, gib) = (1 << 20, 1 << 30);
        self.bytes.map(|bytes| match bytes {
            _ if bytes >= gib => format!("{}.{} GiB", bytes / gib, bytes % gib * 10 / gib),
            _ if bytes >= mib => format!("{}.{} MiB", bytes / mib, bytes % mib * 10 / mib),
            _ => format!("{} KiB", bytes / 1024),
        })
    }
}

/// Something that is wrong, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What is wrong, with what.
    pub what: String,
    /// What to do.
    pub fix: String,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Good to know.
    Note,
    /// The promise is weaker than it could be.
    Warning,
    /// The promise does not hold, or nothing works.
    Error,
}

/// A piece of a store, for [`Bus::export`] and [`Bus::import`]. One JSON object a line in a backup file.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// An entry of a stream. Entries of a channel come oldest first.
    Entry {
        /// The channel.
        channel: ChannelName,
        /// Its id.
        id: EntryId,
        /// The envelope as stored.
        e: String,
        /// The body as stored.
        b: String,
    },
    /// A channel's newest id, which may be above its newest entry's. Comes after its entries.
    Channel {
        /// The channel.
        channel: ChannelName,
        /// The newest id ever given.
        last: EntryId,
    },
    /// A group, after its channel.
    Group {
        /// The channel.
        channel: ChannelName,
        /// Its name.
        group: String,
        /// The last entry handed out.
        last_delivered: EntryId,
    },
    /// A message handed out and not acknowledged, after its group.
    Pending {
        /// The channel.
        channel: ChannelName,
        /// The group.
        group: String,
        /// The consumer that held it.
        consumer: String,
        /// The entry.
        id: EntryId,
        /// Attempts so far.
        attempt: u32,
    },
    /// State under a key.
    State {
        /// The key.
        key: Key,
        /// What stands there.
        state: State,
        /// When it goes, if it does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<DateTime<Utc>>,
    },
    /// A message to be said later.
    Timer {
        /// The timer.
        timer: Timer,
    },
    /// An idempotency key that was used.
    Once {
        /// The key.
        key: String,
        /// The entries that it made.
        entries: Vec<EntryId>,
        /// When it is forgotten.
        expires_at: DateTime<Utc>,
    },
    /// A lease's fencing number, so that numbers go on ascending.
    Fence {
        /// The lease.
        name: String,
        /// Its last number.
        number: u64,
    },
}
