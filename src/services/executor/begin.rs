//! `execute_now`: what is asked for is checked, a schedule's moment is claimed, and the run is put down as waiting.
//!
//! Nothing long happens here, so that however many are due at once, all are claimed and seen at once. Must never run anything, and never
//! let two runs of one experiment wait, nor have one begin beside another where its specification does not say so.

use chrono::TimeDelta;

use super::arm::{self, SOURCE};
use super::record::{Experiment, RunRecord, ScheduleRecord, Status, at};
use super::{Said, field, shown, terminal, warn};
use crate::bus::{Context, Draft, Effects, Expect, Failure, Key, Received, Ttl};
use crate::contracts::channel::grants;
use crate::contracts::lifecycle::ExperimentState;
use crate::contracts::messages::{DueFor, ExecuteNow, RunNow, ScheduleDue, Schedules};
use crate::contracts::wiring::{EXECUTE_NOW, SCHEDULES};
use crate::contracts::{ServiceName, Trust, keys};
use crate::experiments::schedule::Schedule;
use crate::experiments::spec::{Missed, Mode, Overlap};

/// A moment that comes while the run before it is under way is looked at again after this.
const AGAIN_AFTER: TimeDelta = TimeDelta::seconds(5);

/// Whether a run begins.
enum Verdict {
    /// It does; `forced` where only the operator's word lets it.
    Run { forced: bool },
    /// Not now: it is asked for again.
    Later,
    /// It does not, in words. Quietly, where that is what somebody wanted.
    Not { why: String, quiet: bool },
}

fn not(why: impl Into<String>) -> Verdict {
    Verdict::Not { why: why.into(), quiet: false }
}

pub(super) async fn begin(wanted: &RunNow, message: &Received, cx: &Context<grants::Executor>) -> Said {
    let id = wanted.experiment_id.as_str();
    let mut effects = cx.effects();
    let experiment = Experiment::read(cx.bus(), id).await?;
    let schedule = if wanted.due_at.is_some() { ScheduleRecord::read(cx.bus(), id).await? } else { None };
    let verdict = consider(wanted, experiment.as_ref(), schedule.as_ref(), message, cx).await?;
    if let Verdict::Later = verdict {
        let draft = Draft::new(ExecuteNow::from(wanted.clone())).subject(id);
        effects.send_at(arm::timer(id), cx.now() + AGAIN_AFTER, EXECUTE_NOW, draft)?;
        return Ok(effects);
    }
    let run_id = message.envelope.id.to_string();
    let mut runs = true;
    if let Some(due) = wanted.due_at {
        match claim(&mut effects, id, &run_id, due, schedule.as_ref(), cx)? {
            Some(claimed) => runs = claimed,
            None => return Ok(cx.effects()),
        }
    }
    match (verdict, experiment) {
        (Verdict::Run { forced }, Some(experiment)) if runs => {
            put_down(&mut effects, wanted, &experiment, forced, message)?;
        }
        (Verdict::Run { .. }, _) => {
            let when = wanted.due_at.map(at).unwrap_or_default();
            warn(
                &mut effects,
                id,
                &format!("{}: the run of {when} was missed, and is left out as its schedule says", shown(id)),
            )?;
        }
        (Verdict::Not { why, quiet }, experiment) => {
            if quiet {
                tracing::info!(experiment = id, why, "a run was left out");
            } else {
                warn(&mut effects, id, &format!("{} was not run: {why}", shown(id)))?;
            }
            if experiment.is_some() && wanted.due_at.is_none() {
                refused(&mut effects, wanted, &run_id, &why, cx)?;
            }
        }
        (Verdict::Later, _) => {}
    }
    Ok(effects)
}

async fn consider(
    wanted: &RunNow,
    experiment: Option<&Experiment>,
    schedule: Option<&ScheduleRecord>,
    message: &Received,
    cx: &Context<grants::Executor>,
) -> Result<Verdict, Failure> {
    let Some(experiment) = experiment else { return Ok(not("there is no such experiment")) };
    if experiment.mode() == Mode::Live && !is_ours(&message.envelope.source) {
        return Ok(not("it reaches people, and that it should run now was said from outside"));
    }
    if let Some(waiting) = experiment.get("next_run_id") {
        let run = RunRecord::read(cx.bus(), &experiment.id, waiting).await?;
        if run.is_some_and(|run| run.status() == Some(Status::Waiting)) {
            return Ok(Verdict::Not { why: format!("the run {} waits already", shown(waiting)), quiet: false });
        }
    }
    let force = wanted.force && message.envelope.trust >= Trust::Operator;
    let state = experiment.state();
    Ok(match state {
        Some(ExperimentState::Ready | ExperimentState::Measuring) => Verdict::Run { forced: false },
        Some(ExperimentState::Running) => match (experiment.overlap(), wanted.due_at, schedule) {
            (Overlap::Allow, ..) => Verdict::Run { forced: false },
            (Overlap::Queue, Some(_), Some(schedule)) if arm::missed(schedule) != Missed::Skip => Verdict::Later,
            (Overlap::Skip, Some(_), _) => Verdict::Not { why: "its run before is under way".to_owned(), quiet: true },
            _ => not(format!("its run {} is under way", experiment.get("run_id").map(shown).unwrap_or_default())),
        },
        Some(ExperimentState::Paused) if wanted.due_at.is_some() => {
            Verdict::Not { why: "it is paused".to_owned(), quiet: true }
        }
        _ if force => Verdict::Run { forced: true },
        Some(state) => not(format!("it is {state}; only the operator can have it run all the same (`--force`)")),
        None => not("its state cannot be read"),
    })
}

