//! Replays: a recording instead of a bus, played into the same room.
//!
//! Owns where in the recording the room stands, and what time it is there. A jump builds the store anew, from the checkpoint before it,
//! beside the loop: no frame waits for it. Must never say anything on a bus: there is none.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::feed::Batch;
use super::recording::Recording;
use super::store::{Caps, Chain, Item, Store};
use crate::contracts::{Clock, TraceId};

/// Items between two checkpoints.
const CHECKPOINT: usize = 10_000;
/// Items that are played into the store as they are; a longer way forward is built beside the room.
const SHORT: usize = 2_000;
/// Items of one batch.
const BATCH: usize = 512;
/// How fast it may go, and how slow.
const SPEEDS: (f64, f64) = (0.125, 1_024.0);
/// How often the banner moves while nothing comes.
const BEAT: Duration = Duration::from_secs(1);

/// Where a replay stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Playing {
    /// What time it is there.
    pub at: DateTime<Utc>,
    /// When the recording begins and ends.
    pub span: (DateTime<Utc>, DateTime<Utc>),
    /// Items that were played.
    pub position: usize,
    /// Items of the recording.
    pub total: usize,
    /// How fast it goes.
    pub speed: f64,
    /// Whether it goes on by itself.
    pub goes_on: bool,
    /// Whether a jump is under way.
    pub is_seeking: bool,
}

/// What somebody wants of a replay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Seek {
    /// Stand still, or go on.
    Toggle,
    /// So many messages on, or (negative) back.
    Messages(isize),
    /// So long on, or back.
    Time(TimeDelta),
    /// To the beginning.
    Start,
    /// To the end.
    End,
    /// Twice as fast.
    Faster,
    /// Half as fast.
    Slower,
    /// All of this chain, as far as it was played.
    Chain(TraceId),
}

/// The time of a replay.
#[derive(Debug)]
pub struct ReplayClock {
    running: Mutex<Running>,
}

#[derive(Debug, Clone, Copy)]
struct Running {
    at: DateTime<Utc>,
    since: Instant,
    speed: f64,
    goes_on: bool,
}

impl Running {
    fn now(&self) -> DateTime<Utc> {
        if !self.goes_on {
            return self.at;
        }
        let passed = self.since.elapsed().mul_f64(self.speed);
        self.at.checked_add_signed(TimeDelta::from_std(passed).unwrap_or(TimeDelta::MAX)).unwrap_or(self.at)
    }
}

impl ReplayClock {
    fn at(at: DateTime<Utc>) -> Self {
        Self { running: Mutex::new(Running { at, since: Instant::now(), speed: 1.0, goes_on: false }) }
    }

    fn get(&self) -> Running {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, running: Running) {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = running;
    }
}

impl Clock for ReplayClock {
    fn now(&self) -> DateTime<Utc> {
        self.get().now()
    }

    fn monotonic(&self) -> Duration {
        self.get().since.elapsed()
    }

    fn boot(&self) -> String {
        "replay".to_owned()
    }
}

/// Plays a recording.
pub struct Player {
    recording: Arc<Recording>,
    caps: Caps,
    clock: Arc<ReplayClock>,
    position: usize,
    speed: f64,
    goes_on: bool,
    /// Stores as they were after so many items.
    checkpoints: Vec<(usize, Arc<Store>)>,
}

impl Player {
    /// Stands at the beginning.
    pub fn new(recording: Arc<Recording>, caps: Caps, speed: f64) -> Self {
        let clock = Arc::new(ReplayClock::at(recording.span().0));
        let speed = speed.clamp(SPEEDS.0, SPEEDS.1);
        Self { recording, caps, clock, position: 0, speed, goes_on: false, checkpoints: Vec::new() }
    }

    /// What time it is there.
    pub fn clock(&self) -> Arc<ReplayClock> {
        Arc::clone(&self.clock)
    }

    /// The room as it stands, with all that was played until then.
    pub fn store_at(&mut self, at: DateTime<Utc>) -> Store {
        self.position = self.recording.upto(at);
        let (mut store, kept) = built(&self.recording, self.caps, None, self.position);
        self.checkpoints = kept;
        self.stand(at);
        store.apply(Item::Playing(self.playing(false)));
        store
    }

