//! What can be supervised: consumers of a group, and singletons under a lease.

use std::sync::Arc;

use color_eyre::Report;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::bus::consumer::Counts;
use crate::bus::leased::{self, Singleton, hold};
use crate::bus::{Consumer, Handler, SharedBus};
use crate::contracts::{Clock, Grant, Ids};

/// When a service is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It brings work in: stopped first.
    Intake,
    /// It handles work.
    Work,
    /// It serves the others: stopped last.
    Housekeeping,
}

impl Phase {
    /// The order of stopping.
    pub const IN_ORDER: [Self; 3] = [Self::Intake, Self::Work, Self::Housekeeping];
}

/// Something that runs until it is told to stop, and can be started again after it failed.
pub trait Service: Send + Sync + 'static {
    /// Its name on the screen, in `--only` and in logs.
    fn name(&self) -> &'static str;

    /// When it is stopped.
    fn phase(&self) -> Phase;

    /// Its counts. Its turns go up for as long as it moves, also where there is nothing to do or the bus is away.
    fn counts(&self) -> Arc<Counts>;

    /// Runs until `stop` is cancelled.
    fn run(&self, stop: CancellationToken) -> BoxFuture<'_, Result<(), Report>>;
}

/// A handler with its consumer loop.
#[derive(Debug)]
pub struct ConsumerService<H: Handler> {
    consumer: Consumer<H>,
}

impl<H: Handler> ConsumerService<H> {
    /// Supervises this consumer, under the name of its service.
    pub fn new(consumer: Consumer<H>) -> Self {
        Self { consumer }
    }
}

impl<H: Handler> Service for ConsumerService<H> {
    fn name(&self) -> &'static str {
        H::Grant::SERVICE.as_str()
    }

    fn phase(&self) -> Phase {
        Phase::Work
    }

    fn counts(&self) -> Arc<Counts> {
        self.consumer.counts()
    }

    fn run(&self, stop: CancellationToken) -> BoxFuture<'_, Result<(), Report>> {
        async move { Ok(self.consumer.run(stop).await?) }.boxed()
    }
}

/// A singleton: every process runs it, one of them holds the lease.
pub struct LeasedService<S> {
    singleton: S,
    phase: Phase,
    at: LeasedAt,
    counts: Arc<Counts>,
}

/// What holding a lease takes: the bus that it is on, what time it is, and ids for the name of the holder.
pub type LeasedAt = (SharedBus, Arc<dyn Clock>, Arc<Ids>);

impl<S: Singleton> LeasedService<S> {
    /// Supervises this work, under the name of its lease.
    pub fn new(singleton: S, phase: Phase, at: LeasedAt) -> Self {
        Self { singleton, phase, at, counts: Arc::default() }
    }
}

impl<S: Singleton> Service for LeasedService<S> {
    fn name(&self) -> &'static str {
        self.singleton.lease()
    }

    fn phase(&self) -> Phase {
        self.phase
    }

    fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    fn run(&self, stop: CancellationToken) -> BoxFuture<'_, Result<(), Report>> {
        let (bus, clock, ids) = &self.at;
        let held = hold(&self.singleton, bus, clock, ids, stop);
        leased::COUNTS.scope(self.counts(), held).map(|ended| Ok(ended?)).boxed()
    }
}

impl<S: Singleton> std::fmt::Debug for LeasedService<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LeasedService").field("lease", &self.singleton.lease()).finish_non_exhaustive()
    }
}
