//! The bridge: hears bodies that others publish bare (`redis-cli PUBLISH`, scripts), and makes them work.
//!
//! Owns the wrapping: a bare body gets an envelope, trust `external`, and a place in the channel's stream. What we announced
//! ourselves is heard too, and passed over: it is ours only if its id *and* its body are known from the stream. A gap in its
//! listening is said aloud, because nothing can bring back what was published meanwhile. Must never drop a body in silence.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::effects::Origin;
use super::entry::stated_priority;
use super::leased::Singleton;
use super::letters::{self, Bell, Letter};
use super::{
    BusError, Commit, Entry, EntryId, Expect, Heard, Key, LeaseFence, Listener, Op, Outcome, Outgoing, Range,
    SharedBus, Ttl,
};
use crate::contracts::body::BODY_LIMIT;
use crate::contracts::channel::grants;
use crate::contracts::envelope::{read_time, rfc3339};
use crate::contracts::messages::{DeadLetterCode, Severity};
use crate::contracts::{ChannelKind, ChannelName, Clock, Grant, Ids, MessageId, ShapeError, Trust, keys};

/// Ids remembered for each channel.
const KNOWN: usize = 10_000;
/// Entries read from a stream at a time, to learn what is ours.
const LEARN: usize = 512;
/// Messages of one commit call.
const BATCH: usize = 64;
/// How often the bridge writes down that it is listening; a gap is known to this precision.
const MARK: Duration = Duration::from_secs(1);
/// How long a bus that is away is waited for with what was heard.
const PATIENCE: Duration = Duration::from_secs(30);
/// The document that says until when it listened.
const MARK_KEY: &str = keys::BRIDGE;

/// The holder of the lease `bridge`.
pub struct Bridge {
    /// The bus.
    pub bus: SharedBus,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// For the ids of what it wraps.
    pub ids: Arc<Ids>,
}

impl std::fmt::Debug for Bridge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bridge")
    }
}

impl Singleton for Bridge {
    fn lease(&self) -> &'static str {
        "bridge"
    }

    async fn work(&self, fence: LeaseFence, stop: CancellationToken) -> Result<(), BusError> {
        let channels: Vec<ChannelName> =
            ChannelName::ALL.iter().copied().filter(|channel| channel.route().kind == ChannelKind::Work).collect();
        let origin = Origin::new(Arc::clone(&self.clock), Arc::clone(&self.ids), Trust::System);
        let known = Known::from_now(&self.bus, &channels).await?;
        let listener = self.bus.listen(&channels).await?;
        let mut work = Work { bridge: self, origin, fence, known, bell: Bell::default(), dropped: 0 };
        work.say_gap().await?;
        work.listen(listener, stop).await
    }
}

struct Work<'a> {
    bridge: &'a Bridge,
    origin: Origin,
    fence: LeaseFence,
    known: Known,
    bell: Bell,
    dropped: u64,
}