/// Whether whoever said it is one of the team; anything else came over the bridge.
fn is_ours(source: &str) -> bool {
    [ServiceName::Orchestrator, ServiceName::Fullsend, ServiceName::ControlRoom, SOURCE]
        .into_iter()
        .any(|service| service.as_str() == source)
}

/// Claims the moment, and sets the next one in the same commit: whether it is run. None where somebody claimed it before, or it is no
/// longer one of the schedule's.
fn claim(
    effects: &mut Effects<grants::Executor>,
    id: &str,
    run_id: &str,
    due: chrono::DateTime<chrono::Utc>,
    schedule: Option<&ScheduleRecord>,
    cx: &Context<grants::Executor>,
) -> Result<Option<bool>, Failure> {
    let Some(schedule) = schedule.filter(|schedule| schedule.is_active() && schedule.next_at() == Some(due)) else {
        tracing::info!(experiment = id, due = at(due), "no moment of a schedule: cancelled, changed or claimed before");
        return Ok(None);
    };
    let document = &schedule.document;
    let cron = Schedule::parse(document.get("cron").unwrap_or_default(), document.get("timezone"));
    let cron = match cron {
        Ok(cron) => cron,
        Err(err) => {
            warn(effects, id, &format!("the schedule of {} can no longer be read: {err}", shown(id)))?;
            return Ok(Some(false));
        }
    };
    let claim = cron.claim(due, cx.now(), arm::missed(schedule));
    let mut fields = vec![field("last_due_at", at(due))];
    if claim.runs {
        fields.push(field("last_run_id", run_id));
    }
    arm::set_next(effects, id, claim.next, &mut fields)?;
    effects.change(Key::new(schedule.key.as_str()), Expect::Version(document.version), fields, Ttl::Keep);
    Ok(Some(claim.runs))
}

/// Puts the run down as waiting, and has it begin.
fn put_down(
    effects: &mut Effects<grants::Executor>,
    wanted: &RunNow,
    experiment: &Experiment,
    forced: bool,
    message: &Received,
) -> Result<(), Failure> {
    let id = experiment.id.as_str();
    let run_id = message.envelope.id.to_string();
    let now = effects.now();
    let mut fields = vec![
        field("experiment_id", id),
        field("status", Status::Waiting.as_str()),
        field("trigger", trigger(wanted)),
        field("queued_at", at(now)),
        field("timestamp", at(now)),
        field("trace", message.envelope.trace.to_string()),
        field("waiting_for", "a free slot"),
    ];
    fields.extend(wanted.due_at.map(|due| field("due_at", at(due))));
    if forced {
        fields.push(field("forced", "true"));
    }
    let key = keys::experiment_run(id, &run_id).map_err(terminal)?;
    effects.change(Key::new(key), Expect::Absent, fields, Ttl::Keep);
    let waits = vec![field("next_run_id", run_id.as_str())];
    effects.change(Key::new(experiment.key.as_str()), Expect::Version(experiment.document.version), waits, Ttl::Keep);
    effects.send(SCHEDULES, Draft::new(due(id, &run_id)).subject(id))?;
    Ok(())
}

/// That a run begins, or goes on.
pub(super) fn due(id: &str, run_id: &str) -> Schedules {
    Schedules::from(ScheduleDue {
        experiment_id: id.to_owned(),
        what: DueFor::Run,
        run_id: Some(run_id.to_owned()),
        number: None,
        action_id: None,
        due_at: None,
    })
}

fn trigger(wanted: &RunNow) -> String {
    shown(wanted.triggered_by.as_deref().unwrap_or("somebody"))
}

/// What was asked for and not begun has a document that says why.
fn refused(
    effects: &mut Effects<grants::Executor>,
    wanted: &RunNow,
    run_id: &str,
    why: &str,
    cx: &Context<grants::Executor>,
) -> Result<(), Failure> {
    let now = at(cx.now());
    let fields = vec![
        field("experiment_id", wanted.experiment_id.as_str()),
        field("status", Status::Cancelled.as_str()),
        field("trigger", trigger(wanted)),
        field("error", why),
        field("code", "cancelled"),
        field("ended_at", now.as_str()),
        field("timestamp", now.as_str()),
    ];
    let key = keys::experiment_run(&wanted.experiment_id, run_id).map_err(terminal)?;
    effects.change(Key::new(key), Expect::Absent, fields, Ttl::Set(KEPT_REFUSED));
    Ok(())
}

/// How long what was not begun is remembered.
const KEPT_REFUSED: std::time::Duration = std::time::Duration::from_hours(7 * 24);
