//! `fullsend serve`: the services without a screen.
//!
//! Owns which services run here, waiting for a bus that is away, and what signals do. Must never do a service's work.

mod others;

use std::fs::File;
use std::process::ExitCode;
use std::time::Duration;

use color_eyre::eyre::WrapErr;
use nix::fcntl::Flock;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::output::{FAILED, OK, Output, Usage};
use super::{Context, open, room, team};
use crate::bus::backoff::Backoff;
use crate::bus::{BusError, SharedBus};
use crate::contracts::ServiceName;
use crate::services::gate::mode;
use crate::supervisor::Ended;

/// How soon a place that is taken is asked for again.
const ASKED_AGAIN: Duration = Duration::from_secs(1);
/// The exit code after a second signal, as shells give it for SIGINT.
const INTERRUPTED: u8 = 130;

/// Runs the services without a screen
///
/// Runs until Ctrl-C or SIGTERM; then what is being handled gets 10 seconds to finish, and everything else is handed back. A
/// second Ctrl-C ends at once; nothing is lost by that either. Several can run on one bus: they share the work. A server that
/// cannot be reached is waited for. Ends with 0 after a stop, with 1 where a service did not finish in time and was cut off, and
/// with 130 after a second Ctrl-C.
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
/// Where the bus cannot be used, or no service is left to run. One that cannot be reached is waited for.
pub async fn run(cx: &Context) -> color_eyre::Result<ExitCode> {
    let signals = Signals::heard()?;
    tokio::select! {
        biased;
        // Ends the verb and not the process, so that the log is written to its end.
        () = signals.again.cancelled() => {
            tracing::warn!("a second signal: ending without finishing");
            Ok(ExitCode::from(INTERRUPTED))
        }
        ended = serve(cx, signals.stop.clone()) => ended,
    }
}

async fn serve(cx: &Context, stop: CancellationToken) -> color_eyre::Result<ExitCode> {
    let Some(bus) = opened(cx, &stop).await? else {
        cx.out.remark("stopped before the bus could be reached");
        return Ok(OK);
    };
    let supervisor = team::supervisor(cx, &bus)?;
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
    tell_other_mode(cx, &bus).await?;
    let instance = team::instance();
    let look = stop.run_until_cancelled(others::others(&bus, &instance));
    let (_place, ended, ()) = tokio::join!(place(cx, &stop), supervisor.run(stop.clone()), async {
        match look.await {
            Some(Ok(others)) if !others.is_empty() => cx.out.remark(&format!(
                "another `fullsend serve` is running on this bus ({}): they share the work",
                others.join(", ")
            )),
            // The services themselves wait for a bus that went away again.
            Some(Err(err)) => tracing::warn!(%err, "it is not known whether another one serves this bus"),
            _ => {}
        }
    });
    bus.close().await;
    Ok(told(&ended, &cx.out))
}

/// The place of whoever runs the services in this home: a control room that is opened there then attaches. Where some services are left
/// out, it runs those, and the place is not taken. One that is taken is waited for: who held it may be about to end.
async fn place(cx: &Context, stop: &CancellationToken) -> Option<Flock<File>> {
    let services = &cx.config.services;
    if !services.only.is_empty() || !services.except.is_empty() {
        return None;
    }
    while !stop.is_cancelled() {
        match room::place::take(cx) {
            Ok(None) => stop.run_until_cancelled(tokio::time::sleep(ASKED_AGAIN)).await,
            Ok(place) => return place,
            Err(err) => {
                tracing::warn!(%err, "a control room that is opened in this home will run the services too");
                return None;
            }
        };
    }
    None
}

/// Tells where a gate of another mode runs on this bus.
async fn tell_other_mode(cx: &Context, bus: &SharedBus) -> Result<(), BusError> {
    let own = cx.config.mode;
    let others: Vec<_> = mode::running(bus).await?.into_iter().filter(|mode| *mode != own).collect();
    if cx.config.services.runs(ServiceName::Gate) && !others.is_empty() {
        let others = others.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
        cx.out.remark(&format!(
            "warning: this gate is to run in the mode {own}, and one in the mode {others} runs on this bus: the strictest counts for all"
        ));
    }
    Ok(())
}

/// The bus of the settings. One that cannot be reached is waited for, until `stop`: then there is none.
///
/// # Errors
/// What waiting does not help against.
pub(super) async fn opened(cx: &Context, stop: &CancellationToken) -> color_eyre::Result<Option<SharedBus>> {
    let mut backoff = Backoff::quick();
    let mut told = false;
    while !stop.is_cancelled() {
        let report = match open::bus(cx).await {
            Ok(bus) => return Ok(Some(bus)),
            Err(report) => report,
        };
        let away = report.chain().find_map(|cause| match cause.downcast_ref() {
            Some(err @ (BusError::Unreachable(_) | BusError::NoAnswer(_))) => Some(err),
            _ => None,
        });
        let Some(away) = away else { return Err(report) };
        tracing::warn!(%away, "waiting for the bus");
        if !std::mem::replace(&mut told, true) {
            cx.out.remark(&format!("{away}; waiting for it. Ctrl-C ends"));
        }
        stop.run_until_cancelled(tokio::time::sleep(backoff.next_delay())).await;
    }
    Ok(None)
}

/// Says how the services ended. Not well, where one had to be cut off.
pub(super) fn told(ended: &Ended, out: &Output) -> ExitCode {
    if ended.stopped.is_empty() {
        out.remark("stopped; everything that was being handled has finished");
        return OK;
    }
    out.remark(&format!(
        "stopped; {} did not finish in time and was cut off. What it was handling is handled again at the next start",
        ended.stopped.join(", ")
    ));
    FAILED
}

/// What SIGINT and SIGTERM ask for.
struct Signals {
    /// Cancelled by the first: come to an end.
    stop: CancellationToken,
    /// Cancelled by the second: end at once.
    again: CancellationToken,
}

impl Signals {
    /// Listens from now on.
    fn heard() -> color_eyre::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt()).wrap_err("signals cannot be heard")?;
        let mut terminate = signal(SignalKind::terminate()).wrap_err("signals cannot be heard")?;
        let signals = Self { stop: CancellationToken::new(), again: CancellationToken::new() };
        let asked = [signals.stop.clone(), signals.again.clone()];
        tokio::spawn(async move {
            for token in asked {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                tracing::info!("asked to stop");
                token.cancel();
            }
        });
        Ok(signals)
    }
}

#[cfg(test)]
mod tests;
