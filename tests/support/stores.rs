//! How tests open a store of each engine, with several handles as several processes would have.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fullsend::bus::memory::MemoryBus;
use fullsend::bus::{EntryId, Key, SharedBus};
use fullsend::contracts::{ChannelName, Clock, ManualClock, SystemClock};

/// Opens stores of one engine.
#[async_trait]
pub(crate) trait Engine: Sync {
    /// A fresh, empty store that no other test sees.
    async fn open(&self) -> TestBus;
}

/// A store and three handles on it.
pub(crate) struct TestBus {
    pub(crate) a: SharedBus,
    pub(crate) b: SharedBus,
    pub(crate) c: SharedBus,
    /// None where the engine lives in real time.
    pub(crate) clock: Option<Arc<ManualClock>>,
    /// What somebody does to the store without asking us.
    pub(crate) by_hand: Box<dyn ByHand>,
}

impl TestBus {
    /// Lets time pass where a test can; elsewhere it passes by itself, so whoever calls this waits for what it wants to see.
    pub(crate) fn pass(&self, time: Duration) {
        if let Some(clock) = &self.clock {
            clock.advance(time);
        }
    }
}

/// What people and other programs do to a store behind our back.
#[async_trait]
pub(crate) trait ByHand: Send + Sync {
    /// Deletes a group.
    async fn delete_group(&self, channel: ChannelName, group: &str);

    /// Deletes an entry.
    async fn delete_entry(&self, channel: ChannelName, id: EntryId);

    /// Puts something of a type that no key of ours has under a key (`CHANNEL:stream` is a channel's). False: this engine has
    /// no such types.
    async fn set_foreign(&self, key: &Key) -> bool;

    /// Publishes a text without appending it. False: this engine has no pub/sub that others could use.
    async fn publish_bare(&self, channel: ChannelName, payload: &str) -> bool;
}

/// The engine in memory.
pub(crate) struct Memory;

struct MemoryByHand(MemoryBus);

#[async_trait]
impl Engine for Memory {
    async fn open(&self) -> TestBus {
        // Starts at the real time, so that times to live mean the same in an engine that the store is moved to.
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let bus = MemoryBus::new(Arc::<ManualClock>::clone(&clock));
        TestBus {
            a: Arc::new(bus.another()),
            b: Arc::new(bus.another()),
            c: Arc::new(bus.another()),
            clock: Some(clock),
            by_hand: Box::new(MemoryByHand(bus)),
        }
    }
}

#[async_trait]
impl ByHand for MemoryByHand {
    async fn delete_group(&self, channel: ChannelName, group: &str) {
        assert!(self.0.delete_group(channel, group));
    }

    async fn delete_entry(&self, channel: ChannelName, id: EntryId) {
        assert!(self.0.delete_entry(channel, id));
    }

    async fn set_foreign(&self, key: &Key) -> bool {
        self.0.set_foreign(key);
        true
    }

    async fn publish_bare(&self, channel: ChannelName, payload: &str) -> bool {
        self.0.publish_bare(channel, payload);
        true
    }
}
