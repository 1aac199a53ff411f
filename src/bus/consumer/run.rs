//! The loop itself: one task that owns all that a consumer holds. Here it reads and starts.

mod alive;
mod aside;
mod hold;
mod parked;
mod settle;

use std::collections::{HashSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use self::aside::Aside;
pub use self::aside::DATA_LOST;
use self::hold::OnHold;
use self::parked::MOST_PARKED;
use super::slot::Slot;
use super::window::{Held, HeldKey, Window};
use super::{BusRef, Consumer, Context, Failure, Handler, Received, Together};
use crate::bus::backoff::Backoff;
use crate::bus::{BusError, Claimed, Commit, Op, Origin, Outcome, PendingRef, Want, letters::Bell};
use crate::contracts::messages::DeadLetterCode;
use crate::contracts::{ChannelName, Grant, Trust};

/// A blocked read comes back after this long, so that a change of mind is never far.
const READ_WAIT: Duration = Duration::from_secs(1);
/// When every slot has been busy for this long, the window is filled so that priority can choose.
const READ_AHEAD_AFTER: Duration = Duration::from_millis(5);
/// Units of one commit call.
const MOST_UNITS: usize = 64;
/// Reruns after version conflicts before one counts as a failed attempt.
const MOST_RERUNS: u32 = 20;
/// A slot outlives this many missed stale periods of its holder.
const SLOT_LIFE: u32 = 3;

tokio::task_local! {
    /// Set while a handler runs: its panics are caught and counted, so the panic hook only logs them.
    static HANDLING: ();
}

/// Whether the current task is a handler, whose panic is caught and reported by its consumer.
pub fn in_handler() -> bool {
    HANDLING.try_with(|()| ()).is_ok()
}

/// A handler that came to an end, on one message or on several together.
struct Done<G> {
    held: Vec<Held>,
    reruns: u32,
    result: Result<Together<G>, Failure>,
}

/// A unit on its way to the bus, and what it settles.
struct Unit {
    commit: Commit,
    settles: Settles,
}

enum Settles {
    /// A handler's effects.
    Handled { held: Vec<Held>, reruns: u32 },
    /// The message goes to the dead letters; `again` if that was refused before.
    Dead { again: bool },
    /// The claim record counts an attempt that starts as soon as this is committed.
    Start { held: Box<Held> },
    /// The claim record forgets a start that did not happen.
    Unstart,
}

impl Settles {
    fn is_again(&self) -> bool {
        matches!(self, Self::Dead { again: true })
    }
}

/// A read under way, and what it asked for.
struct Reading {
    want: Want,
    answer: BoxFuture<'static, Result<Vec<Claimed>, BusError>>,
}

/// A commit under way, and what its units settle.
struct Committing {
    units: Vec<Unit>,
    answer: BoxFuture<'static, Result<Vec<Outcome>, BusError>>,
}

struct Loop<'a, H: Handler> {
    consumer: &'a Consumer<H>,
    slot: Slot,
    /// Those that are read.
    channels: Vec<ChannelName>,
    aside: Vec<Aside>,
    /// Those whose group was seen here.
    served: HashSet<ChannelName>,
    slots: usize,
    /// How many its handler takes together.
    together: usize,
    hold: OnHold,
    window: Window,
    delayed: Vec<(Instant, Held, u32)>,
    running: JoinSet<Done<H::Grant>>,
    running_keys: HashSet<HeldKey>,
    units: Vec<Unit>,
    committing: Option<Committing>,
    /// Dead letters that were refused, the one to try next first; when that is; why, and whether it was said.
    parked: VecDeque<Unit>,
    parked_until: Instant,
    parked_backoff: Backoff,
    park_reason: Option<(String, bool)>,
    bell: Bell,
    /// So many commits carry one unit each, because one of them was refused together with others.
    singly: usize,
    reading: Option<Reading>,
    more: bool,
    full_since: Option<Instant>,
    quiet_until: Option<Instant>,
    /// The time of this turn: taken once, so that nothing falls between two looks at the clock.
    now: Instant,
    backoff: Backoff,
    rng: fastrand::Rng,
    stop: CancellationToken,
}

pub(super) async fn run<H: Handler>(consumer: &Consumer<H>, stop: CancellationToken) -> Result<(), BusError> {
    let Some(mut work) = Loop::start(consumer, stop.clone()).await? else {
        return Ok(());
    };
    let result = work.turn_until_stopped().await;
    let ended = work.wind_down().await;
    result.and(ended)
}