    /// Lets it go on by itself.
    pub fn play(&mut self) {
        self.goes_on = self.position < self.recording.items.len();
        self.stand(self.clock.now());
    }

    /// Sets the clock to a moment, with the pace that holds.
    fn stand(&self, at: DateTime<Utc>) {
        self.clock.set(Running { at, since: Instant::now(), speed: self.speed, goes_on: self.goes_on });
    }

    fn playing(&self, is_seeking: bool) -> Playing {
        Playing {
            at: self.clock.now(),
            span: self.recording.span(),
            position: self.position,
            total: self.recording.items.len(),
            speed: self.speed,
            goes_on: self.goes_on,
            is_seeking,
        }
    }

    /// The place after so many further messages, or before them.
    fn by_messages(&self, from: usize, by: isize) -> usize {
        let is_message = |(_, item): &(DateTime<Utc>, Item)| matches!(item, Item::Message(row) if !row.is_pulse());
        let items = &self.recording.items;
        let nth = by.unsigned_abs().saturating_sub(1);
        if by >= 0 {
            let found = items.iter().enumerate().skip(from).filter(|(_, it)| is_message(it)).nth(nth);
            return found.map_or(items.len(), |(at, _)| at + 1);
        }
        // Back to just after the message before the one that is undone.
        let mut messages = items.iter().enumerate().take(from).rev().filter(|(_, it)| is_message(it));
        let undone = messages.nth(nth).map_or(0, |(at, _)| at);
        let before = items.iter().enumerate().take(undone).rev().find(|(_, it)| is_message(it));
        before.map_or(0, |(at, _)| at + 1)
    }

    /// Plays until `stop`, or until the room is gone.
    pub async fn run(mut self, mut wanted: mpsc::Receiver<Seek>, queue: mpsc::Sender<Batch>, stop: CancellationToken) {
        let mut is_known = false;
        loop {
            if !std::mem::replace(&mut is_known, true)
                && queue.send(vec![Item::Playing(self.playing(false))]).await.is_err()
            {
                return;
            }
            let until = self.next_due();
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                seek = wanted.recv() => {
                    let Some(seek) = seek else { return };
                    // What was pressed meanwhile is one jump.
                    let mut all = vec![seek];
                    while let Ok(more) = wanted.try_recv() {
                        all.push(more);
                    }
                    if self.seek(&all, &queue).await.is_none() {
                        return;
                    }
                    is_known = false;
                }
                () = tokio::time::sleep_until(until), if self.goes_on => {
                    if self.go_on(&queue).await.is_none() {
                        return;
                    }
                    is_known = false;
                }
            }
        }
    }

    /// When something is to be done without being asked.
    fn next_due(&self) -> Instant {
        let beat = Instant::now() + BEAT;
        let Some((at, _)) = self.recording.items.get(self.position) else { return beat };
        let left = (*at - self.clock.now()).to_std().unwrap_or_default().div_f64(self.speed.max(SPEEDS.0));
        beat.min(Instant::now() + left)
    }

    /// Plays what has come by now.
    async fn go_on(&mut self, queue: &mpsc::Sender<Batch>) -> Option<()> {
        let until = self.recording.upto(self.clock.now()).max(self.position);
        self.hand_over(until, queue).await?;
        if self.position >= self.recording.items.len() {
            self.goes_on = false;
            self.stand(self.recording.span().1);
        }
        Some(())
    }

    /// Plays on as far as this place.
    async fn hand_over(&mut self, until: usize, queue: &mpsc::Sender<Batch>) -> Option<()> {
        while self.position < until {
            let end = until.min(self.position + BATCH);
            let items = self.recording.items.get(self.position..end).unwrap_or_default();
            queue.send(items.iter().map(|(_, item)| item.clone()).collect()).await.ok()?;
            self.position = end;
        }
        Some(())
    }

    async fn seek(&mut self, all: &[Seek], queue: &mpsc::Sender<Batch>) -> Option<()> {
        let (first, last) = self.recording.span();
        let mut now = self.clock.now();
        let mut to = self.position;
        let mut chains = Vec::new();
        for seek in all {
            match *seek {
                Seek::Toggle => {
                    // At the end it begins again.
                    if !self.goes_on && to >= self.recording.items.len() {
                        (now, to) = (first, 0);
                    }
                    self.goes_on = !self.goes_on;
                }
                Seek::Messages(by) => {
                    to = self.by_messages(to, by);
                    now = to.checked_sub(1).and_then(|at| self.recording.items.get(at)).map_or(first, |(at, _)| *at);
                    self.goes_on = false;
                }
                Seek::Time(by) => {
                    now = now.checked_add_signed(by).unwrap_or(now).clamp(first, last);
                    to = self.recording.upto(now);
                }
                Seek::Start => {
                    (now, to) = (first, 0);
                    self.goes_on = false;
                }
                Seek::End => (now, to) = (last, self.recording.items.len()),
                Seek::Faster => self.speed = (self.speed * 2.0).min(SPEEDS.1),
                Seek::Slower => self.speed = (self.speed / 2.0).max(SPEEDS.0),
                Seek::Chain(trace) => chains.push(trace),
            }
        }
        self.goes_on &= to < self.recording.items.len();
        if to < self.position || to - self.position > SHORT {
            queue.send(vec![Item::Playing(self.playing(true))]).await.ok()?;
            self.rebuild(to, now, queue).await?;
        } else {
            self.hand_over(to, queue).await?;
            self.stand(now);
        }
        for trace in chains {
            queue.send(vec![Item::Chain(Box::new(chain(&self.recording, self.position, trace)))]).await.ok()?;
        }
        Some(())
    }

    /// Builds the store as it was at this place, beside the room, and hands it over.
    async fn rebuild(&mut self, to: usize, now: DateTime<Utc>, queue: &mpsc::Sender<Batch>) -> Option<()> {
        let before = self.checkpoints.iter().rev().find(|(at, _)| *at <= to).cloned();
        let (recording, caps) = (Arc::clone(&self.recording), self.caps);
        let work = tokio::task::spawn_blocking(move || built(&recording, caps, before, to));
        let (store, kept) = work.await.ok()?;
        self.checkpoints.extend(kept);
        self.checkpoints.sort_by_key(|(at, _)| *at);
        self.checkpoints.dedup_by_key(|(at, _)| *at);
        self.position = to;
        self.stand(now);
        let mut store = store;
        store.apply(Item::Playing(self.playing(false)));
        queue.send(vec![Item::Rebuilt(Box::new(store))]).await.ok()
    }
}

