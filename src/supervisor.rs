//! The supervisor: starts the services, watches them, starts them again, and stops them in order.
//!
//! Owns restarts (1 s doubling to 60 s, from the beginning after 5 minutes of health), the end of what stands still, heartbeats and
//! states on `fullsend:health`, and the shutdown with its deadline. Must never know what a service does, and never say that one is
//! alive whose loop does not turn.

mod service;
#[cfg(test)]
mod tests;

pub use service::{ConsumerService, LeasedAt, LeasedService, Phase, Service};

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use color_eyre::Report;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bus::backoff::Backoff;
use crate::bus::{Origin, SharedBus};
use crate::contracts::channel::grants;
use crate::contracts::messages::{Health, Heartbeat, RunState, ServiceState};
use crate::contracts::wiring::HEALTH;
use crate::contracts::{Body, Clock, Ids, Trust};

/// The first delay before a restart; it doubles.
const RESTART_BASE: Duration = Duration::from_secs(1);
/// The longest delay.
const RESTART_CAP: Duration = Duration::from_mins(1);
/// After this long without failing, delays start from the beginning.
const HEALTHY_AFTER: Duration = Duration::from_mins(5);
/// How often each service is looked at, and says that it is alive.
pub const HEARTBEAT: Duration = Duration::from_secs(5);
/// A service that did not move from one look to the next for this many times is stopped and started again (a minute). Looks are
/// counted, not time, so that a machine that slept does not make it seem to have stood still.
const STALLED_AFTER: u32 = 12;
/// The services get this long to finish beyond what each grants its own handlers; then they are stopped.
const STOP_MARGIN: Duration = Duration::from_secs(2);

/// Runs services until it is told to stop.
pub struct Supervisor {
    bus: SharedBus,
    clock: Arc<dyn Clock>,
    ids: Arc<Ids>,
    instance: String,
    drain: Duration,
    services: Vec<Arc<dyn Service>>,
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervisor").field("instance", &self.instance).finish_non_exhaustive()
    }
}

/// How the services ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Those that did not finish in time and were stopped.
    pub stopped: Vec<String>,
}

impl Supervisor {
    /// A supervisor; `instance` names this process (`host/pid`), `drain` is what handlers get to finish.
    pub fn new(bus: SharedBus, clock: Arc<dyn Clock>, ids: Arc<Ids>, instance: String, drain: Duration) -> Self {
        Self { bus, clock, ids, instance, drain, services: Vec::new() }
    }

    /// Adds a service.
    pub fn add(&mut self, service: impl Service) {
        self.services.push(Arc::new(service));
    }

    /// The names of its services.
    pub fn names(&self) -> Vec<&'static str> {
        self.services.iter().map(|service| service.name()).collect()
    }

    /// Runs all services until `stop` is cancelled, then stops them phase by phase: first what brings work in, then what handles
    /// it, then what serves both. Returns when all have ended, at the latest when the deadline of a phase has passed.
    pub async fn run(&self, stop: CancellationToken) -> Ended {
        let mut phases: Vec<(Phase, CancellationToken, JoinSet<&'static str>)> =
            Phase::IN_ORDER.iter().map(|phase| (*phase, CancellationToken::new(), JoinSet::new())).collect();
        for service in &self.services {
            if let Some((_, token, tasks)) = phases.iter_mut().find(|(phase, ..)| *phase == service.phase()) {
                let watch = Watch { supervisor: self.parts(), service: Arc::clone(service), restarts: 0 };
                let (name, token) = (service.name(), token.clone());
                tasks.spawn(async move {
                    watch.keep_running(token).await;
                    name
                });
            }
        }
        stop.cancelled().await;
        let mut stopped = Vec::new();
        for (phase, token, mut tasks) in phases {
            token.cancel();
            let deadline = Instant::now() + self.drain + STOP_MARGIN;
            let mut finished = Vec::new();
            let all_ended = tokio::time::timeout_at(deadline, async {
                while let Some(ended) = tasks.join_next().await {
                    finished.extend(ended.ok());
                }
            })
            .await;
            if all_ended.is_err() {
                tracing::error!(?phase, "services did not finish in time; stopping them");
                stopped.extend(
                    self.services
                        .iter()
                        .filter(|service| service.phase() == phase && !finished.contains(&service.name()))
                        .map(|service| service.name().to_owned()),
                );
                tasks.shutdown().await;
            }
        }
        Ended { stopped }
    }

    fn parts(&self) -> Parts {
        Parts {
            bus: Arc::clone(&self.bus),
            origin: Origin::new(Arc::clone(&self.clock), Arc::clone(&self.ids), Trust::System),
            instance: self.instance.clone(),
        }
    }
}

#[derive(Clone)]
struct Parts {
    bus: SharedBus,
    origin: Origin,
    instance: String,
}

