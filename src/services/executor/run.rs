//! A run: its steps in order, each ended one written down, until it is over or has to wait.
//!
//! It holds its message for as long as it runs. Whoever takes the message over goes on after the last ended step. What waits for long (a
//! person, the next day, the end of quiet hours, a stop of the program) is put down with a timer and begins again from there. Must never
//! run two of one experiment where its specification does not say so, nor anything of an experiment that was killed.

mod ready;
mod steps;

pub(super) use self::steps::fill_in;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use self::ready::Ready;
use super::pen::{Pen, Unwritten};
use super::record::{Experiment, RunRecord, Status};
use super::{Executor, Said, begin, end, field};
use crate::bus::{Context, Draft, Failure, Key, Received, SharedBus, State};
use crate::contracts::channel::grants;
use crate::contracts::messages::{ErrorCode, ScheduleDue};
use crate::contracts::wiring::SCHEDULES;
use crate::experiments::spec::{Mode, Spec};
use crate::experiments::steps::Planned;

/// How long a slot is waited for before the run is left to others.
const SLOT_WAIT: Duration = Duration::from_secs(10);
/// How often it is looked whether somebody wants it to stop.
const LOOK: Duration = Duration::from_millis(250);
/// How long a tool has to come to an end by itself when the program stops.
const GRACE: Duration = Duration::from_millis(1_500);
/// So often it is begun anew because somebody else wrote at the same moment.
const TRIES: usize = 20;

/// How a run came to its end, or why it has to wait.
#[derive(Debug)]
pub(super) enum Ended {
    /// All steps ended well.
    Completed,
    /// One did not.
    Failed(Box<Failed>),
    /// Somebody stopped it.
    Cancelled(String),
    /// It goes on at a time.
    Waits { until: DateTime<Utc>, why: String },
    /// The program stops: it goes on at the next start.
    HandedOn,
}

/// Why a run failed.
#[derive(Debug, Clone, Default)]
pub(super) struct Failed {
    pub(super) code: Option<ErrorCode>,
    pub(super) message: String,
    pub(super) tool: Option<String>,
    pub(super) partial: Map<String, Value>,
    pub(super) took: Duration,
}

impl Failed {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code: Some(code), message: message.into(), ..Self::default() }
    }
}

/// A run that is under way.
pub(super) struct Work<'a> {
    pub(super) executor: &'a Executor,
    pub(super) cx: &'a Context<grants::Executor>,
    pub(super) run: RunRecord,
    pub(super) experiment: Experiment,
    pub(super) spec: Spec,
    pub(super) mode: Mode,
    pub(super) plan: Vec<Planned>,
    pub(super) outputs: BTreeMap<String, Value>,
    pub(super) pen: Pen,
    /// How many acts were done.
    pub(super) acts: u64,
    /// Cancelled when it is to stop: nothing new is begun.
    stop: CancellationToken,
    /// Cancelled when a tool that runs is to be ended.
    kill: CancellationToken,
}

/// Runs, or goes on with, what `due` names.
pub(super) async fn run(
    executor: &Executor,
    due: &ScheduleDue,
    message: &Received,
    cx: &Context<grants::Executor>,
) -> Said {
    let (id, run_id) = (due.experiment_id.as_str(), due.run_id.as_deref().unwrap_or_default());
    if !is_ours(id, run_id, message, cx).await? {
        return Ok(cx.effects());
    }
    let slot = tokio::select! {
        biased;
        () = cx.stop().cancelled() => None,
        slot = tokio::time::timeout(SLOT_WAIT, Arc::clone(&executor.slots).acquire_owned()) => slot.ok().and_then(Result::ok),
    };
    let Some(_slot) = slot else {
        // Somebody else may have a slot.
        let mut effects = cx.effects();
        effects.send(SCHEDULES, Draft::new(begin::due(id, run_id)).subject(id))?;
        return Ok(effects);
    };
    for _ in 0..TRIES {
        let Some(run) = RunRecord::read(cx.bus(), id, run_id).await? else { return Ok(cx.effects()) };
        let Some(experiment) = Experiment::read(cx.bus(), id).await? else { return Ok(cx.effects()) };
        match ready::look(executor, run, experiment, message, cx).await {
            Ready::Over => return Ok(cx.effects()),
            Ready::NotYet { until, why, run } => return end::wait(&run, until, &why, cx),
            Ready::Ends { ended, run, experiment } => return end::unbegun(ended, &run, &experiment, cx).await,
            Ready::Goes(mut work) => match work.take(message).await {
                Ok(()) => return work.through().await,
                Err(Unwritten::Changed(_)) => {}
                Err(err) => return Err(lost(&err)),
            },
        }
    }
    Err(color_eyre::eyre::eyre!("the documents of the run {run_id} changed {TRIES} times while it began").into())
}

