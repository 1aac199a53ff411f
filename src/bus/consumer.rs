//! The consumer loop: reads a group's messages, runs a handler on each, and commits the effects with the acknowledgement.
//!
//! Owns slots (consumer names as leases), the window of messages read ahead, attempts, time-outs, retries, dead letters and the
//! takeover of stale work. A crash at any point repeats a handler, never its effects. Must never acknowledge anything apart from
//! the effects that it caused, and never let one message stop the others.

mod run;
mod slot;
#[cfg(test)]
mod tests;
mod window;

pub use run::{DATA_LOST, in_handler};

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::effects::{Draft, Effects, Origin};
use super::{BusError, Entry, EntryId, SharedBus};
use crate::contracts::{Body, Channel, ChannelName, Clock, Envelope, Grant, Ids, Says, ShapeError, Trust};

/// A message as a handler gets it.
#[derive(Debug, Clone)]
pub struct Received {
    /// As it is stored.
    pub entry: Entry,
    /// Its envelope.
    pub envelope: Envelope,
    /// How many times a handler was started on it, this time included.
    pub attempt: u32,
}

impl Received {
    /// Reads the body as what its channel carries. Pass the error on: it becomes a dead letter with the offending path.
    ///
    /// # Errors
    /// As [`Body::read`].
    pub fn read<M: Body>(&self) -> Result<M, ShapeError> {
        M::read(&self.entry.b)
    }
}

/// Why a handler did not succeed.
#[derive(Debug, Error)]
pub enum Failure {
    /// Another attempt may succeed.
    #[error("{reason:#}")]
    Retry {
        /// What happened.
        reason: color_eyre::Report,
        /// Not before this has passed (a server's Retry-After).
        after: Option<Duration>,
    },
    /// No attempt can succeed.
    #[error("{0:#}")]
    Terminal(color_eyre::Report),
    /// The message is not what its channel carries.
    #[error(transparent)]
    Malformed(#[from] ShapeError),
}

impl From<color_eyre::Report> for Failure {
    fn from(reason: color_eyre::Report) -> Self {
        Self::Retry { reason, after: None }
    }
}

impl From<BusError> for Failure {
    fn from(err: BusError) -> Self {
        Self::Retry { reason: err.into(), after: None }
    }
}

/// Handles the messages of some channels, for one group.
pub trait Handler: Send + Sync + 'static {
    /// In whose name it speaks.
    type Grant: Grant;

    /// The channels it reads.
    fn channels(&self) -> &[ChannelName];

    /// How many messages it handles at the same time. With 1, a channel's messages are handled in order.
    fn slots(&self) -> usize {
        1
    }

    /// How long an attempt may take; none for what the options say.
    fn time_limit(&self) -> Option<Duration> {
        None
    }

    /// Whether it starts nothing while everything is on hold (`fullsend:status`); what runs comes to its end.
    fn heeds_hold(&self) -> bool {
        false
    }

    /// How many messages it takes together, at most. With more than one they come to [`Handler::handle_together`], in their order
    /// and without regard to priority; and its slots are one.
    fn together(&self) -> usize {
        1
    }

    /// Handles one message: nothing but the returned effects may change anything that others see.
    fn handle(
        &self,
        message: Received,
        cx: Context<Self::Grant>,
    ) -> impl Future<Output = Result<Effects<Self::Grant>, Failure>> + Send;

    /// Handles several messages as one: their effects are committed with all their acknowledgements, or none of it. Where it fails,
    /// or the commit is refused, each of them is handled by itself.
    fn handle_together(
        &self,
        _messages: Vec<Received>,
        _cx: Context<Self::Grant>,
    ) -> impl Future<Output = Result<Together<Self::Grant>, Failure>> + Send {
        async { Err(Failure::from(color_eyre::eyre::eyre!("it handles one message at a time"))) }
    }
}

/// What came of several messages.
#[derive(Debug)]
pub struct Together<G> {
    /// The effects of those that are not refused.
    pub effects: Effects<G>,
    /// Those that failed, each by itself: tried again or given up as its failure says, without the others.
    pub refused: Vec<(ChannelName, EntryId, Failure)>,
}

impl<G> From<Effects<G>> for Together<G> {
    fn from(effects: Effects<G>) -> Self {
        Self { effects, refused: Vec::new() }
    }
}

/// What a handler has besides its message.
#[derive(Debug)]
pub struct Context<G> {
    bus: BusRef,
    origin: Origin,
    consumer: Arc<str>,
    stop: CancellationToken,
    speaks_as: PhantomData<fn() -> G>,
}

/// Keeps `Debug` off the engine.
struct BusRef(SharedBus);