impl Work<'_> {
    async fn listen(&mut self, mut listener: Listener, stop: CancellationToken) -> Result<(), BusError> {
        let mut mark = tokio::time::interval_at(Instant::now() + MARK, MARK);
        mark.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut heard = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    // What was heard before the end is still wrapped.
                    while let Ok(one) = listener.heard.try_recv() {
                        heard.push(one);
                    }
                    self.wrap(std::mem::take(&mut heard)).await?;
                    return self.mark().await;
                }
                count = listener.heard.recv_many(&mut heard, BATCH) => {
                    if count == 0 {
                        return Err(BusError::NoAnswer("the connection that listens was lost".to_owned()));
                    }
                    self.wrap(std::mem::take(&mut heard)).await?;
                }
                _ = mark.tick() => {
                    self.mark().await?;
                    self.say_drops(listener.dropped.load(Ordering::Relaxed)).await?;
                }
            }
        }
    }

    // ---- wrapping ------------------------------------------------------------------------------------------------------

    async fn wrap(&mut self, heard: Vec<Heard>) -> Result<(), BusError> {
        let count = heard.len();
        let wrapped = self.try_wrap(heard).await;
        if let Err(err) = &wrapped {
            tracing::error!(%err, count, "bodies were heard and could not all be kept; bare ones among them are lost");
        }
        wrapped
    }

    async fn try_wrap(&mut self, heard: Vec<Heard>) -> Result<(), BusError> {
        let mut bare = Vec::new();
        for one in heard {
            if !self.is_ours(&one).await? {
                bare.push(one);
            }
        }
        for chunk in bare.chunks(BATCH) {
            let units = chunk.iter().map(|one| self.unit(one)).collect();
            let outcomes = self.commit(units).await?;
            for (one, outcome) in chunk.iter().zip(outcomes) {
                if let Outcome::Refused(refusal) = outcome {
                    self.not_taken(one, &refusal.to_string()).await?;
                }
            }
        }
        Ok(())
    }

    /// Asks again while the bus is away, for as long as a commit would be tried.
    async fn is_ours(&mut self, heard: &Heard) -> Result<bool, BusError> {
        let mut backoff = super::backoff::Backoff::quick();
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.known.is_ours(&self.bridge.bus, heard).await {
                Err(err) if err.is_passing() && Instant::now() < deadline => {
                    tokio::time::sleep(backoff.next_delay()).await;
                }
                // Nothing of ours can stand in a stream that is none.
                Err(BusError::ForeignType { .. }) => return Ok(false),
                answer => return answer,
            }
        }
    }

    /// A body whose channel takes nothing becomes a dead letter; where not even that is taken, the log has it.
    async fn not_taken(&mut self, heard: &Heard, refusal: &str) -> Result<(), BusError> {
        let reason = format!("published bare, and its channel took nothing: {refusal}");
        let mut unit = self.dead(heard, reason);
        let mut outcomes = self.commit(vec![unit.clone()]).await?;
        if !outcomes.iter().all(Outcome::is_done) {
            // It may be the alert that is not taken.
            unit.ops.truncate(1);
            outcomes = self.commit(vec![unit]).await?;
        }
        if !outcomes.iter().all(Outcome::is_done) {
            let body = crate::contracts::untrusted::sanitize_line(&heard.body, BODY_LIMIT);
            tracing::error!(channel = %heard.channel, refusal, body, "a bare body could be kept nowhere but here");
            let message = format!("a bare body on {} could not be kept: {refusal}; the log has it", heard.channel);
            self.alert("bridge-refused", Severity::Critical, message).await?;
        }
        Ok(())
    }

    /// A new message, or a dead letter that says why it is none.
    fn unit(&mut self, heard: &Heard) -> Commit {
        match self.wrapped(heard) {
            Ok(message) => Commit {
                once: Some(message.envelope.id.to_string()),
                under: Some(self.fence.clone()),
                ..Commit::of(vec![Op::Append(message)])
            },
            Err(err @ ShapeError::NotTheTeams { .. }) => self.dead(heard, format!("published bare: {err}")),
            Err(err) => self.dead(heard, format!("published bare, and not to be understood: {err}")),
        }
    }

    fn dead(&mut self, heard: &Heard, reason: String) -> Commit {
        let entry = Entry::new(heard.channel, EntryId::ZERO, String::new(), heard.body.clone());
        let code = DeadLetterCode::Malformed;
        let letter = Letter { entry: &entry, envelope: None, group: None, attempts: 0, code, reason };
        Commit {
            once: Some(self.bridge.ids.message(self.origin.now()).to_string()),
            under: Some(self.fence.clone()),
            ..Commit::of(letters::dead(&self.origin, &letter, &mut self.bell, self.bridge.clock.monotonic()))
        }
    }

    fn wrapped(&self, heard: &Heard) -> Result<Outgoing, ShapeError> {
        if heard.body.len() > BODY_LIMIT {
            return Err(ShapeError::TooLarge(heard.body.len()));
        }
        let (channel, by) = (heard.channel, grants::Bridge::SERVICE.as_str());
        if !channel.believes(by) {
            return Err(ShapeError::NotTheTeams { channel, by: by.to_owned() });
        }
        let kind = channel.check(&heard.body)?;
        let mut envelope = self.origin.envelope(kind, by);
        envelope.trust = Trust::External;
        envelope.priority = stated_priority(&heard.body).unwrap_or_default();
        // It was heard on its channel already: announced again, old readers would handle it twice.
        Ok(Outgoing { announce: false, ..Outgoing::new(heard.channel, envelope, heard.body.clone())? })
    }

    /// Tries until the bus takes it, for as long as the lease can hold; each unit goes in once.
    async fn commit(&self, units: Vec<Commit>) -> Result<Vec<Outcome>, BusError> {
        let mut backoff = super::backoff::Backoff::quick();
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.bridge.bus.commit(units.clone()).await {
                Ok(outcomes) if outcomes.contains(&Outcome::Fenced) => {
                    return Err(BusError::NoAnswer("the bridge's lease has gone to another process".to_owned()));
                }
                Ok(outcomes) => return Ok(outcomes),
                Err(err) if err.is_passing() && Instant::now() < deadline => {
                    tracing::warn!(%err, units = units.len(), "the bridge holds what it heard until the bus is back");
                    tokio::time::sleep(backoff.next_delay()).await;
                }
                Err(err) => return Err(err),
            }
        }
    }

    // ---- gaps ----------------------------------------------------------------------------------------------------------

    /// Writes down that it was listening until now.
    async fn mark(&self) -> Result<(), BusError> {
        let fields = vec![("heard_until".to_owned(), Some(rfc3339(self.origin.now())))];
        let change = Op::Change { key: Key::new(MARK_KEY), expect: Expect::Any, fields, ttl: Ttl::Keep };
        let unit = Commit { under: Some(self.fence.clone()), ..Commit::of(vec![change]) };
        self.commit(vec![unit]).await.map(drop)
    }

    /// Says from when to when nobody listened.
    async fn say_gap(&self) -> Result<(), BusError> {
        let state = self.bridge.bus.get(&Key::new(MARK_KEY)).await?;
        let until = state
            .as_ref()
            .and_then(|state| state.document())
            .and_then(|document| document.get("heard_until"))
            .and_then(read_time);
        let now = self.origin.now();
        if let Some(from) = until.filter(|from| *from < now) {
            let message = gap_message(from, now);
            self.alert("bridge-gap", Severity::Warning, message).await?;
        }
        self.mark().await
    }

    async fn say_drops(&mut self, dropped: u64) -> Result<(), BusError> {
        let new = dropped.saturating_sub(self.dropped);
        if new == 0 {
            return Ok(());
        }
        self.dropped = dropped;
        let message =
            format!("{new} bodies came faster than the bridge could hear them; bare ones among them are lost");
        self.alert("bridge-overflow", Severity::High, message).await
    }

    async fn alert(&self, id: &str, severity: Severity, message: String) -> Result<(), BusError> {
        tracing::warn!(%message, id);
        let fix = "publish with `fullsend publish`: what is only published is lost while nobody listens";
        let ops = letters::alert(&self.origin, id.to_owned(), severity, &message, fix);
        self.commit(vec![Commit { under: Some(self.fence.clone()), ..Commit::of(ops) }]).await.map(drop)
    }
}