/// The store as it was at a moment of a recording.
pub fn store_at(recording: &Recording, caps: Caps, at: DateTime<Utc>) -> Store {
    let mut store = built(recording, caps, None, recording.upto(at)).0;
    store.tick(at);
    store
}

/// Lets a store follow a chain of the recording; without one that is named, the one with the most messages.
pub fn follow(store: &mut Store, recording: &Recording, at: DateTime<Utc>, trace: Option<TraceId>) {
    let Some(trace) = trace.or_else(|| store.longest_chain()) else { return };
    store.follow(trace);
    store.apply(Item::Chain(Box::new(chain(recording, recording.upto(at), trace))));
}

/// A chain as far as it was played.
fn chain(recording: &Recording, position: usize, trace: TraceId) -> Chain {
    let mut chain = Chain::of(trace);
    let mut documents = Vec::new();
    for (_, item) in recording.items.iter().take(position) {
        match item {
            Item::Message(row) => drop(chain.take(row)),
            Item::Document { key, state } => documents.push((key, state)),
            _ => {}
        }
    }
    for (key, state) in documents {
        chain.document(key, state.as_ref());
    }
    chain.read(None);
    chain
}

type Checkpoints = Vec<(usize, Arc<Store>)>;

/// The store after so many items, from a checkpoint on; and the checkpoints on the way.
fn built(recording: &Recording, caps: Caps, from: Option<(usize, Arc<Store>)>, to: usize) -> (Store, Checkpoints) {
    let (begin, mut store) = match from {
        Some((at, store)) => (at, Store::clone(&store)),
        None => (0, Store::new(caps)),
    };
    let mut kept = Vec::new();
    for (at, (when, item)) in recording.items.iter().enumerate().take(to).skip(begin) {
        if at > begin && at % CHECKPOINT == 0 {
            kept.push((at, Arc::new(store.clone())));
        }
        if store.now().timestamp() != when.timestamp() {
            store.tick(*when);
        }
        store.apply(item.clone());
    }
    (store, kept)
}
