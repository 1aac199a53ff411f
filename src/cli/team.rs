//! The team: the services of this version, as the settings let them run in this process.
//!
//! Owns how each is made. Must never run them: that is the supervisor's, for whoever started it.

use std::convert::Infallible;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::{Context, open};
use crate::bus::bridge::Bridge;
use crate::bus::consumer::Counts;
use crate::bus::retention::{RetentionPolicy, Trimmer};
use crate::bus::timers::Timers;
use crate::bus::{Consumer, Handler, SharedBus};
use crate::config::{OutreachConfig, zone};
use crate::contracts::ServiceName;
use crate::llm::ledger::Sweeper;
use crate::memory::Memory;
use crate::services::echo::Echo;
use crate::services::executor::{Executor, ExecutorParts, Pacer, WorkFolders};
use crate::services::fullsend::Fullsend;
use crate::services::gate::{self, AuditCopy, Gate, Notifier};
use crate::services::mirror::Mirror;
use crate::services::orchestrator::Orchestrator;
use crate::services::redis_agent::{AgentOptions, RedisAgent, Summaries};
use crate::services::watcher::Watcher;
use crate::supervisor::{ConsumerService, LeasedService, Phase, Service, Supervisor};
use crate::tools::registry::shelf::Shelf;

/// The name of this process on the bus: host and process.
pub fn instance() -> String {
    format!("{}/{}", open::host(), std::process::id())
}

/// The services that the settings let run here, ready to be run.
///
/// # Errors
/// Where a prompt of the context folder cannot be used.
pub fn supervisor(cx: &Context, bus: &SharedBus) -> color_eyre::Result<Supervisor> {
    let drain = open::consumer_options(cx).drain;
    let mut supervisor =
        Supervisor::new(Arc::clone(bus), Arc::clone(&cx.clock), Arc::clone(&cx.ids), instance(), drain);
    let runs = |service| cx.config.services.runs(service);
    if runs(ServiceName::Echo) {
        supervisor.add(consumer(cx, bus, Echo::default()));
    }
    think(cx, bus, &mut supervisor)?;
    if runs(ServiceName::Gate) {
        let consumer = consumer(cx, bus, Gate::new(open::gate_options(cx)));
        let (bus, mode) = (Arc::clone(bus), cx.config.mode);
        let say = move || {
            let bus = Arc::clone(&bus);
            async move { gate::mode::keep_saying(&bus, mode).await }.boxed()
        };
        supervisor.add(Beside { consumer, beside: Box::new(say) });
    }
    if runs(ServiceName::RedisAgent) {
        let (cooldown, settle) = (cx.config.redis_agent.alert_cooldown, cx.config.redis_agent.settle);
        supervisor.add(consumer(cx, bus, RedisAgent::new(AgentOptions { cooldown, settle })));
    }
    if runs(ServiceName::Executor) {
        execute(cx, bus, &mut supervisor)?;
    }
    keep(cx, bus, &mut supervisor);
    Ok(supervisor)
}

/// Those who think.
fn think(cx: &Context, bus: &SharedBus, supervisor: &mut Supervisor) -> color_eyre::Result<()> {
    let runs = |service| cx.config.services.runs(service);
    if ![ServiceName::Watcher, ServiceName::Orchestrator, ServiceName::Fullsend].into_iter().any(runs) {
        return Ok(());
    }
    let mind = open::mind(cx, Some(bus))?;
    let memory = Arc::new(Memory::default());
    if runs(ServiceName::Watcher) {
        supervisor.add(consumer(cx, bus, Watcher::new(mind.clone(), Arc::clone(&memory), Arc::clone(&cx.clock))));
    }
    let thinking = cx.config.llm.thinking_timeout;
    if runs(ServiceName::Orchestrator) {
        supervisor.add(consumer(cx, bus, Orchestrator::new(mind.clone(), Arc::clone(&memory), thinking)));
    }
    if runs(ServiceName::Fullsend) {
        let folders = vec![cx.config.context.clone(), cx.config.home.clone()];
        supervisor.add(consumer(cx, bus, Fullsend::new(mind, memory, outreach(cx), folders, thinking)));
    }
    Ok(())
}

/// The settings of outreach, with what this machine knows.
fn outreach(cx: &Context) -> OutreachConfig {
    OutreachConfig { here: Some(zone::here()), ..cx.config.outreach.clone() }
}