impl std::fmt::Debug for BusRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.engine())
    }
}

impl<G: Grant> Context<G> {
    /// No effects yet; everything said in them is caused by the message.
    pub fn effects(&self) -> Effects<G> {
        Effects::new(self.origin.clone())
    }

    /// What is said because of the message: for somebody who composes envelopes himself.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The time.
    pub fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.origin.now()
    }

    /// Says a notice now: for viewers, lost if nobody looks.
    ///
    /// # Errors
    /// Where the body is too large, or the bus cannot be reached.
    pub async fn notice<M: Body>(&self, channel: Channel<M>, draft: impl Into<Draft<M>> + Send) -> Result<(), Failure>
    where
        G: Says<M>,
    {
        let notice = self.origin.compose::<G, M>(channel, draft)?;
        Ok(self.bus.0.notify(notice).await?)
    }

    /// Reads state and history. What it may change, it changes by its effects.
    pub fn bus(&self) -> &SharedBus {
        &self.bus.0
    }

    /// The consumer that handles the message: `service@host#slot`.
    pub fn consumer(&self) -> &str {
        &self.consumer
    }

    /// Cancelled when the service is asked to stop: long work should come to an end.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }
}

/// How a consumer works. The defaults are those of the settings `consumer.*`.
#[derive(Debug, Clone)]
pub struct ConsumerOptions {
    /// Messages held beyond those being handled.
    pub window: usize,
    /// A message whose holder was silent for this long is taken over.
    pub stale_after: Duration,
    /// How often held messages are kept alive, and stale ones looked for. Well below `stale_after`.
    pub heartbeat: Duration,
    /// Attempts before a message becomes a dead letter.
    pub max_attempts: u32,
    /// How long an attempt may take, unless the handler says otherwise.
    pub handler_timeout: Duration,
    /// How long the handlers get to finish when the consumer is asked to stop.
    pub drain: Duration,
    /// The host in the consumer's name.
    pub host: String,
    /// Where the jitter of retries comes from; none for the machine's own chance.
    pub seed: Option<u64>,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self {
            window: 32,
            stale_after: Duration::from_secs(2),
            heartbeat: Duration::from_millis(500),
            max_attempts: 5,
            handler_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(10),
            host: "localhost".to_owned(),
            seed: None,
        }
    }
}

/// Counts of a consumer since it was made; shared with whoever watches it.
#[derive(Debug, Default)]
pub struct Counts {
    /// Messages handled and committed.
    pub handled: AtomicU64,
    /// Attempts that failed, panicked or took too long.
    pub failed: AtomicU64,
    /// Messages given up as dead letters.
    pub dead: AtomicU64,
    /// Effects dropped because somebody else was first.
    pub lost_races: AtomicU64,
    /// Messages held now.
    pub holding: AtomicU64,
    /// Turns of its loop, idle ones too: whoever watches sees by them that it moves.
    pub turns: AtomicU64,
    /// What it cannot do at the moment, while it does the rest; none where all is well.
    pub trouble: watch::Sender<Option<String>>,
}

impl Counts {
    /// The loop has come round.
    pub fn turned(&self) {
        Self::up(&self.turns);
    }

    fn up(counter: &AtomicU64) {
        Self::up_by(counter, 1);
    }

    fn up_by(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// One consumer of one group.
pub struct Consumer<H: Handler> {
    bus: SharedBus,
    handler: Arc<H>,
    group: &'static str,
    options: ConsumerOptions,
    clock: Arc<dyn Clock>,
    ids: Arc<Ids>,
    counts: Arc<Counts>,
}

impl<H: Handler> std::fmt::Debug for Consumer<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer").field("group", &self.group).field("options", &self.options).finish_non_exhaustive()
    }
}

impl<H: Handler> Consumer<H> {
    /// A consumer for the group named as the handler's service.
    pub fn new(bus: SharedBus, handler: H, options: ConsumerOptions, clock: Arc<dyn Clock>, ids: Arc<Ids>) -> Self {
        Self {
            bus,
            handler: Arc::new(handler),
            group: H::Grant::SERVICE.as_str(),
            options,
            clock,
            ids,
            counts: Arc::default(),
        }
    }

    /// Its counts.
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// Handles messages until `stop` is cancelled; then lets running handlers finish, and hands back what has not started.
    ///
    /// A bus that is away is waited for. Start it again after an error: nothing is lost.
    ///
    /// # Errors
    /// Where its slot was lost (the process stood still for too long), or the bus can never work as it is.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), BusError> {
        run::run(self, stop).await
    }

    fn origin(&self, trust: Trust) -> Origin {
        Origin::new(Arc::clone(&self.clock), Arc::clone(&self.ids), trust)
    }
}