impl<'a, H: Handler> Loop<'a, H> {
    /// Takes a slot and what is pending under its name; none where it was stopped before the bus came.
    async fn start(consumer: &'a Consumer<H>, stop: CancellationToken) -> Result<Option<Self>, BusError> {
        let rng = consumer.options.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let mut backoff = Backoff::quick();
        loop {
            let err = match Self::try_start(consumer, &stop, rng.clone()).await {
                Ok(work) => return Ok(Some(work)),
                Err(err) if err.is_passing() => err,
                Err(err) => return Err(err),
            };
            tracing::warn!(group = consumer.group, %err, "the consumer cannot start yet");
            consumer.counts.turned();
            tokio::select! {
                () = stop.cancelled() => return Ok(None),
                () = tokio::time::sleep(backoff.next_delay()) => {}
            }
        }
    }

    async fn try_start(
        consumer: &'a Consumer<H>,
        stop: &CancellationToken,
        rng: fastrand::Rng,
    ) -> Result<Self, BusError> {
        let options = &consumer.options;
        let hold = OnHold::new(&consumer.bus, consumer.handler.heeds_hold()).await?;
        let slot = take_slot(consumer).await?;
        let mut rng = rng;
        let mut work = Self {
            consumer,
            slot,
            channels: consumer.handler.channels().to_vec(),
            aside: Vec::new(),
            served: HashSet::new(),
            slots: if consumer.handler.together() > 1 { 1 } else { consumer.handler.slots().max(1) },
            together: consumer.handler.together().max(1),
            hold,
            window: Window::default(),
            delayed: Vec::new(),
            running: JoinSet::new(),
            running_keys: HashSet::new(),
            units: Vec::new(),
            committing: None,
            parked: VecDeque::new(),
            parked_until: Instant::now(),
            parked_backoff: aside::patient(&mut rng),
            park_reason: None,
            bell: Bell::default(),
            singly: 0,
            reading: None,
            more: true,
            full_since: None,
            quiet_until: None,
            now: Instant::now(),
            backoff: Backoff::quick(),
            rng,
            stop: stop.clone(),
        };
        if let Err(err) = work.take_own(options.window).await {
            // It is tried again from the beginning, with a slot of its own.
            work.slot.give_up(&consumer.bus).await.ok();
            return Err(err);
        }
        Ok(work)
    }

    async fn take_own(&mut self, limit: usize) -> Result<(), BusError> {
        self.ensure_groups().await?;
        let claims = self.consumer.bus.own_pending(&self.slot.reader, &self.channels, limit).await?;
        self.take_claims(claims).await;
        Ok(())
    }