impl Parts {
    /// Says how a service is. A notice that cannot be said now is of no use later.
    async fn say(&self, body: Health) {
        let kind = body.type_name();
        match self.origin.compose::<grants::Supervisor, _>(HEALTH, body) {
            Ok(notice) => {
                if let Err(err) = self.bus.notify(notice).await {
                    tracing::debug!(%err, kind, "a notice was not said");
                }
            }
            Err(err) => tracing::warn!(%err, kind, "a notice could not be composed"),
        }
    }
}

/// Why a service came to an end.
fn why(ended: Option<Result<Result<(), Report>, JoinError>>) -> String {
    match ended {
        Some(Ok(Ok(()))) | None => "it ended by itself".to_owned(),
        Some(Ok(Err(err))) => format!("{err:#}"),
        Some(Err(err)) if err.is_panic() => "it panicked; the log has the report".to_owned(),
        Some(Err(err)) => err.to_string(),
    }
}

struct Watch {
    supervisor: Parts,
    service: Arc<dyn Service>,
    restarts: u32,
}

impl Watch {
    async fn keep_running(mut self, stop: CancellationToken) {
        let mut backoff = Backoff::new(RESTART_BASE, RESTART_CAP, fastrand::Rng::new());
        loop {
            self.state(RunState::Running, None).await;
            let began = Instant::now();
            let reason = self.run_once(&stop).await;
            if stop.is_cancelled() {
                self.state(RunState::Stopped, None).await;
                return;
            }
            if began.elapsed() >= HEALTHY_AFTER {
                backoff.reset();
            }
            let delay = backoff.range();
            backoff.next_delay();
            self.restarts += 1;
            tracing::error!(service = self.service.name(), %reason, ?delay, restarts = self.restarts, "a service failed; it is started again");
            self.state(RunState::Restarting, Some(reason)).await;
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(delay) => {}
            }
            if stop.is_cancelled() {
                self.state(RunState::Stopped, None).await;
                return;
            }
        }
    }

    /// Runs the service until it ends, or stands still and is stopped; returns why.
    async fn run_once(&self, stop: &CancellationToken) -> String {
        let mut trouble = self.service.counts().trouble.subscribe();
        // A task of its own, so that a panic ends the service and nothing else.
        let service = Arc::clone(&self.service);
        let token = stop.clone();
        let mut task = JoinSet::new();
        task.spawn(async move { service.run(token).await });
        tokio::select! {
            biased;
            ended = task.join_next() => return why(ended),
            () = self.beat_until_stalled(stop) => {}
            never = self.tell_trouble(&mut trouble, stop) => match never {},
        }
        let seconds = (HEARTBEAT * STALLED_AFTER).as_secs();
        let reason = format!("it has stood still for {seconds} s and was stopped");
        tracing::error!(service = self.service.name(), seconds, "a service stands still; it is stopped");
        task.abort_all();
        if tokio::time::timeout(STOP_MARGIN, task.join_next()).await.is_err() {
            let blocked = format!("{reason}, and has to wait: it blocks its thread");
            self.state(RunState::Restarting, Some(blocked)).await;
            // Nothing is started beside it. The supervisor's own end has a deadline.
            task.join_next().await;
        }
        reason
    }

    /// Says what the service cannot do while it runs, whenever that changes.
    async fn tell_trouble(
        &self,
        trouble: &mut watch::Receiver<Option<String>>,
        stop: &CancellationToken,
    ) -> Infallible {
        while trouble.changed().await.is_ok() {
            let reason = trouble.borrow_and_update().clone();
            if !stop.is_cancelled() {
                self.state(RunState::Running, reason).await;
            }
        }
        // Whoever could have told is gone.
        std::future::pending().await
    }

    /// Says every few seconds that the service is alive, for as long as it moves and is not asked to stop.
    async fn beat_until_stalled(&self, stop: &CancellationToken) {
        let counts = self.service.counts();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut tick = tokio::time::interval(HEARTBEAT);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut seen, mut still) = (None, 0);
        while still < STALLED_AFTER {
            tokio::select! {
                () = stop.cancelled() => std::future::pending().await,
                _ = tick.tick() => {}
            }
            let turns = read(&counts.turns);
            still = if seen.replace(turns) == Some(turns) { still + 1 } else { 0 };
            let body = Heartbeat {
                service: self.service.name().to_owned(),
                instance: self.supervisor.instance.clone(),
                handled: read(&counts.handled),
                failed: read(&counts.failed),
                holding: u32::try_from(read(&counts.holding)).unwrap_or(u32::MAX),
                still_s: HEARTBEAT.as_secs() * u64::from(still),
            };
            self.supervisor.say(body.into()).await;
        }
    }

    async fn state(&self, state: RunState, reason: Option<String>) {
        tracing::info!(service = self.service.name(), ?state, reason, "service state");
        let body = ServiceState {
            service: self.service.name().to_owned(),
            instance: self.supervisor.instance.clone(),
            state,
            reason,
            restarts: self.restarts,
        };
        self.supervisor.say(body.into()).await;
    }
}
