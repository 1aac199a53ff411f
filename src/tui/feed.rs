//! The feed: what is on the bus, as items for the store.
//!
//! First the newest history of every channel, then what comes; on a bell, the documents that the bell is about are read again. It survives
//! a bus that goes away and comes back: it says so, and marks the gap. Must never know what is done with the items, and never hold back
//! the bus: its queue is bounded, and what does not fit of notices is counted.

pub mod back;
pub mod chain;
mod documents;
mod history;
mod logs;
mod machine;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::store::{EngineStatus, Item, Row};
use crate::bus::backoff::Backoff;
use crate::bus::{BusError, EntryId, Listener, SharedBus};
use crate::config::Budgets;
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::{ChannelKind, ChannelName, Clock, keys};
use documents::Bell;

/// How long one question for news waits.
const WAIT: Duration = Duration::from_secs(5);
/// Entries of a channel that one answer may hold.
const PAGE: usize = 256;
/// Batches of items that wait for the room.
pub const QUEUE: usize = 16;
/// Items of one batch.
const BATCH: usize = 512;

/// What the room is fed with: some items at once.
pub type Batch = Vec<Item>;

/// Where the feed reads, and where it hands over.
#[derive(Clone)]
pub struct Feed {
    /// The bus.
    pub bus: SharedBus,
    /// The time, for what is said about the bus itself.
    pub clock: Arc<dyn Clock>,
    /// The room.
    pub queue: mpsc::Sender<Batch>,
    /// What is looked at beside the bus.
    pub beside: Beside,
}

/// What is looked at beside the bus.
#[derive(Debug, Clone, Default)]
pub struct Beside {
    /// The folder of the log.
    pub logs: Option<PathBuf>,
    /// The limits that the settings give.
    pub budgets: Budgets,
    /// How long messages are kept.
    pub kept: Duration,
}

/// The room is gone: there is nobody left to read for.
#[derive(Debug)]
pub(super) struct Gone;

impl Feed {
    /// Feeds the room until `stop`, or until it is gone.
    pub async fn run(self, stop: CancellationToken) {
        let (bell, rings) = mpsc::channel(QUEUE);
        // One ring that waits is as good as many.
        let (spent, rings_of_money) = mpsc::channel(1);
        let mut tasks = JoinSet::new();
        let (machine, notes, logs) = (self.clone(), self.clone(), self.clone());
        tasks.spawn(async move { machine.keep_machine(rings_of_money).await });
        tasks.spawn(async move { notes.keep_notes().await });
        tasks.spawn(async move { logs.keep_logs().await });
        let (notices, documents) = (self.clone(), self.clone());
        let rung = bell.clone();
        let ordered = spent.clone();
        tasks.spawn(async move { notices.hear(rung, spent).await });
        tasks.spawn(async move { documents.keep_documents(rings).await });
        tasks.spawn(async move { self.messages(bell, ordered).await });
        tokio::select! {
            () = stop.cancelled() => {}
            // One of them ends only because the room is gone.
            _ = tasks.join_next() => {}
        }
        tasks.shutdown().await;
    }

