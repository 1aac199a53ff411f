//! The end of a run: what becomes of its document and of the experiment, and who hears of it; all of it in one commit.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::collect::REACHED;
use super::record::{self, Experiment, RunRecord, Status, at};
use super::run::{Ended, Failed, HELD_BY, Work};
use super::{Said, begin, field, gone, shown, warn};
use crate::bus::{Context, Draft, Effects, Expect, Failure, Key, StateChange, Ttl};
use crate::contracts::channel::grants;
use crate::contracts::lifecycle::{ExperimentState, LifecycleEvent, transition};
use crate::contracts::messages::{
    DueFor, ErrorCode, ExperimentCompleted, ExperimentFailed, ExperimentResults, Metrics, RunCompleted, RunError,
    RunStatus, ScheduleDue, Schedules, Summary,
};
use crate::contracts::wiring::{EXPERIMENT_RESULTS, METRICS, SCHEDULES};
use crate::contracts::{Untrusted, keys};
use crate::experiments::spec::{Mode, Spec};
use crate::experiments::steps::OUTREACH;

/// Summaries of runs that are kept.
const RECENT: usize = 200;
/// Characters of a text in a summary.
const TEXT_LIMIT: usize = 500;
/// Items of a list in a summary; a longer one is told by its length.
const LIST_LIMIT: usize = 10;
/// Bytes of a summary; a longer one keeps its numbers.
const SUMMARY_LIMIT: usize = 16 * 1_024;
/// A dry run is looked at for no longer than this: nobody was reached, and nothing comes of it.
const DRY_WINDOW: TimeDelta = TimeDelta::seconds(5);
/// The same for a simulation, in which all that happens happens while it runs.
const SIMULATED_WINDOW: TimeDelta = TimeDelta::seconds(30);

/// The timer of a run that waits.
pub(super) fn timer(run_id: &str) -> String {
    format!("run:{run_id}")
}

/// The timer of the end of an experiment's observation.
pub(super) fn observation_timer(id: &str) -> String {
    format!("observation:{id}")
}

/// The run waits, as it is put down in its document.
pub(super) fn wait(run: &RunRecord, until: DateTime<Utc>, why: &str, cx: &Context<grants::Executor>) -> Said {
    let mut effects = cx.effects();
    rest(&mut effects, run, run.document.version, Some(until), why)?;
    Ok(effects)
}

fn rest(
    effects: &mut Effects<grants::Executor>,
    run: &RunRecord,
    version: u64,
    until: Option<DateTime<Utc>>,
    why: &str,
) -> Result<(), Failure> {
    let fields = vec![
        field("status", Status::Waiting.as_str()),
        field("waiting_for", why),
        ("waiting_until".to_owned(), until.map(at)),
        gone(super::pen::HOLDER),
        gone(HELD_BY),
    ];
    effects.change(Key::new(run.key.as_str()), Expect::Version(version), fields, Ttl::Keep);
    let draft = Draft::new(begin::due(&run.experiment, &run.id)).subject(run.experiment.as_str());
    match until {
        Some(until) => effects.send_at(timer(&run.id), until, SCHEDULES, draft)?,
        None => drop(effects.send(SCHEDULES, draft)?),
    }
    Ok(())
}

/// A run that ends before it began, or whose process died too often.
pub(super) async fn unbegun(
    ended: Ended,
    run: &RunRecord,
    experiment: &Experiment,
    cx: &Context<grants::Executor>,
) -> Said {
    let mut effects = cx.effects();
    let told = Told { run, experiment, version: run.document.version, mode: experiment.mode(), summary: Map::new() };
    // It may have run before, and reached people.
    let spec = experiment.spec().ok();
    conclude(&mut effects, ended, &told, spec.as_ref(), cx).await?;
    Ok(effects)
}

/// A run that ran.
pub(super) async fn end(work: Work<'_>, ended: Ended) -> Said {
    let cx = work.cx;
    let mut effects = cx.effects();
    // Its numbers and its verdict are written while it runs.
    let Some(experiment) = Experiment::read(cx.bus(), &work.experiment.id).await? else { return Ok(effects) };
    let version = work.pen.version();
    match ended {
        Ended::Waits { until, why } => {
            tracing::info!(run = work.run.id, why, until = at(until), "a run waits");
            rest(&mut effects, &work.run, version, Some(until), &why)?;
        }
        Ended::HandedOn => rest(&mut effects, &work.run, version, None, "the program to go on")?,
        ended => {
            let told =
                Told { run: &work.run, experiment: &experiment, version, mode: work.mode, summary: summary(&work) };
            conclude(&mut effects, ended, &told, Some(&work.spec), cx).await?;
        }
    }
    Ok(effects)
}

