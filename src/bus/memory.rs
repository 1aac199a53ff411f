//! The engine in memory: for tests only; no verb and no setting can select it.
//!
//! Owns the reference model of what [`super::Bus`] promises: everything under one lock, plain enough to be seen to be right, the
//! other engines are compared with it. Must never be fast at the price of that, and must never keep anything beyond its handles.

mod apply;
mod data;
mod records;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use self::data::{Data, Moment};
use super::{
    Bus, BusError, ChannelInfo, Claimed, Claims, Commit, Entry, EntryId, Finding, GroupFound, Health, Heard, Key,
    LeaseFence, Listener, Outcome, Outgoing, Range, Reader, Record, State, Want,
};
use crate::contracts::{ChannelName, Clock};

/// How many announcements wait for a listener that is slow.
const LISTENER_CAP: usize = 1024;

/// One handle on a store in memory; [`MemoryBus::another`] gives more, as further processes would have them.
pub struct MemoryBus {
    store: Arc<Store>,
    faults: Mutex<Faults>,
    closed: AtomicBool,
}

/// What all handles share.
struct Store {
    clock: Arc<dyn Clock>,
    data: Mutex<Data>,
    listeners: Mutex<Vec<Ear>>,
    /// Rung after every append.
    bell: watch::Sender<()>,
}

/// What a test wants to go wrong on one handle.
#[derive(Default)]
struct Faults {
    failing: Option<(usize, BusError)>,
    lost_answers: usize,
    failing_commits: Option<BusError>,
    findings: Vec<Finding>,
}

