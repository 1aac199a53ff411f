//! What the unit tests of the bus and its users share: an engine in memory on paused time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::memory::MemoryBus;
use super::{Commit, Entry, EntryId, Op, Origin, Outgoing, Range, SharedBus};
use crate::contracts::channel::grants;
use crate::contracts::messages::{AlertTriggered, Alerts, EchoRequest, Echoes};
use crate::contracts::wiring::ECHO;
use crate::contracts::{Body, ChannelName, Clock, Ids, TokioClock, Trust};

/// A store, its clock and its ids.
pub(crate) struct World {
    pub(crate) store: MemoryBus,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<Ids>,
}

impl World {
    /// Begins at 2027-01-15 08:00 UTC. Wants a runtime whose time is paused.
    pub(crate) fn new() -> Self {
        let base = chrono::DateTime::from_timestamp_millis(1_800_000_000_000).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::from(base));
        Self { store: MemoryBus::new(Arc::clone(&clock)), clock, ids: Arc::new(Ids::seeded(1)) }
    }

    /// As another process has it.
    pub(crate) fn bus(&self) -> SharedBus {
        Arc::new(self.store.another())
    }

    pub(crate) fn origin(&self, trust: Trust) -> Origin {
        Origin::new(Arc::clone(&self.clock), Arc::clone(&self.ids), trust)
    }

    /// An echo request.
    pub(crate) fn request(&self, text: &str) -> Outgoing {
        let body = Echoes::from(EchoRequest { text: text.to_owned() });
        self.origin(Trust::Operator).compose::<grants::ControlRoom, _>(ECHO, body).unwrap()
    }

    pub(crate) async fn commit(&self, ops: Vec<Op>) {
        assert!(self.bus().commit(vec![Commit::of(ops)]).await.unwrap()[0].is_done());
    }

    pub(crate) async fn say(&self, message: Outgoing) {
        self.commit(vec![Op::Append(message)]).await;
    }

    /// All that stands on a channel, oldest first.
    pub(crate) async fn entries(&self, channel: ChannelName) -> Vec<Entry> {
        self.bus().range(channel, Range::after(EntryId::ZERO, 10_000)).await.unwrap()
    }

    /// What is asked on the echo channel, oldest first.
    pub(crate) async fn asked(&self) -> Vec<String> {
        let entries = self.entries(ChannelName::Echo).await;
        let texts = entries.iter().filter_map(|entry| match Echoes::read(&entry.b).unwrap() {
            Echoes::Request(request) => Some(request.text),
            Echoes::Reply(_) => None,
        });
        texts.collect()
    }

    pub(crate) async fn alerts(&self) -> Vec<AlertTriggered> {
        let entries = self.entries(ChannelName::Alerts).await;
        let alerts = entries.iter().map(|entry| match Alerts::read(&entry.b).unwrap() {
            Alerts::Triggered(alert) => alert,
            other => panic!("{other:?}"),
        });
        alerts.collect()
    }

    /// Waits for something that must happen.
    pub(crate) async fn until(&self, done: impl AsyncFn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_hours(1);
        while !done(self).await {
            assert!(Instant::now() < deadline, "it never happened");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