/// What is said of a run at its end.
struct Told<'a> {
    run: &'a RunRecord,
    experiment: &'a Experiment,
    version: u64,
    mode: Mode,
    summary: Map<String, Value>,
}

async fn conclude(
    effects: &mut Effects<grants::Executor>,
    ended: Ended,
    told: &Told<'_>,
    spec: Option<&Spec>,
    cx: &Context<grants::Executor>,
) -> Result<(), Failure> {
    let Told { run, experiment, .. } = *told;
    let now = cx.now();
    let seconds = run.time("started_at").map(|began| {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a run are exact in 53 bits")]
        let seconds = (now - began).num_milliseconds().max(0) as f64 / 1_000.0;
        seconds
    });
    let status = match ended {
        Ended::Completed => Status::Completed,
        Ended::Cancelled(_) => Status::Cancelled,
        _ => Status::Failed,
    };
    let failed = match ended {
        Ended::Failed(failed) => Some(failed),
        Ended::Cancelled(who) => Some(Box::new(Failed::new(ErrorCode::Cancelled, who))),
        _ => None,
    };
    document(effects, told, status, failed.as_deref(), seconds, now);
    effects.cancel(timer(&run.id));
    let is_archived = experiment.state() == Some(ExperimentState::Archived);
    if run.follow_up().is_none() {
        life(effects, told, (status, waits_for_tool(failed.as_deref())), spec, cx).await?;
        if !is_archived {
            said(effects, told, failed.as_deref(), seconds, now)?;
        }
    } else if let (Some(failed), false) = (&failed, is_archived) {
        warn(effects, &experiment.id, &format!("a follow-up of {} failed: {}", shown(&experiment.id), failed.message))?;
    }
    Ok(())
}

/// The run's document, and the list of runs.
fn document(
    effects: &mut Effects<grants::Executor>,
    told: &Told<'_>,
    status: Status,
    failed: Option<&Failed>,
    seconds: Option<f64>,
    now: DateTime<Utc>,
) {
    let Told { run, experiment, version, mode, summary } = told;
    let code = failed.map(|failed| failed.code.unwrap_or(ErrorCode::Tool));
    let fields = vec![
        field("status", status.as_str()),
        field("ended_at", at(now)),
        field("timestamp", at(now)),
        ("duration_seconds".to_owned(), seconds.map(|seconds| format!("{seconds:.3}"))),
        field("result_summary", Value::Object(summary.clone()).to_string()),
        ("error".to_owned(), failed.map(|failed| failed.message.clone())),
        ("error_type".to_owned(), code.map(|code| error_type(code).to_owned())),
        ("code".to_owned(), code.and_then(|code| serde_json::to_value(code).ok()?.as_str().map(str::to_owned))),
        gone("step"),
        gone("waiting_for"),
        gone("waiting_until"),
        gone(super::pen::HOLDER),
        gone(HELD_BY),
    ];
    effects.change(Key::new(run.key.as_str()), Expect::Version(*version), fields, Ttl::Keep);
    let recent = json!({
        "experiment_id": experiment.id, "run_id": run.id, "status": status.as_str(), "at": at(now), "mode": mode.as_str(),
        "duration_seconds": seconds, "error": failed.map(|failed| &failed.message),
    });
    effects.state(Key::new(keys::RECENT_RUNS), StateChange::Push { value: recent.to_string(), keep: RECENT });
}

/// Whether it failed for want of a tool, which may still come.
fn waits_for_tool(failed: Option<&Failed>) -> bool {
    failed.is_some_and(|failed| failed.code == Some(ErrorCode::NotFound) && failed.tool.is_some())
}

