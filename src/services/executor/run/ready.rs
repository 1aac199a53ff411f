//! Whether a run begins, goes on, waits or is over, by the documents as they are.

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;

use super::super::pen::Pen;
use super::super::record::{self, Experiment, RunRecord, at};
use super::super::{Executor, field, gone, shown};
use super::{Ended, Failed, Work};
use crate::bus::{Context, Draft, Expect, Failure, Key, Op, Received, Ttl};
use crate::contracts::channel::grants;
use crate::contracts::lifecycle::{ExperimentState, IllegalTransition, LifecycleEvent, transition};
use crate::contracts::messages::{ErrorCode, Metrics, RunStarted};
use crate::contracts::wiring::METRICS;
use crate::experiments::spec::{Mode, Overlap, Spec};
use crate::experiments::steps::{self, By, Planned};

/// A run that waits for the one before it looks again after this.
const AGAIN_AFTER: TimeDelta = TimeDelta::seconds(5);

/// What is to be done about a run.
pub(super) enum Ready<'a> {
    /// Nothing: it is over.
    Over,
    /// It waits.
    NotYet { until: DateTime<Utc>, why: String, run: RunRecord },
    /// It ends before it begins.
    Ends { ended: Ended, run: RunRecord, experiment: Experiment },
    /// It runs.
    Goes(Box<Work<'a>>),
}

pub(super) async fn look<'a>(
    executor: &'a Executor,
    run: RunRecord,
    experiment: Experiment,
    message: &Received,
    cx: &'a Context<grants::Executor>,
) -> Ready<'a> {
    // Another message may have begun it since this one looked.
    if run.status().is_none_or(super::Status::is_over) || !super::holds(&run, message) {
        return Ready::Over;
    }
    match may(executor, &run, &experiment, message).await {
        Ok((spec, mode, plan)) => {
            let stop = CancellationToken::new();
            // It names this holder and no other.
            let holder = format!("{}/{}", cx.consumer(), cx.origin().envelope("run", "executor").id);
            let pen = Pen::new(cx.bus(), &run.key, run.document.version, holder, cx.stop().clone());
            let outputs = run.outputs();
            let kill = CancellationToken::new();
            Ready::Goes(Box::new(Work {
                executor,
                cx,
                run,
                experiment,
                spec,
                mode,
                plan,
                outputs,
                pen,
                acts: 0,
                stop,
                kill,
            }))
        }
        Err(Ended::Waits { why, .. }) => Ready::NotYet { until: cx.now() + AGAIN_AFTER, why, run },
        Err(ended) => Ready::Ends { ended, run, experiment },
    }
}

/// What is run, and how; or why it is not.
async fn may(
    executor: &Executor,
    run: &RunRecord,
    experiment: &Experiment,
    message: &Received,
) -> Result<(Spec, Mode, Vec<Planned>), Ended> {
    let failed = |code, message: String| Ended::Failed(Box::new(Failed::new(code, message)));
    if let Some(who) = record::cancelled(&run.document) {
        return Err(Ended::Cancelled(who));
    }
    if message.attempt >= executor.parts.max_attempts {
        let what = format!("whoever ran it ended before it was over, {} times", message.attempt - 1);
        return Err(failed(ErrorCode::Exhausted, what));
    }
    stands(run, experiment)?;
    let mut spec = experiment.spec().map_err(|why| failed(ErrorCode::InvalidParams, why))?;
    // Where the document and the specification differ, nobody is reached.
    let is_live = spec.mode == Mode::Live && experiment.mode() == Mode::Live;
    let mode = match spec.mode {
        Mode::Live if !is_live || run.is_forced() && !experiment.was_approved() => Mode::DryRun,
        Mode::Live if !experiment.was_approved() => {
            let what = "it reaches people, and nobody has approved that; publish it again, and approve it";
            return Err(failed(ErrorCode::InvalidParams, what.to_owned()));
        }
        mode => mode,
    };
    if let Some(outreach) = &mut spec.outreach
        && outreach.sender.is_none()
    {
        outreach.sender.clone_from(&executor.parts.outreach.sender);
    }
    let plan = match run.follow_up() {
        Some(number) => steps::follow_up(&spec, number)
            .map(|planned| vec![planned])
            .ok_or_else(|| failed(ErrorCode::InvalidParams, format!("it has no follow-up {}", number + 1)))?,
        None => steps::plan(&spec).map_err(|err| failed(ErrorCode::InvalidParams, err.to_string()))?,
    };
    for Planned { step, .. } in plan.iter().filter(|planned| planned.by == By::Tool) {
        if executor.parts.tools.facts(&step.tool).await.is_none() {
            let mut failure = Failed::new(ErrorCode::NotFound, format!("there is no tool `{}`", shown(&step.tool)));
            failure.tool = Some(step.tool.clone());
            return Err(Ended::Failed(Box::new(failure)));
        }
    }
    Ok((spec, mode, plan))
}