    async fn turn_until_stopped(&mut self) -> Result<(), BusError> {
        let options = &self.consumer.options;
        let mut heartbeat = tokio::time::interval(options.heartbeat);
        heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.now = Instant::now();
            self.quiet_until = self.quiet_until.filter(|until| *until > self.now);
            self.start_due();
            self.unpark_due();
            self.push_out();
            self.start_reading();
            self.consumer.counts.holding.store(self.held_count() as u64, Ordering::Relaxed);
            self.consumer.counts.turned();
            self.tell_trouble();
            let wake = self.next_wake();
            let stop = self.stop.clone();
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                _ = heartbeat.tick() => {
                    self.beat().await?;
                    // A beat that took long must not be followed by the next at once: the others have their turn first.
                    heartbeat.reset();
                }
                Some(done) = self.running.join_next() => {
                    self.settle(done);
                    while let Some(done) = self.running.try_join_next() {
                        self.settle(done);
                    }
                }
                // Before the read: what is committed is on its way first.
                answer = next_answer(&mut self.committing) => self.take_answer(answer).await?,
                read = next_read(&mut self.reading) => self.take_read(read).await?,
                () = self.hold.next() => {}
                () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
        }
    }

    fn held_count(&self) -> usize {
        let committing = self.committing.as_ref().map_or(0, |committing| committing.units.len());
        self.window.len() + self.delayed.len() + self.running.len() + self.units.len() + committing + self.parked.len()
    }

    /// Everything that is held: waiting, running, to be retried, and on its way to the bus.
    fn held_keys(&self) -> HashSet<HeldKey> {
        let delayed = self.delayed.iter().map(|(_, held, _)| held.key());
        let parked = self.parked.iter().filter_map(parked::key);
        self.busy_keys().chain(self.window.keys()).chain(delayed).chain(parked).collect()
    }

    /// What runs, and what is on its way to the bus.
    fn busy_keys(&self) -> impl Iterator<Item = HeldKey> + '_ {
        let committing = self.committing.iter().flat_map(|committing| &committing.units);
        let units = self.units.iter().chain(committing).flat_map(|unit| {
            let starting = if let Settles::Start { held } = &unit.settles { Some(held.key()) } else { None };
            let settled = unit.commit.acknowledge.iter().map(|pending| (pending.channel, pending.entry));
            settled.chain(starting)
        });
        self.running_keys.iter().copied().chain(units)
    }

    /// Slots that neither run nor are about to.
    fn free_slots(&self) -> usize {
        let committing = self.committing.iter().flat_map(|committing| &committing.units);
        // With one slot messages are handled in order, so that one is not done before its effects are there.
        let taken = self.units.iter().chain(committing).filter(|unit| match unit.settles {
            Settles::Start { .. } => true,
            Settles::Handled { .. } => self.slots == 1,
            Settles::Dead { .. } | Settles::Unstart => false,
        });
        self.slots.saturating_sub(self.running.len() + taken.count())
    }

    /// The next moment at which something is due by itself.
    fn next_wake(&self) -> Option<Instant> {
        // What is due already waits for a slot, and a handler that ends wakes the loop anyway.
        let retry = self.delayed.iter().map(|(due, ..)| *due).filter(|due| *due > self.now).min();
        let ahead = self.full_since.map(|since| since + READ_AHEAD_AFTER).filter(|due| *due > self.now);
        let parked = (!self.parked.is_empty()).then_some(self.parked_until).filter(|due| *due > self.now);
        [retry, ahead, parked, self.quiet_until].into_iter().flatten().min()
    }

    // ---- reading -------------------------------------------------------------------------------------------------------

    fn start_reading(&mut self) {
        self.full_since = if self.free_slots() == 0 { self.full_since.or(Some(self.now)) } else { None };
        let full = self.units.len() >= 2 * MOST_UNITS || self.parked.len() >= MOST_PARKED;
        if self.reading.is_some() || self.quiet_until.is_some() || full || self.hold.is_on() {
            return;
        }
        if self.together > 1 {
            self.start_reading_together();
            return;
        }
        let capacity = self.consumer.options.window;
        let start = self.free_slots().saturating_sub(self.window.len());
        let room = capacity.saturating_sub(self.window.len());
        let long_full = self.full_since.is_some_and(|since| self.now >= since + READ_AHEAD_AFTER);
        let (want, wait) = if start > 0 {
            // Read ahead only where a backlog meets busy slots: everything else is started at once, which needs no mark of its own.
            let busy = !self.running.is_empty() || self.slots < capacity / 2;
            (Want { start, ahead: if self.more && busy { room } else { 0 } }, READ_WAIT)
        } else if room > capacity / 2 && (self.more || long_full) {
            (Want { start: 0, ahead: room }, if self.more { Duration::ZERO } else { READ_WAIT })
        } else {
            return;
        };
        self.read_by(want, wait);
    }

    /// What is handled together is read when nothing else waits: those that came by themselves are handled so, and first.
    fn start_reading_together(&mut self) {
        if self.free_slots() > 0 && self.window.len() == 0 && self.delayed.is_empty() {
            self.read_by(Want { start: self.together, ahead: 0 }, READ_WAIT);
        }
    }

    fn read_by(&mut self, want: Want, wait: Duration) {
        let bus = Arc::clone(&self.consumer.bus);
        let (reader, channels) = (self.slot.reader.clone(), self.channels.clone());
        let read = async move { bus.read(&reader, &channels, want, wait).await };
        self.reading = Some(Reading { want, answer: read.boxed() });
    }

    async fn take_read(&mut self, read: Result<(Vec<Claimed>, Want), BusError>) -> Result<(), BusError> {
        match read {
            Ok((claimed, want)) => {
                self.backoff.reset();
                self.more = claimed.len() >= want.start.max(1);
                let now = self.consumer.clock.monotonic();
                let mut free = self.free_slots().saturating_sub(self.window.len()) * self.together;
                let mut together = Vec::new();
                for message in claimed {
                    let started = message.attempt > 0;
                    let mut held = Held::new(message, started, now);
                    if started && free > 0 && !self.hold.is_on() {
                        free -= 1;
                        if self.together > 1 {
                            together.push(held);
                        } else {
                            self.begin(held, 0);
                        }
                    } else {
                        if started {
                            // More came than there are slots (several channels at once), or a hold: this one has not started.
                            held.marked = false;
                            self.units.push(self.mark(&held, held.attempts, Settles::Unstart));
                        }
                        self.window.put(held);
                    }
                }
                self.begin_together(together, 0);
                Ok(())
            }
            Err(err) => self.bus_failed(&err, "read").await,
        }
    }

    /// What to do when the bus failed: nothing but wait, unless it can never work.
    async fn bus_failed(&mut self, err: &BusError, during: &'static str) -> Result<(), BusError> {
        if matches!(err, BusError::ForeignType { .. }) {
            return self.go_on_without(err).await;
        }
        if !err.is_passing() {
            return Err(err.clone());
        }
        tracing::warn!(group = self.consumer.group, %err, during, "the bus is not available");
        self.quiet_until = Some(Instant::now() + self.backoff.next_delay());
        if let BusError::NoGroup { channel, .. } = err {
            // One under way may have been answered while the group was still there: that is forgotten, too, and read again.
            if let Some(Reading { answer, .. }) = self.reading.take() {
                let _ = answer.await;
            }
            self.window.forget_channel(*channel);
            if let Err(err) = self.ensure_groups().await {
                tracing::warn!(group = self.consumer.group, %err, "the group cannot be made again yet");
            }
        }
        Ok(())
    }

    // ---- starting ------------------------------------------------------------------------------------------------------

    fn start_due(&mut self) {
        let mut later = Vec::with_capacity(self.delayed.len());
        for (due, held, reruns) in std::mem::take(&mut self.delayed) {
            if due > self.now || reruns > 0 && self.free_slots() == 0 {
                later.push((due, held, reruns));
            } else if reruns > 0 {
                // A rerun is no attempt: it needs no mark, only a slot, and it gets the next one.
                self.begin(held, reruns);
            } else {
                self.window.put(held);
            }
        }
        self.delayed = later;
    }

    /// Fills free slots from the window: each message gets its start marked, or its dead letter.
    fn pick(&mut self) {
        if self.hold.is_on() {
            return;
        }
        let now = self.consumer.clock.monotonic();
        while self.free_slots() > 0 && self.units.len() < MOST_UNITS {
            let Some(held) = self.window.next(now) else { break };
            if let Some((code, reason)) = self.unstartable(&held) {
                self.give_up(&held, code, reason);
            } else {
                let attempt = held.attempts + 1;
                let unit = self.mark(&held, attempt, Settles::Unstart);
                self.units.push(Unit { settles: Settles::Start { held: Box::new(held) }, ..unit });
            }
        }
    }

    fn unstartable(&self, held: &Held) -> Option<(DeadLetterCode, String)> {
        match &held.envelope {
            Err(err) => Some((DeadLetterCode::Malformed, err.to_string())),
            Ok(envelope) if envelope.expired(self.consumer.clock.now()) => Some((
                DeadLetterCode::Expired,
                "its time was over before it could be handled (`expires_at`)".to_owned(),
            )),
            Ok(_) if held.attempts >= self.consumer.options.max_attempts => Some((
                DeadLetterCode::Exhausted,
                format!(
                    "a handler was started on it {} times and never came to an end: the process died each time",
                    held.attempts
                ),
            )),
            Ok(_) => None,
        }
    }

    fn mark(&self, held: &Held, attempt: u32, settles: Settles) -> Unit {
        let (channel, entry) = held.key();
        let pending = PendingRef { channel, group: self.consumer.group.to_owned(), entry };
        let start = Op::Start { pending, consumer: self.slot.reader.consumer.clone(), attempt };
        Unit { commit: Commit::of(vec![start]), settles }
    }

    /// Starts the handler. The claim record already counts the attempt.
    fn begin(&mut self, mut held: Held, reruns: u32) {
        if let Some((code, reason)) = (reruns == 0).then(|| self.unstartable(&held)).flatten() {
            self.give_up(&held, code, reason);
            return;
        }
        if reruns == 0 {
            held.attempts += 1;
        }
        let Ok(envelope) = held.envelope.clone() else { return };
        self.running_keys.insert(held.key());
        let handler = Arc::clone(&self.consumer.handler);
        let limit = self.time_limit();
        let cx = self.context(self.consumer.origin(Trust::System).caused_by(&envelope));
        let span = tracing::info_span!(
            "handle",
            group = self.consumer.group,
            kind = %envelope.kind,
            trace = %envelope.trace,
            message = %envelope.id,
        );
        let message = Received { entry: held.claimed.entry.clone(), envelope, attempt: held.attempts };
        let work = async move {
            let result = attempt(async { handler.handle(message, cx).await.map(Together::from) }, limit).await;
            Done { held: vec![held], reruns, result }
        };
        self.work(work.instrument(span));
    }

    /// Starts the handler on several messages together. The claim records already count the attempt.
    fn begin_together(&mut self, all: Vec<Held>, reruns: u32) {
        let (mut held, mut messages) = (Vec::with_capacity(all.len()), Vec::with_capacity(all.len()));
        for mut one in all {
            if let Some((code, reason)) = (reruns == 0).then(|| self.unstartable(&one)).flatten() {
                self.give_up(&one, code, reason);
                continue;
            }
            let Ok(envelope) = one.envelope.clone() else { continue };
            one.attempts += u32::from(reruns == 0);
            self.running_keys.insert(one.key());
            messages.push(Received { entry: one.claimed.entry.clone(), envelope, attempt: one.attempts });
            held.push(one);
        }
        if held.is_empty() {
            return;
        }
        let handler = Arc::clone(&self.consumer.handler);
        let (limit, cx) = (self.time_limit(), self.context(self.consumer.origin(Trust::System)));
        let span = tracing::info_span!("handle", group = self.consumer.group, messages = held.len());
        let work = async move {
            let result = attempt(handler.handle_together(messages, cx), limit).await;
            Done { held, reruns, result }
        };
        self.work(work.instrument(span));
    }

    fn time_limit(&self) -> Duration {
        self.consumer.handler.time_limit().unwrap_or(self.consumer.options.handler_timeout)
    }

    fn context(&self, origin: Origin) -> Context<H::Grant> {
        Context {
            bus: BusRef(Arc::clone(&self.consumer.bus)),
            origin,
            consumer: Arc::from(self.slot.reader.consumer.as_str()),
            stop: self.stop.clone(),
            speaks_as: std::marker::PhantomData,
        }
    }

    /// Most handlers are done without waiting for anything: the first step is taken here, and only what waits gets a task.
    fn work(&mut self, work: impl Future<Output = Done<H::Grant>> + Send + 'static) {
        let mut work = Box::pin(work);
        match work.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(done) => self.settle(Ok(done)),
            Poll::Pending => {
                self.running.spawn(work);
            }
        }
    }
}