/// The step of the experiment's life that follows, with the timers of its measuring.
async fn life(
    effects: &mut Effects<grants::Executor>,
    told: &Told<'_>,
    (status, waits): (Status, bool),
    spec: Option<&Spec>,
    cx: &Context<grants::Executor>,
) -> Result<(), Failure> {
    let Told { run, experiment, mode, .. } = told;
    let id = experiment.id.as_str();
    let now = cx.now();
    let expect = Expect::Version(experiment.document.version);
    let key = Key::new(experiment.key.as_str());
    let is_its =
        experiment.state() == Some(ExperimentState::Running) && experiment.get("run_id") == Some(run.id.as_str());
    if run.is_forced() || !is_its {
        let mut fields = Vec::new();
        if experiment.get("next_run_id") == Some(run.id.as_str()) {
            fields.push(gone("next_run_id"));
        }
        if let Some(spec) = spec.filter(|_| !run.is_forced() && run.follow_up().is_none()) {
            fields.extend(beside(effects, told, status, spec, now)?);
        }
        if !fields.is_empty() {
            effects.change(key, expect, fields, Ttl::Keep);
        }
        return Ok(());
    }
    let recurs = record::recurs(cx.bus(), id).await?;
    let event = match status {
        Status::Completed => LifecycleEvent::Measure,
        // A recurring one has its next run.
        _ if recurs => LifecycleEvent::Measure,
        _ if waits => LifecycleEvent::Measure,
        // Whoever stopped it did not stop those who answer.
        Status::Cancelled if has_reached(run, cx).await? => LifecycleEvent::Measure,
        _ => LifecycleEvent::Fail,
    };
    let mut to = transition(ExperimentState::Running, event, None).map_err(super::terminal)?;
    if waits {
        // There is nothing to measure: it goes on where it was when its tool is there.
        to = transition(to, LifecycleEvent::Recur, None).map_err(super::terminal)?;
    }
    let mut fields = vec![field("state", to.as_str()), field("updated_at", at(now))];
    if to == ExperimentState::Measuring {
        let until = now + spec.map_or(DRY_WINDOW, |spec| window(spec, *mode));
        fields.push(field("observe_until", at(until)));
        let due = due(id, &run.id, DueFor::Observation, None, until);
        effects.send_at(observation_timer(id), until, SCHEDULES, Draft::new(due).subject(id))?;
    }
    if let Some(spec) = spec.filter(|_| *mode == Mode::Live && status == Status::Completed) {
        follow_ups(effects, id, run, spec, now)?;
    }
    effects.change(key, expect, fields, Ttl::Keep);
    Ok(())
}

/// Whether a run reached anybody, by its document as it is now.
async fn has_reached(run: &RunRecord, cx: &Context<grants::Executor>) -> Result<bool, Failure> {
    let found = RunRecord::read(cx.bus(), &run.experiment, &run.id).await?;
    Ok(found.is_some_and(|found| found.get(REACHED).is_some()))
}

/// The end of a run that ran beside another: what came of it is looked at as long, and the experiment's state stays the other's.
fn beside(
    effects: &mut Effects<grants::Executor>,
    told: &Told<'_>,
    status: Status,
    spec: &Spec,
    now: DateTime<Utc>,
) -> Result<Vec<(String, Option<String>)>, Failure> {
    let Told { run, experiment, mode, .. } = told;
    let id = experiment.id.as_str();
    if *mode == Mode::Live && status == Status::Completed {
        follow_ups(effects, id, run, spec, now)?;
    }
    let until = now + window(spec, *mode);
    let is_longer = experiment.observe_until().is_some_and(|former| former < until);
    if experiment.state() != Some(ExperimentState::Measuring) || !is_longer {
        return Ok(Vec::new());
    }
    let due = due(id, experiment.get("run_id").unwrap_or_default(), DueFor::Observation, None, until);
    effects.send_at(observation_timer(id), until, SCHEDULES, Draft::new(due).subject(id))?;
    Ok(vec![field("observe_until", at(until))])
}

fn follow_ups(
    effects: &mut Effects<grants::Executor>,
    id: &str,
    run: &RunRecord,
    spec: &Spec,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    let Some(outreach) = &spec.outreach else { return Ok(()) };
    for (number, follow_up) in outreach.follow_ups.iter().enumerate() {
        let at = now + TimeDelta::from_std(follow_up.after.0).unwrap_or(TimeDelta::days(365));
        let due = due(id, &run.id, DueFor::FollowUp, Some(number as u64), at);
        // Each run has its own: those of one that comes again do not take each other's place.
        effects.send_at(format!("follow_up:{id}:{}:{number}", run.id), at, SCHEDULES, Draft::new(due).subject(id))?;
    }
    Ok(())
}

/// That the time has come for something that belongs to a run.
pub(super) fn due(id: &str, run_id: &str, what: DueFor, number: Option<u64>, at: DateTime<Utc>) -> Schedules {
    Schedules::from(ScheduleDue {
        experiment_id: id.to_owned(),
        what,
        run_id: Some(run_id.to_owned()),
        number,
        action_id: None,
        due_at: Some(at),
    })
}