    /// Hands items over, waiting for room: what stands in streams is not lost by that.
    pub(super) async fn give(&self, items: Batch) -> Result<(), Gone> {
        let mut items = items.into_iter();
        loop {
            let batch: Batch = items.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return Ok(());
            }
            self.queue.send(batch).await.map_err(|_| Gone)?;
        }
    }

    /// Says that the bus is away, or back.
    async fn say_away(&self, err: &BusError) -> Result<(), Gone> {
        let reason = sanitize_line(&err.to_string(), 200);
        self.give(vec![Item::Engine(EngineStatus::Away { since: self.clock.now(), reason })]).await
    }

    async fn messages(self, bell: mpsc::Sender<Bell>, ordered: mpsc::Sender<()>) -> Result<(), Gone> {
        let mut cursors = self.fill().await?;
        self.give(vec![Item::Filled]).await?;
        bell.send(Bell::Everything).await.map_err(|_| Gone)?;
        let mut backoff = Backoff::quick();
        let mut is_away = false;
        loop {
            match self.bus.watch(&cursors, PAGE, WAIT).await {
                Ok(mut entries) => {
                    entries.sort_by_key(|entry| (entry.id, entry.channel));
                    if std::mem::take(&mut is_away) {
                        backoff.reset();
                        let gap = "the bus was away; notices of the meantime are lost".to_owned();
                        self.give(vec![Item::Engine(EngineStatus::Live), Item::Gap(gap)]).await?;
                        bell.send(Bell::Everything).await.map_err(|_| Gone)?;
                    }
                    let mut rung: Vec<ChannelName> = Vec::new();
                    for entry in &entries {
                        if !rung.contains(&entry.channel) {
                            rung.push(entry.channel);
                        }
                    }
                    for (channel, cursor) in &mut cursors {
                        let newest = entries.iter().filter(|it| it.channel == *channel).map(|it| it.id).max();
                        *cursor = newest.unwrap_or(*cursor);
                    }
                    let rows: Vec<Row> = entries.into_iter().map(Row::stored).collect();
                    let is_about_experiment = rows.iter().any(documents::is_about_experiment);
                    self.give(rows.into_iter().map(|row| Item::Message(Arc::new(row))).collect()).await?;
                    // A budget may have been set.
                    if rung.iter().any(|channel| matches!(channel, ChannelName::Control | ChannelName::Audit)) {
                        ordered.try_send(()).ok();
                    }
                    let rings = rung.into_iter().map(Bell::Channel);
                    for ring in rings.chain(is_about_experiment.then_some(Bell::Experiments)) {
                        bell.send(ring).await.map_err(|_| Gone)?;
                    }
                }
                Err(err) => {
                    let lost = left_out(&err);
                    cursors.retain(|(channel, _)| !lost.contains(channel));
                    for channel in &lost {
                        let words = format!("{channel} is left out: {}", sanitize_line(&err.to_string(), 200));
                        self.give(vec![Item::Gap(words)]).await?;
                    }
                    if lost.is_empty() && !std::mem::replace(&mut is_away, true) {
                        self.say_away(&err).await?;
                    }
                    tokio::time::sleep(backoff.next_delay()).await;
                }
            }
        }
    }

    /// Hears notices. Nobody waits for the room with them: what does not fit is counted.
    async fn hear(self, bell: mpsc::Sender<Bell>, spent: mpsc::Sender<()>) -> Result<(), Gone> {
        let notices: Vec<ChannelName> =
            ChannelName::ALL.iter().copied().filter(|it| it.route().kind == ChannelKind::Notice).collect();
        let mut backoff = Backoff::quick();
        loop {
            if let Ok(listener) = self.bus.listen(&notices).await {
                backoff.reset();
                self.pass_on(listener, &bell, &spent).await?;
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    async fn pass_on(
        &self,
        mut listener: Listener,
        bell: &mpsc::Sender<Bell>,
        spent: &mpsc::Sender<()>,
    ) -> Result<(), Gone> {
        let (mut told, mut missed) = (0, 0);
        let mut heard = Vec::new();
        while listener.heard.recv_many(&mut heard, BATCH).await > 0 {
            let dropped = listener.dropped.load(Ordering::Relaxed);
            missed += dropped - told;
            told = dropped;
            let rings_costs = heard.iter().any(|it| it.channel == ChannelName::Costs);
            let mut batch: Batch = heard.drain(..).map(|it| Item::Message(Arc::new(Row::heard(it)))).collect();
            if missed > 0 {
                batch.push(Item::Missed(missed));
            }
            let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
            match self.queue.try_send(batch) {
                Ok(()) => missed = 0,
                Err(mpsc::error::TrySendError::Full(_)) => missed += count,
                Err(mpsc::error::TrySendError::Closed(_)) => return Err(Gone),
            }
            if rings_costs {
                spent.try_send(()).ok();
                bell.send(Bell::Channel(ChannelName::Costs)).await.map_err(|_| Gone)?;
            }
        }
        Ok(())
    }
}

/// The channels whose stream the error is about: their key holds something else.
pub(super) fn left_out(err: &BusError) -> Vec<ChannelName> {
    let BusError::ForeignType { key, .. } = err else { return Vec::new() };
    ChannelName::ALL.iter().copied().filter(|channel| key.ends_with(&keys::stream(*channel))).collect()
}

/// Where to watch a channel from.
pub(super) type Cursor = (ChannelName, EntryId);