async fn take_slot<H: Handler>(consumer: &Consumer<H>) -> Result<Slot, BusError> {
    let owner = consumer.ids.next(consumer.clock.now()).to_string();
    let ttl = consumer.options.stale_after * SLOT_LIFE;
    Slot::take(&consumer.bus, consumer.group, &consumer.options.host, owner, ttl).await
}

/// One attempt of this service's: bounded in time, its panics caught.
async fn attempt<G: Grant>(
    work: impl Future<Output = Result<Together<G>, Failure>>,
    limit: Duration,
) -> Result<Together<G>, Failure> {
    let work = HANDLING.scope((), AssertUnwindSafe(work).catch_unwind());
    match tokio::time::timeout(limit, work).await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => {
            let text = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "without a text".to_owned());
            Err(color_eyre::eyre::eyre!("the handler of `{}` panicked: {text}", G::SERVICE).into())
        }
        Err(_) => Err(color_eyre::eyre::eyre!("the handler of `{}` took longer than {limit:?}", G::SERVICE).into()),
    }
}

/// The answer to the commit under way, if there is one.
async fn next_answer(committing: &mut Option<Committing>) -> Result<Vec<Outcome>, BusError> {
    match committing {
        Some(committing) => (&mut committing.answer).await,
        None => std::future::pending().await,
    }
}

/// The answer to the read under way, if there is one.
async fn next_read(reading: &mut Option<Reading>) -> Result<(Vec<Claimed>, Want), BusError> {
    let Some(Reading { want, answer }) = reading else { return std::future::pending().await };
    let want = *want;
    let result = answer.await;
    *reading = None;
    result.map(|claimed| (claimed, want))
}