/// How long is looked at what comes of it.
fn window(spec: &Spec, mode: Mode) -> TimeDelta {
    let window = TimeDelta::from_std(spec.measuring.window.0).unwrap_or(TimeDelta::days(365));
    match mode {
        Mode::Live => window,
        Mode::DryRun => window.min(DRY_WINDOW),
        Mode::Simulation => window.min(SIMULATED_WINDOW),
    }
}

/// What everybody hears of it.
fn said(
    effects: &mut Effects<grants::Executor>,
    told: &Told<'_>,
    failed: Option<&Failed>,
    seconds: Option<f64>,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    let Told { run, experiment, summary, .. } = told;
    let id = experiment.id.as_str();
    let Some(failed) = failed else {
        let completed = RunCompleted { run_id: run.id.clone(), experiment_id: id.to_owned(), timestamp: Some(now) };
        effects.send(METRICS, Draft::new(Metrics::RunCompleted(completed)).subject(id))?;
        let completed = ExperimentCompleted {
            experiment_id: id.to_owned(),
            run_id: run.id.clone(),
            status: RunStatus::Success,
            duration: seconds,
            result_summary: Summary(summary.clone()),
            timestamp: Some(now),
        };
        effects.send(EXPERIMENT_RESULTS, Draft::new(ExperimentResults::from(completed)).subject(id))?;
        return Ok(());
    };
    let code = failed.code.unwrap_or(ErrorCode::Tool);
    let timeout_seconds = (code == ErrorCode::Timeout).then_some(failed.took.as_secs_f64());
    if code != ErrorCode::Cancelled {
        let error = RunError {
            experiment_id: id.to_owned(),
            run_id: Some(run.id.clone()),
            message: Untrusted::from(failed.message.as_str()),
            error_type: Some(error_type(code).to_owned()),
            timeout_seconds,
            retry_attempts: None,
            timestamp: Some(now),
        };
        effects.send(METRICS, Draft::new(Metrics::Error(error)).subject(id))?;
    }
    let mut partial = summary.clone();
    partial.extend(summarised(&failed.partial));
    let result = ExperimentFailed {
        experiment_id: id.to_owned(),
        run_id: Some(run.id.clone()),
        error: Untrusted::from(failed.message.as_str()),
        error_type: Some(error_type(code).to_owned()),
        code: Some(code),
        tool_name: failed.tool.clone(),
        timeout_seconds,
        retry_attempts: None,
        partial_results: Summary(partial),
        timestamp: Some(now),
    };
    effects.send(EXPERIMENT_RESULTS, Draft::new(ExperimentResults::from(result)).subject(id))?;
    Ok(())
}

/// A kind of error, as the founding designs name it.
fn error_type(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::NotFound => "ToolNotFoundError",
        ErrorCode::Timeout => "ToolTimeoutError",
        ErrorCode::Exhausted => "ToolRetryExhaustedError",
        _ => "ToolError",
    }
}

/// What came of the run: what its outreach gave, else its last step.
fn summary(work: &Work<'_>) -> Map<String, Value> {
    let last = work.plan.iter().rev().find_map(|planned| work.outputs.get(&planned.step.id));
    let mut summary = match work.outputs.get(OUTREACH).or(last) {
        Some(Value::Object(fields)) => summarised(fields),
        Some(Value::Array(items)) => super::actions::object(json!({ "items": items.len(), "type": "list" })),
        Some(Value::Null) | None => Map::new(),
        Some(other) => super::actions::object(json!({ "value": short(other) })),
    };
    match work.mode {
        Mode::Live => {}
        Mode::DryRun => drop(summary.insert("dry_run".to_owned(), true.into())),
        Mode::Simulation => drop(summary.insert("simulation".to_owned(), true.into())),
    }
    summary
}

/// An object without what is long in it.
fn summarised(fields: &Map<String, Value>) -> Map<String, Value> {
    let short: Map<String, Value> = fields.iter().map(|(name, value)| (name.clone(), short(value))).collect();
    if Value::Object(short.clone()).to_string().len() <= SUMMARY_LIMIT {
        return short;
    }
    short.into_iter().filter(|(_, value)| value.is_number() || value.is_boolean()).collect()
}

fn short(value: &Value) -> Value {
    match value {
        Value::String(text) => text.chars().take(TEXT_LIMIT).collect::<String>().into(),
        Value::Array(items) if items.len() > LIST_LIMIT => json!({ "items": items.len(), "type": "list" }),
        Value::Array(items) => items.iter().map(short).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), short(value))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}
