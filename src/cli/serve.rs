//! `fullsend serve`: the services without a screen.

use std::process::ExitCode;
use std::sync::Arc;

use color_eyre::eyre::WrapErr;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::output::{OK, Usage};
use super::{Context, open};
use crate::bus::bridge::Bridge;
use crate::bus::retention::{RetentionPolicy, Trimmer};
use crate::bus::timers::Timers;
use crate::bus::{Consumer, SharedBus};
use crate::contracts::ServiceName;
use crate::services::echo::Echo;
use crate::services::mirror::Mirror;
use crate::supervisor::{ConsumerService, LeasedService, Phase, Supervisor};

/// The exit code after a second signal, as shells give it for SIGINT.
const INTERRUPTED: u8 = 130;

/// Runs the services without a screen
///
/// Runs until Ctrl-C or SIGTERM; then what is being handled gets 10 seconds to finish, and everything else is handed back. A
/// second Ctrl-C ends at once; nothing is lost by that either. Several can run on one bus: they share the work.
///
/// Example: fullsend serve --only echo,timers
#[derive(clap::Args)]
pub struct Args {
    /// Run only these services (comma-separated)
    #[arg(long, value_name = "SERVICES")]
    pub only: Option<secrecy::SecretString>,

    /// Run all but these services (comma-separated)
    #[arg(long, value_name = "SERVICES")]
    pub except: Option<secrecy::SecretString>,
}

/// Runs the services until a signal comes.
///
/// # Errors
/// Where the bus cannot be opened, or no service is left to run.
pub async fn run(cx: &Context) -> color_eyre::Result<ExitCode> {
    let stop = stop_on_signals()?;
    let bus = open::bus(cx).await?;
    let supervisor = supervisor(cx, &bus);
    if supervisor.names().is_empty() {
        return Err(Usage("no service is left to run; look at `--only`, `--except` and `services.*`".to_owned()).into());
    }
    let health = bus.health().await?;
    cx.out.remark(&format!(
        "serving {} on {} ({}). Ctrl-C stops; logs are in {}",
        supervisor.names().join(", "),
        health.engine,
        health.location,
        cx.config.logs().display()
    ));
    health.findings.iter().for_each(|finding| cx.out.finding(finding));
    let ended = supervisor.run(stop).await;
    bus.close().await;
    if ended.stopped.is_empty() {
        cx.out.remark("stopped; everything that was being handled has finished");
    } else {
        cx.out.remark(&format!(
            "stopped; {} did not finish in time. What they were handling is handled again at the next start",
            ended.stopped.join(", ")
        ));
    }
    Ok(OK)
}

/// The services of this version that the settings let run here.
fn supervisor(cx: &Context, bus: &SharedBus) -> Supervisor {
    let instance = format!("{}/{}", open::host(), std::process::id());
    let options = open::consumer_options(cx);
    let mut supervisor =
        Supervisor::new(Arc::clone(bus), Arc::clone(&cx.clock), Arc::clone(&cx.ids), instance, options.drain);
    let runs = |service| cx.config.services.runs(service);
    let (clock, ids) = (|| Arc::clone(&cx.clock), || Arc::clone(&cx.ids));
    // Nobody else can publish on the embedded engine, so there is nothing to bridge.
    if runs(ServiceName::Bridge) && bus.engine() == "redis" {
        let singleton = Bridge { bus: Arc::clone(bus), clock: clock(), ids: ids() };
        supervisor.add(LeasedService {
            singleton,
            phase: Phase::Intake,
            bus: Arc::clone(bus),
            clock: clock(),
            ids: ids(),
        });
    }
    if runs(ServiceName::Echo) {
        let consumer = Consumer::new(Arc::clone(bus), Echo::default(), options, clock(), ids());
        supervisor.add(ConsumerService::new(consumer));
    }
    if runs(ServiceName::Memory) {
        let (folder, record) = (cx.config.context.clone(), cx.config.home.join("mirror.json"));
        let singleton = Mirror { bus: Arc::clone(bus), folder, record, clock: clock(), ids: ids() };
        let phase = Phase::Housekeeping;
        supervisor.add(LeasedService { singleton, phase, bus: Arc::clone(bus), clock: clock(), ids: ids() });
    }
    if runs(ServiceName::Timers) {
        let singleton = Timers { bus: Arc::clone(bus), clock: clock() };
        let phase = Phase::Housekeeping;
        supervisor.add(LeasedService { singleton, phase, bus: Arc::clone(bus), clock: clock(), ids: ids() });
    }
    if runs(ServiceName::Trimmer) {
        let policy = RetentionPolicy { age: cx.config.retention.age, length: cx.config.retention.length };
        let singleton = Trimmer { bus: Arc::clone(bus), policy, clock: clock(), ids: ids() };
        let phase = Phase::Housekeeping;
        supervisor.add(LeasedService { singleton, phase, bus: Arc::clone(bus), clock: clock(), ids: ids() });
    }
    supervisor
}

/// Cancelled by the first SIGINT or SIGTERM; the second ends the process.
fn stop_on_signals() -> color_eyre::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt()).wrap_err("signals cannot be heard")?;
    let mut terminate = signal(SignalKind::terminate()).wrap_err("signals cannot be heard")?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if token.is_cancelled() {
                tracing::warn!("a second signal: ending without finishing");
                std::process::exit(i32::from(INTERRUPTED));
            }
            tracing::info!("asked to stop");
            token.cancel();
        }
    });
    Ok(stop)
}
