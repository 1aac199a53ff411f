//! An engine that kills its own process at a chosen point.
//!
//! Points are counted as they are passed: the first run of a script counts them, later runs die at each.
//! Include it by `#[path = "support/kill_at.rs"] mod kill_at;`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use fullsend::bus::{
    Bus, BusError, ChannelInfo, Claimed, Claims, Commit, Entry, EntryId, GroupFound, Health, Key, LeaseFence, Listener,
    Op, Outcome, Outgoing, Range, Reader, Record, SharedBus, State, Want,
};
use fullsend::contracts::ChannelName;
use nix::sys::signal::{Signal, kill};
use tokio::sync::mpsc;

/// Counts the points that are passed, and dies at one of them.
#[derive(Debug, Default)]
pub(crate) struct Points {
    passed: AtomicU64,
    deadly: Option<u64>,
    by_name: Mutex<BTreeMap<String, u64>>,
}

impl Points {
    /// Dies when the point `deadly` (counted from 1) is reached; never without.
    pub(crate) fn new(deadly: Option<u64>) -> Self {
        Self { deadly, ..Self::default() }
    }

    /// A point is reached.
    pub(crate) fn pass(&self, name: &str) {
        let number = self.passed.fetch_add(1, Ordering::SeqCst) + 1;
        if self.deadly == Some(number) {
            eprintln!("killed at point {number}: {name}");
            let _ = kill(nix::unistd::getpid(), Signal::SIGKILL);
            // The signal has no more to wait for than the return into this thread.
            loop {
                std::thread::park();
            }
        }
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        *by_name.entry(name.to_owned()).or_default() += 1;
    }

    /// How often each kind of point was passed.
    pub(crate) fn by_name(&self) -> BTreeMap<String, u64> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The wrapper. What counts: commits and appends, before and after; claims that gave something; leases that were got.
pub(crate) struct KillAt {
    pub(crate) inner: SharedBus,
    pub(crate) points: Arc<Points>,
}

impl KillAt {
    fn claimed(&self, how: &str, some: bool) {
        if some {
            self.points.pass(how);
        }
    }
}

#[async_trait]
impl Bus for KillAt {
    fn engine(&self) -> &'static str {
        self.inner.engine()
    }

    async fn commit(&self, units: Vec<Commit>) -> Result<Vec<Outcome>, BusError> {
        let appends = units.iter().flat_map(|unit| &unit.ops).any(|op| matches!(op, Op::Append(_)));
        let starts = units.iter().flat_map(|unit| &unit.ops).any(|op| matches!(op, Op::Start { .. }));
        let kind = match (appends, starts) {
            (true, _) => "append",
            (false, true) => "start",
            (false, false) => "commit",
        };
        self.points.pass(&format!("before {kind}"));
        let outcomes = self.inner.commit(units).await;
        self.points.pass(&format!("after {kind}"));
        outcomes
    }

    async fn notify(&self, notice: Outgoing) -> Result<(), BusError> {
        self.inner.notify(notice).await
    }

    async fn ensure_group(&self, channel: ChannelName, group: &str) -> Result<GroupFound, BusError> {
        self.points.pass("before group");
        let found = self.inner.ensure_group(channel, group).await;
        self.points.pass("after group");
        found
    }

    async fn read(
        &self,
        reader: &Reader,
        channels: &[ChannelName],
        want: Want,
        patience: Duration,
    ) -> Result<Vec<Claimed>, BusError> {
        let given = self.inner.read(reader, channels, want, patience).await;
        self.claimed("after read", given.as_ref().is_ok_and(|given| !given.is_empty()));
        given
    }

    async fn own_pending(&self, reader: &Reader, channels: &[ChannelName], limit: usize) -> Result<Claims, BusError> {
        let claims = self.inner.own_pending(reader, channels, limit).await;
        self.claimed("after own_pending", true);
        claims
    }

    async fn extend(
        &self,
        reader: &Reader,
        held: &[(ChannelName, EntryId)],
    ) -> Result<Vec<(ChannelName, EntryId)>, BusError> {
        self.inner.extend(reader, held).await
    }

    async fn claim_stale(
        &self,
        reader: &Reader,
        channels: &[ChannelName],
        idle: Duration,
        limit: usize,
    ) -> Result<Claims, BusError> {
        let claims = self.inner.claim_stale(reader, channels, idle, limit).await;
        self.claimed("after claim_stale", claims.as_ref().is_ok_and(|claims| !claims.claimed.is_empty()));
        claims
    }

    async fn release(&self, reader: &Reader, held: &[(ChannelName, EntryId)]) -> Result<(), BusError> {
        self.points.pass("before release");
        self.inner.release(reader, held).await
    }

    async fn range(&self, channel: ChannelName, range: Range) -> Result<Vec<Entry>, BusError> {
        self.inner.range(channel, range).await
    }

    async fn newest(&self, channels: &[ChannelName]) -> Result<Vec<(ChannelName, Option<EntryId>)>, BusError> {
        self.inner.newest(channels).await
    }

    async fn watch(
        &self,
        cursors: &[(ChannelName, EntryId)],
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<Entry>, BusError> {
        self.inner.watch(cursors, limit, wait).await
    }

    async fn listen(&self, channels: &[ChannelName]) -> Result<Listener, BusError> {
        self.inner.listen(channels).await
    }

    async fn get(&self, key: &Key) -> Result<Option<State>, BusError> {
        self.inner.get(key).await
    }

    async fn scan(
        &self,
        prefix: &str,
        cursor: Option<String>,
        limit: usize,
    ) -> Result<(Vec<Key>, Option<String>), BusError> {
        self.inner.scan(prefix, cursor, limit).await
    }

    async fn lease(&self, name: &str, owner: &str, ttl: Duration) -> Result<Option<LeaseFence>, BusError> {
        self.inner.lease(name, owner, ttl).await
    }

    async fn unlease(&self, name: &str, owner: &str) -> Result<(), BusError> {
        self.points.pass("before unlease");
        self.inner.unlease(name, owner).await
    }

    async fn fire_timers(&self, now: DateTime<Utc>, limit: usize, under: &LeaseFence) -> Result<usize, BusError> {
        self.inner.fire_timers(now, limit, under).await
    }

    async fn next_timer(&self) -> Result<Option<DateTime<Utc>>, BusError> {
        self.inner.next_timer().await
    }

    async fn trim(&self, channel: ChannelName, older_than: DateTime<Utc>, keep: u64) -> Result<u64, BusError> {
        self.inner.trim(channel, older_than, keep).await
    }

    async fn inspect(&self, channel: ChannelName) -> Result<ChannelInfo, BusError> {
        self.inner.inspect(channel).await
    }

    async fn drop_group(&self, channel: ChannelName, group: &str) -> Result<bool, BusError> {
        self.inner.drop_group(channel, group).await
    }

    async fn health(&self) -> Result<Health, BusError> {
        self.inner.health().await
    }

    async fn export(&self, sink: mpsc::Sender<Record>) -> Result<(), BusError> {
        self.inner.export(sink).await
    }

    async fn import(&self, source: mpsc::Receiver<Record>) -> Result<u64, BusError> {
        self.inner.import(source).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