/// Somebody who listens.
struct Ear {
    channels: Vec<ChannelName>,
    queue: mpsc::Sender<Heard>,
    dropped: Arc<AtomicU64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryBus {
    /// An empty store. Wall time gives ids and times to live, monotonic time gives leases and idle times.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::on(Arc::new(Store {
            clock,
            data: Mutex::default(),
            listeners: Mutex::default(),
            bell: watch::Sender::new(()),
        }))
    }

    /// Another handle on the same store, with faults of its own.
    #[must_use]
    pub fn another(&self) -> Self {
        Self::on(Arc::clone(&self.store))
    }

    fn on(store: Arc<Store>) -> Self {
        Self { store, faults: Mutex::default(), closed: AtomicBool::new(false) }
    }

    // ---- what tests do to it -------------------------------------------------------------------------------------------

    /// The next `n` calls on this handle fail with `error`, and nothing of them happens.
    pub fn fail_next(&self, n: usize, error: BusError) {
        lock(&self.faults).failing = Some((n, error));
    }

    /// The next `n` commits on this handle happen, and answer [`BusError::NoAnswer`] all the same.
    pub fn lose_next_answers(&self, n: usize) {
        lock(&self.faults).lost_answers = n;
    }

    /// From now on no commit on this handle happens: each fails with `error`.
    pub fn fail_commits(&self, error: BusError) {
        lock(&self.faults).failing_commits = Some(error);
    }

    /// From now on the health of this handle has this finding.
    pub fn find(&self, finding: Finding) {
        lock(&self.faults).findings.push(finding);
    }

    /// Somebody puts the entries that `other` has on a channel in the place of what is there.
    pub fn adopt(&self, other: &Self, channel: ChannelName) {
        let theirs = std::mem::take(other.data().stream(channel));
        *self.data().stream(channel) = theirs;
    }

    /// Somebody deletes a group by hand. Returns whether it was there.
    pub fn delete_group(&self, channel: ChannelName, group: &str) -> bool {
        self.data().delete_group(channel, group)
    }

    /// Somebody deletes one entry by hand. Returns whether it was there.
    pub fn delete_entry(&self, channel: ChannelName, id: EntryId) -> bool {
        self.data().stream(channel).entries.remove(&id).is_some()
    }

    /// Somebody deletes everything.
    pub fn flush_all(&self) {
        *self.data() = Data::default();
    }

    /// Somebody puts something of a type that no key of ours has under a key; `CHANNEL:stream` is a channel's.
    pub fn set_foreign(&self, key: &Key) {
        self.data().set_foreign(key);
    }

    /// Somebody publishes a text as it is, without appending it.
    pub fn publish_bare(&self, channel: ChannelName, payload: &str) {
        self.store.announce(&[heard(channel, payload)]);
    }

    // ---- how calls go --------------------------------------------------------------------------------------------------

    fn data(&self) -> MutexGuard<'_, Data> {
        lock(&self.store.data)
    }

    fn moment(&self) -> Moment {
        Moment { wall: self.store.clock.now(), monotonic: self.store.clock.monotonic() }
    }

    /// What stands before every call.
    fn enter(&self) -> Result<(), BusError> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(BusError::Closed);
        }
        let mut faults = lock(&self.faults);
        match faults.failing.take() {
            Some((n, error)) if n > 0 => {
                faults.failing = Some((n - 1, error.clone()));
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// Asks `found` again after each ring of the bell, until it has something or `wait` is over.
    async fn waiting<T>(
        &self,
        wait: Duration,
        mut found: impl FnMut(&mut Data, Moment) -> Result<Vec<T>, BusError> + Send,
    ) -> Result<Vec<T>, BusError> {
        let end = Instant::now() + wait;
        let mut bell = self.store.bell.subscribe();
        loop {
            bell.mark_unchanged();
            let now = self.moment();
            let items = found(&mut self.data(), now)?;
            if !items.is_empty() || tokio::time::timeout_at(end, bell.changed()).await.is_err() {
                return Ok(items);
            }
        }
    }
}

impl Store {
    /// Rings the bell and tells those who listen.
    fn announce(&self, news: &[Heard]) {
        self.bell.send_replace(());
        lock(&self.listeners).retain(|ear| {
            for item in news.iter().filter(|item| ear.channels.contains(&item.channel)) {
                if let Err(mpsc::error::TrySendError::Full(_)) = ear.queue.try_send(item.clone()) {
                    ear.dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
            !ear.queue.is_closed()
        });
    }
}

/// A payload as listeners hear it: `meta` taken out, where there is one.
fn heard(channel: ChannelName, payload: &str) -> Heard {
    let mut envelope = None;
    let mut body = payload.to_owned();
    if let Ok(serde_json::Value::Object(mut object)) = serde_json::from_str(payload)
        && let Some(meta) = object.shift_remove("meta")
    {
        envelope = serde_json::from_value(meta).ok();
        body = serde_json::Value::Object(object).to_string();
    }
    Heard { channel, envelope, body }
}

/// A message as listeners hear it.
fn spoken(message: &Outgoing) -> Heard {
    Heard { channel: message.channel, envelope: Some(message.envelope.clone()), body: message.body.clone() }
}

#[async_trait]
impl Bus for MemoryBus {
    fn engine(&self) -> &'static str {
        "memory"
    }

    async fn commit(&self, units: Vec<Commit>) -> Result<Vec<Outcome>, BusError> {
        self.enter()?;
        if let Some(error) = &lock(&self.faults).failing_commits {
            return Err(error.clone());
        }
        let now = self.moment();
        let mut news = Vec::new();
        // The lock is held until all is announced, so that listeners hear in the order of the entries.
        let mut data = self.data();
        let outcomes = units.iter().map(|unit| data.apply(unit, now, &mut news)).collect();
        self.store.announce(&news);
        drop(data);
        let mut faults = lock(&self.faults);
        if faults.lost_answers > 0 {
            faults.lost_answers -= 1;
            return Err(BusError::NoAnswer("a test lost it".to_owned()));
        }
        Ok(outcomes)
    }

    async fn notify(&self, notice: Outgoing) -> Result<(), BusError> {
        self.enter()?;
        self.store.announce(&[spoken(&notice)]);
        Ok(())
    }

    async fn ensure_group(&self, channel: ChannelName, group: &str) -> Result<GroupFound, BusError> {
        self.enter()?;
        self.data().ensure_group(channel, group)
    }

    async fn read(
        &self,
        reader: &Reader,
        channels: &[ChannelName],
        want: Want,
        patience: Duration,
    ) -> Result<Vec<Claimed>, BusError> {
        self.enter()?;
        self.waiting(patience, |data, now| data.read(reader, channels, want, now)).await
    }

    async fn own_pending(&self, reader: &Reader, channels: &[ChannelName], limit: usize) -> Result<Claims, BusError> {
        self.enter()?;
        let now = self.moment();
        self.data().take(reader, channels, limit, now, |held| held.consumer == reader.consumer)
    }

    async fn extend(
        &self,
        reader: &Reader,
        held: &[(ChannelName, EntryId)],
    ) -> Result<Vec<(ChannelName, EntryId)>, BusError> {
        self.enter()?;
        let now = self.moment();
        Ok(self.data().keep(reader, held, Some(now.monotonic), now))
    }

    async fn claim_stale(
        &self,
        reader: &Reader,
        channels: &[ChannelName],
        idle: Duration,
        limit: usize,
    ) -> Result<Claims, BusError> {
        self.enter()?;
        let now = self.moment();
        self.data().take(reader, channels, limit, now, |held| {
            held.since.is_none_or(|since| now.monotonic.saturating_sub(since) >= idle)
        })
    }

    async fn release(&self, reader: &Reader, held: &[(ChannelName, EntryId)]) -> Result<(), BusError> {
        self.enter()?;
        let now = self.moment();
        self.data().keep(reader, held, None, now);
        Ok(())
    }

    async fn range(&self, channel: ChannelName, range: Range) -> Result<Vec<Entry>, BusError> {
        self.enter()?;
        Ok(self.data().range(channel, range))
    }

    async fn newest(&self, channels: &[ChannelName]) -> Result<Vec<(ChannelName, Option<EntryId>)>, BusError> {
        self.enter()?;
        let mut data = self.data();
        Ok(channels
            .iter()
            .map(|&channel| (channel, data.stream(channel).entries.keys().next_back().copied()))
            .collect())
    }

    async fn watch(
        &self,
        cursors: &[(ChannelName, EntryId)],
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<Entry>, BusError> {
        self.enter()?;
        self.waiting(wait, |data, _| {
            Ok(cursors.iter().flat_map(|&(channel, after)| data.range(channel, Range::after(after, limit))).collect())
        })
        .await
    }

    async fn listen(&self, channels: &[ChannelName]) -> Result<Listener, BusError> {
        self.enter()?;
        let (queue, heard) = mpsc::channel(LISTENER_CAP);
        let dropped = Arc::new(AtomicU64::new(0));
        lock(&self.store.listeners).push(Ear { channels: channels.to_vec(), queue, dropped: Arc::clone(&dropped) });
        Ok(Listener { heard, dropped })
    }

    async fn get(&self, key: &Key) -> Result<Option<State>, BusError> {
        self.enter()?;
        let now = self.moment();
        self.data().get(key, now)
    }

    async fn scan(
        &self,
        prefix: &str,
        cursor: Option<String>,
        limit: usize,
    ) -> Result<(Vec<Key>, Option<String>), BusError> {
        self.enter()?;
        let now = self.moment();
        Ok(self.data().scan(prefix, cursor, limit, now))
    }

    async fn lease(&self, name: &str, owner: &str, ttl: Duration) -> Result<Option<LeaseFence>, BusError> {
        self.enter()?;
        let now = self.moment();
        Ok(self.data().lease(name, owner, ttl, now))
    }

    async fn unlease(&self, name: &str, owner: &str) -> Result<(), BusError> {
        self.enter()?;
        self.data().unlease(name, owner);
        Ok(())
    }

    async fn fire_timers(&self, now: DateTime<Utc>, limit: usize, under: &LeaseFence) -> Result<usize, BusError> {
        self.enter()?;
        let moment = self.moment();
        let mut news = Vec::new();
        let mut data = self.data();
        let fired = data.fire_timers(now, limit, under, moment, &mut news);
        self.store.announce(&news);
        Ok(fired)
    }

    async fn next_timer(&self) -> Result<Option<DateTime<Utc>>, BusError> {
        self.enter()?;
        Ok(self.data().timers.values().map(|timer| timer.at).min())
    }

    async fn trim(&self, channel: ChannelName, older_than: DateTime<Utc>, keep: u64) -> Result<u64, BusError> {
        self.enter()?;
        Ok(self.data().trim(channel, older_than, keep))
    }

    async fn inspect(&self, channel: ChannelName) -> Result<ChannelInfo, BusError> {
        self.enter()?;
        let now = self.moment();
        Ok(self.data().inspect(channel, now))
    }

    async fn drop_group(&self, channel: ChannelName, group: &str) -> Result<bool, BusError> {
        self.enter()?;
        let mut data = self.data();
        let was_there = data.delete_group(channel, group);
        data.stream(channel).watermarks.remove(group);
        Ok(was_there)
    }

    async fn health(&self) -> Result<Health, BusError> {
        Ok(Health {
            engine: "memory",
            location: "memory".to_owned(),
            reachable: self.enter().is_ok(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            durability: "nothing survives the end of the process".to_owned(),
            bytes: None,
            findings: lock(&self.faults).findings.clone(),
        })
    }

    async fn export(&self, sink: mpsc::Sender<Record>) -> Result<(), BusError> {
        self.enter()?;
        let now = self.moment();
        let records = self.data().records(now);
        for record in records {
            if sink.send(record).await.is_err() {
                return Err(BusError::NoAnswer("whoever takes the records has gone".to_owned()));
            }
        }
        Ok(())
    }

    async fn import(&self, mut source: mpsc::Receiver<Record>) -> Result<u64, BusError> {
        self.enter()?;
        let mut fresh = Data::default();
        let now = self.moment();
        let mut line = 0;
        while let Some(record) = source.recv().await {
            line += 1;
            fresh.put_back(record, now).map_err(|reason| BusError::BadRecord { line, reason })?;
        }
        let mut data = self.data();
        if !data.is_empty(now) {
            return Err(BusError::NotEmpty("memory".to_owned()));
        }
        *data = fresh;
        self.store.announce(&[]);
        Ok(line)
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contracts::ManualClock;

    fn bus() -> MemoryBus {
        MemoryBus::new(Arc::new(ManualClock::at(DateTime::UNIX_EPOCH)))
    }

    fn add(n: i64) -> Vec<Commit> {
        vec![Commit::of(vec![super::super::Op::Add {
            key: Key::new("count"),
            field: "n".to_owned(),
            n,
            ceiling: None,
        }])]
    }

    async fn count(bus: &MemoryBus) -> Option<String> {
        let state = bus.get(&Key::new("count")).await.unwrap()?;
        state.document()?.get("n").map(str::to_owned)
    }

    #[tokio::test]
    async fn failing_calls_do_nothing_and_end() {
        let bus = bus();
        let error = BusError::Unreachable("a test".to_owned());
        bus.fail_next(2, error.clone());
        assert_eq!(bus.commit(add(1)).await, Err(error.clone()));
        assert_eq!(bus.another().get(&Key::new("count")).await, Ok(None));
        assert_eq!(bus.get(&Key::new("count")).await, Err(error));
        assert!(bus.commit(add(5)).await.is_ok());
        assert_eq!(count(&bus).await.as_deref(), Some("5"));
    }

    #[tokio::test]
    async fn a_lost_answer_has_happened() {
        let bus = bus();
        bus.lose_next_answers(1);
        assert!(bus.commit(add(1)).await.is_err_and(|error| error.unknown_outcome()));
        assert_eq!(count(&bus).await.as_deref(), Some("1"));
        assert!(bus.commit(add(1)).await.is_ok());
    }

    #[tokio::test]
    async fn a_flush_leaves_nothing() {
        let bus = bus();
        bus.commit(add(1)).await.unwrap();
        bus.ensure_group(ChannelName::Metrics, "g").await.unwrap();
        bus.flush_all();
        assert_eq!(count(&bus).await, None);
        assert_eq!(bus.ensure_group(ChannelName::Metrics, "g").await, Ok(GroupFound::Created));
    }
}