/// Whether this message is to run it: not where the run is over, or another message holds it.
async fn is_ours(id: &str, run_id: &str, message: &Received, cx: &Context<grants::Executor>) -> Result<bool, Failure> {
    let Some(run) = RunRecord::read(cx.bus(), id, run_id).await? else {
        tracing::info!(experiment = id, run = run_id, "there is no such run");
        return Ok(false);
    };
    Ok(run.status().is_some_and(|status| !status.is_over()) && holds(&run, message))
}

/// Whether a run that is under way is this message's; one that waits is whoever's comes first.
fn holds(run: &RunRecord, message: &Received) -> bool {
    run.status() != Some(Status::Running) || run.get(HELD_BY) == Some(message.envelope.id.to_string().as_str())
}

/// The message that holds a run.
pub(super) const HELD_BY: &str = "held_by";

fn lost(err: &Unwritten) -> Failure {
    color_eyre::eyre::eyre!("the run was let go: {err}").into()
}

impl Work<'_> {
    /// Makes the run this holder's, with the step of the experiment's life that belongs to it.
    async fn take(&mut self, message: &Received) -> Result<(), Unwritten> {
        let begun = ready::begun(self, message);
        let (mut fields, ops) = begun.map_err(|failure| Unwritten::Refused(failure.to_string()))?;
        fields.push(field(HELD_BY, message.envelope.id.to_string()));
        self.pen.take(fields.clone(), ops).await?;
        for (name, text) in fields {
            match text {
                Some(text) => self.run.document.fields.insert(name, text),
                None => self.run.document.fields.remove(&name),
            };
        }
        Ok(())
    }

    /// Through all steps, while it is looked whether somebody wants it to stop.
    async fn through(mut self) -> Said {
        let watch = Watch {
            bus: self.cx.bus().clone(),
            key: self.run.key.clone(),
            stop: self.stop.clone(),
            kill: self.kill.clone(),
            program: self.cx.stop().clone(),
        };
        let over = CancellationToken::new();
        let steps = async {
            let ended = steps::all(&mut self).await;
            over.cancel();
            ended
        };
        let (ended, wish) = tokio::join!(steps, watch.until(&over));
        let ended = match (ended, wish) {
            (Err(err), _) => return Err(lost(&err)),
            (Ok(Ended::Completed), _) => Ended::Completed,
            (Ok(_), Some(who)) => Ended::Cancelled(who),
            (Ok(ended @ (Ended::Waits { .. } | Ended::Failed(_))), None) => ended,
            (Ok(_), None) if self.stop.is_cancelled() => Ended::HandedOn,
            (Ok(ended), None) => ended,
        };
        end::end(self, ended).await
    }
}

/// Looks whether a run is to stop.
struct Watch {
    bus: SharedBus,
    key: String,
    stop: CancellationToken,
    kill: CancellationToken,
    program: CancellationToken,
}

impl Watch {
    /// Looks until it is over; who wants it to stop, if somebody does.
    async fn until(self, over: &CancellationToken) -> Option<String> {
        let only = Some(["cancel_requested", "cancel_by", "cancel_reason"].as_slice());
        let key = [Key::new(self.key.as_str())];
        loop {
            tokio::select! {
                biased;
                () = over.cancelled() => return None,
                () = self.program.cancelled() => {
                    self.stop.cancel();
                    // The act under way may come to its end.
                    tokio::time::timeout(GRACE, over.cancelled()).await.ok();
                    self.kill.cancel();
                    return None;
                }
                () = tokio::time::sleep(LOOK) => {}
            }
            let found = self.bus.get_many(&key, only).await.ok().and_then(|mut found| found.pop());
            let Some(Ok(Some(State::Hash(document)))) = found else { continue };
            if let Some(who) = super::record::cancelled(&document) {
                self.stop.cancel();
                self.kill.cancel();
                return Some(who);
            }
        }
    }
}