/// Those who run experiments.
fn execute(cx: &Context, bus: &SharedBus, supervisor: &mut Supervisor) -> color_eyre::Result<()> {
    let settings = cx.config.executor.clone();
    let parts = ExecutorParts {
        tools: Arc::new(open::runner(cx)),
        mind: open::mind(cx, Some(bus))?,
        settings: settings.clone(),
        outreach: outreach(cx),
        max_attempts: cx.config.consumer.max_attempts,
    };
    let folders = Arc::new(WorkFolders {
        bus: Arc::clone(bus),
        folder: cx.config.work_folder(),
        age: settings.keep_work,
        runs: settings.keep_work_runs,
        clock: Arc::clone(&cx.clock),
    });
    let keep_house = move || {
        let folders = Arc::clone(&folders);
        async move { folders.keep().await }.boxed()
    };
    let consumer = consumer(cx, bus, Executor::new(parts));
    supervisor.add(Beside { consumer, beside: Box::new(keep_house) });
    let reads_answers = cx.config.outreach.reads_answers();
    let (clock, ids) = (Arc::clone(&cx.clock), Arc::clone(&cx.ids));
    let pacer = Pacer { bus: Arc::clone(bus), settings, reads_answers, clock, ids };
    let at = (Arc::clone(bus), Arc::clone(&cx.clock), Arc::clone(&cx.ids));
    supervisor.add(LeasedService::new(pacer, Phase::Housekeeping, at));
    Ok(())
}

/// Those who keep things in order, each one of a kind.
fn keep(cx: &Context, bus: &SharedBus, supervisor: &mut Supervisor) {
    let runs = |service| cx.config.services.runs(service);
    let (clock, ids) = (|| Arc::clone(&cx.clock), || Arc::clone(&cx.ids));
    let at = || (Arc::clone(bus), clock(), ids());
    // Nobody else can publish on the embedded engine, so there is nothing to bridge.
    if runs(ServiceName::Bridge) && bus.engine() == "redis" {
        let bridge = Bridge { bus: Arc::clone(bus), clock: clock(), ids: ids() };
        supervisor.add(LeasedService::new(bridge, Phase::Intake, at()));
    }
    if runs(ServiceName::Ledger) {
        let sweeper = Sweeper { ledger: open::ledger(cx, bus) };
        supervisor.add(LeasedService::new(sweeper, Phase::Housekeeping, at()));
    }
    if runs(ServiceName::Memory) {
        let (folder, record) = (cx.config.context.clone(), cx.config.home.join("mirror.json"));
        let mirror = Mirror { bus: Arc::clone(bus), folder, record, clock: clock(), ids: ids() };
        supervisor.add(LeasedService::new(mirror, Phase::Housekeeping, at()));
    }
    if runs(ServiceName::Gate) {
        let home = cx.config.home.clone();
        let copy = AuditCopy { bus: Arc::clone(bus), home, clock: clock(), ids: ids() };
        supervisor.add(LeasedService::new(copy, Phase::Housekeeping, at()));
        let command = cx.config.notify_command.clone();
        let notifier = Notifier { bus: Arc::clone(bus), clock: clock(), command, terminal: gate::terminal() };
        supervisor.add(LeasedService::new(notifier, Phase::Housekeeping, at()));
    }
    if runs(ServiceName::Executor) {
        let (registry, sandbox) = (open::registry(cx), Arc::new(open::sandbox(cx)));
        let shelf = Shelf { bus: Arc::clone(bus), registry, sandbox, clock: clock(), ids: ids() };
        supervisor.add(LeasedService::new(shelf, Phase::Housekeeping, at()));
    }
    if runs(ServiceName::RedisAgent) {
        let interval = cx.config.redis_agent.summary_interval;
        let summaries = Summaries { bus: Arc::clone(bus), clock: clock(), ids: ids(), interval };
        supervisor.add(LeasedService::new(summaries, Phase::Housekeeping, at()));
    }
    if runs(ServiceName::Timers) {
        let timers = Timers { bus: Arc::clone(bus), clock: clock() };
        supervisor.add(LeasedService::new(timers, Phase::Housekeeping, at()));
    }
    if runs(ServiceName::Trimmer) {
        let policy = RetentionPolicy { age: cx.config.retention.age, length: cx.config.retention.length };
        let trimmer = Trimmer { bus: Arc::clone(bus), policy, clock: clock(), ids: ids() };
        supervisor.add(LeasedService::new(trimmer, Phase::Housekeeping, at()));
    }
}

/// A consumer, and what is done beside it for as long as it runs.
struct Beside<H: Handler> {
    consumer: ConsumerService<H>,
    beside: Box<dyn Fn() -> BoxFuture<'static, Infallible> + Send + Sync>,
}

impl<H: Handler> Service for Beside<H> {
    fn name(&self) -> &'static str {
        self.consumer.name()
    }

    fn phase(&self) -> Phase {
        self.consumer.phase()
    }

    fn counts(&self) -> Arc<Counts> {
        self.consumer.counts()
    }

    fn run(&self, stop: CancellationToken) -> BoxFuture<'_, color_eyre::Result<()>> {
        let beside = (self.beside)();
        async move {
            tokio::select! {
                ended = self.consumer.run(stop) => ended,
                never = beside => match never {},
            }
        }
        .boxed()
    }
}

fn consumer<H: Handler>(cx: &Context, bus: &SharedBus, handler: H) -> ConsumerService<H> {
    let options = open::consumer_options(cx);
    ConsumerService::new(Consumer::new(Arc::clone(bus), handler, options, Arc::clone(&cx.clock), Arc::clone(&cx.ids)))
}