fn gap_message(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    let seconds = (to - from).num_milliseconds();
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    let seconds = seconds as f64 / 1e3;
    format!(
        "between {} and {} ({seconds:.1} s) nobody listened for bare bodies; what was only published then is lost",
        rfc3339(from),
        rfc3339(to)
    )
}

/// What stands in the streams, so that our own announcements are told from bare bodies.
struct Known {
    channels: HashMap<ChannelName, Seen>,
}

#[derive(Default)]
struct Seen {
    cursor: EntryId,
    digests: HashMap<MessageId, [u8; 32]>,
    order: VecDeque<MessageId>,
}

impl Known {
    /// Knows what is appended from now on, and the newest of what there is.
    async fn from_now(bus: &SharedBus, channels: &[ChannelName]) -> Result<Self, BusError> {
        let mut known = Self { channels: HashMap::new() };
        for &channel in channels {
            let mut newest = match bus.range(channel, Range::newest(LEARN)).await {
                Ok(newest) => newest,
                // What is heard there will be refused, and said aloud, one by one.
                Err(BusError::ForeignType { .. }) => Vec::new(),
                Err(err) => return Err(err),
            };
            newest.reverse();
            known.channels.entry(channel).or_default().learn(&newest);
        }
        Ok(known)
    }

    /// Whether it is an announcement of an entry: its id is known, and its body is the one that stands there.
    async fn is_ours(&mut self, bus: &SharedBus, heard: &Heard) -> Result<bool, BusError> {
        let Some(envelope) = &heard.envelope else {
            return Ok(false);
        };
        let seen = self.channels.entry(heard.channel).or_default();
        // An announcement comes after its entry, so what is not known once the stream has been read to its end is not ours.
        seen.read_on(bus, heard.channel, &envelope.id).await?;
        if !seen.digests.contains_key(&envelope.id) && seen.begins_anew(bus, heard.channel).await? {
            seen.read_on(bus, heard.channel, &envelope.id).await?;
        }
        Ok(seen.digests.get(&envelope.id).is_some_and(|known| *known == digest(&heard.body)))
    }
}

impl Seen {
    /// Learns what follows, until `id` is known or the stream is at its end.
    async fn read_on(&mut self, bus: &SharedBus, channel: ChannelName, id: &MessageId) -> Result<(), BusError> {
        while !self.digests.contains_key(id) {
            let next = bus.range(channel, Range::after(self.cursor, LEARN)).await?;
            self.learn(&next);
            if next.len() < LEARN {
                break;
            }
        }
        Ok(())
    }

    /// Whether the stream has begun again with lower ids, as after FLUSHALL; if so, it is read from its beginning.
    async fn begins_anew(&mut self, bus: &SharedBus, channel: ChannelName) -> Result<bool, BusError> {
        let newest = bus.range(channel, Range::newest(1)).await?.first().map(|entry| entry.id).unwrap_or_default();
        let anew = newest < self.cursor;
        if anew {
            self.cursor = EntryId::ZERO;
        }
        Ok(anew)
    }

    fn learn(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.cursor = self.cursor.max(entry.id);
            if let Ok(message) = entry.message() {
                let id = message.envelope.id;
                if self.digests.insert(id, digest(&entry.b)).is_none() {
                    self.order.push_back(id);
                }
            }
        }
        while self.order.len() > KNOWN {
            if let Some(oldest) = self.order.pop_front() {
                self.digests.remove(&oldest);
            }
        }
    }
}

/// Of the body's meaning: spacing, which pub/sub's extra key may change, makes no difference.
fn digest(body: &str) -> [u8; 32] {
    let canonical =
        serde_json::from_str::<serde_json::Value>(body).map_or_else(|_| body.to_owned(), |value| value.to_string());
    Sha256::digest(canonical).into()
}