/// Whether the experiment's state lets it run.
fn stands(run: &RunRecord, experiment: &Experiment) -> Result<(), Ended> {
    use ExperimentState::{Archived, Measuring, Ready, Running};
    let state = experiment.state();
    if run.follow_up().is_some() {
        return match state {
            Some(Measuring | Running) => Ok(()),
            _ => Err(Ended::Cancelled(word("it is no longer measured", state))),
        };
    }
    match state {
        _ if run.is_forced() => Ok(()),
        Some(Ready | Measuring) => Ok(()),
        Some(Running) if experiment.get("run_id") == Some(run.id.as_str()) => Ok(()),
        // Beside the other: the experiment's state stays that one's.
        Some(Running) if experiment.overlap() == Overlap::Allow => Ok(()),
        Some(Running) => {
            let other = experiment.get("run_id").map(shown).unwrap_or_default();
            Err(Ended::Waits { until: DateTime::UNIX_EPOCH, why: format!("its run {other} to end") })
        }
        Some(Archived) => Err(Ended::Cancelled("the experiment was killed".to_owned())),
        state => Err(Ended::Cancelled(word("it may not run now", state))),
    }
}

fn word(what: &str, state: Option<ExperimentState>) -> String {
    match state {
        Some(state) => format!("{what}: it is {state}"),
        None => format!("{what}: its state cannot be read"),
    }
}

/// What a run changes when it begins.
type Begun = (Vec<(String, Option<String>)>, Vec<Op>);

/// The fields of a run that begins or goes on, and the step of the experiment's life that belongs to it.
pub(super) fn begun(work: &Work<'_>, message: &Received) -> Result<Begun, Failure> {
    let Work { cx, run, experiment, mode, plan, .. } = work;
    let now = at(cx.now());
    let names: Vec<&str> = plan.iter().map(|planned| planned.step.id.as_str()).collect();
    let mut fields = vec![
        field("status", super::Status::Running.as_str()),
        field("mode", mode.as_str()),
        field("attempt", message.attempt.to_string()),
        field("steps", serde_json::to_string(&names).unwrap_or_default()),
        field("timestamp", now.as_str()),
        gone("waiting_for"),
        gone("waiting_until"),
    ];
    let mut ops = Vec::new();
    let is_first = run.get("started_at").is_none();
    if is_first {
        fields.push(field("started_at", now.as_str()));
    }
    if run.follow_up().is_some() {
        return Ok((fields, ops));
    }
    let mut changes = vec![gone("next_run_id"), field("updated_at", now.as_str())];
    if !run.is_forced() && experiment.state() != Some(ExperimentState::Running) {
        let state = started(experiment.state()).map_err(super::super::terminal)?;
        changes.extend([
            field("state", state.as_str()),
            field("run_id", run.id.as_str()),
            field("last_run_at", now.as_str()),
            gone("observe_until"),
        ]);
    }
    ops.push(Op::Change {
        key: Key::new(experiment.key.as_str()),
        expect: Expect::Version(experiment.document.version),
        fields: changes,
        ttl: Ttl::Keep,
    });
    if is_first {
        let started =
            RunStarted { run_id: run.id.clone(), experiment_id: experiment.id.clone(), timestamp: Some(cx.now()) };
        let draft = Draft::new(Metrics::RunStarted(started)).subject(experiment.id.as_str());
        ops.push(Op::Append(cx.origin().compose::<grants::Executor, _>(METRICS, draft)?));
    }
    Ok((fields, ops))
}

/// The state of an experiment whose run begins. One that is still measured recurs first.
fn started(state: Option<ExperimentState>) -> Result<ExperimentState, IllegalTransition> {
    let from = state.unwrap_or(ExperimentState::Draft);
    let ready = if from == ExperimentState::Measuring { transition(from, LifecycleEvent::Recur, None)? } else { from };
    transition(ready, LifecycleEvent::Start, None)
}
