//! Steps of an experiment's lifecycle, with all that belongs to them.
//!
//! Owns what a kill means: the experiment archived, its schedule and runs cancelled, its alerts resolved, in one unit. Every runner
//! looks at its own run's document when it hears of it, and at least every 500 ms. Must never go around [`transition`].

use super::unit::Unit;
use super::{Undone, Who};
use crate::bus::{BusError, Document, Draft, Expect, Key, Op, SharedBus, State, StateChange, Ttl};
use crate::contracts::lifecycle::{ExperimentState, LifecycleEvent, transition};
use crate::contracts::messages::{DueFor, LookAgain, Metrics, ScheduleCreated, ScheduleDue, Schedules};
use crate::contracts::notes::{NoteName, Section};
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::wiring::{METRICS, SCHEDULES};
use crate::contracts::{ServiceName, keys};
use crate::experiments::learned::learned;

/// Keys read at a time.
const PAGE: usize = 500;

/// Where a step led.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) from: ExperimentState,
    pub(super) to: ExperimentState,
}

/// Lets an experiment take a step.
pub(super) async fn step(unit: &mut Unit<'_>, id: &str, event: LifecycleEvent, who: &Who) -> Result<Taken, Undone> {
    let shown = sanitize_line(id, 80);
    let key = keys::experiment(id).map_err(|bad| Undone::Impossible(bad.to_string()))?;
    let Some(experiment) = unit.document(&key).await? else {
        return Err(Undone::Impossible(format!("there is no experiment `{shown}`")));
    };
    let Some(from) = ExperimentState::of(|field| experiment.get(field)) else {
        return Err(Undone::Impossible(format!("the state of `{shown}` cannot be read; look at `{key}`")));
    };
    let former = experiment.get("former_state").and_then(ExperimentState::read);
    let to = transition(from, event, former).map_err(|illegal| Undone::Impossible(format!("`{shown}`: {illegal}")))?;
    let at = unit.at();
    let mut fields = vec![("state", Some(to.to_string())), ("updated_at", Some(at.clone()))];
    match event {
        LifecycleEvent::Archive => fields.extend([
            ("former_state", Some(from.to_string())),
            ("archived_at", Some(at)),
            ("archived_by", Some(who.by.clone())),
            ("archived_reason", who.reason.clone()),
        ]),
        LifecycleEvent::Restore => fields.extend([
            ("former_state", None),
            ("archived_at", None),
            ("archived_by", None),
            ("archived_reason", None),
            ("restored_at", Some(at)),
            ("restored_by", Some(who.by.clone())),
        ]),
        LifecycleEvent::Approve => fields.extend([("approved_at", Some(at)), ("approved_by", Some(who.by.clone()))]),
        LifecycleEvent::Pause => {
            fields.extend([("paused_by", Some(who.by.clone())), ("paused_reason", who.reason.clone())]);
        }
        LifecycleEvent::Resume => fields.extend([("paused_by", None), ("paused_reason", None)]),
        _ => {}
    }
    unit.set(&key, fields).await?;
    match event {
        LifecycleEvent::Archive => {
            cancel_schedule(unit, id, &key).await?;
            cancel_runs(unit, id, who).await?;
            resolve_alerts(unit, id, who).await?;
            let why = who.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
            unit.move_item(id, Section::Completed, format!("{shown} was killed by {}{why}", who.by));
            learn(unit, id, &key).await?;
        }
        LifecycleEvent::Restore => {
            restore_schedule(unit, id, &key).await?;
            if to == ExperimentState::Measuring {
                go_on_measuring(unit, id, &key).await?;
            }
            // Its alerts went with the kill, and what was due meanwhile was not looked at.
            let look = Metrics::Look(LookAgain { experiment_id: id.to_owned() });
            unit.say(METRICS, Draft::new(look).subject(id))?;
            let section = if to == ExperimentState::Draft { Section::Blocked } else { Section::Active };
            unit.move_item(id, section, format!("{shown} is back ({to}), restored by {}", who.by));
        }
        _ => {}
    }
    Ok(Taken { from, to })
}

/// What its numbers had decided when it was killed is learned all the same.
async fn learn(unit: &mut Unit<'_>, id: &str, experiment: &str) -> Result<(), Undone> {
    let numbers = match keys::metrics_aggregated(id) {
        Ok(key) => document(unit.bus(), &Key::new(key)).await?,
        Err(_) => None,
    };
    let learned = unit.document(experiment).await?.and_then(|experiment| learned(experiment, numbers.as_ref()));
    if let Some(learned) = learned {
        unit.note_if_possible(NoteName::Learnings, learned.change(id));
    }
    Ok(())
}

/// A schedule that an older program wrote as a string is kept in the experiment's document.
async fn cancel_schedule(unit: &mut Unit<'_>, id: &str, experiment: &str) -> Result<(), Undone> {
    let Ok(key) = keys::schedule(id) else { return Ok(()) };
    unit.state(keys::SCHEDULES_DUE, StateChange::RemoveMember(id.to_owned()));
    unit.cancel(format!("schedule:{id}"));
    match unit.bus().get(&Key::new(key.as_str())).await {
        Ok(Some(State::String(text))) => {
            unit.set(experiment, [("former_schedule", Some(text))]).await?;
            unit.push([Op::Delete { key: Key::new(key), expect: Expect::Any }]);
        }
        Ok(Some(State::Hash(schedule))) => {
            if schedule.get("state") != Some("cancelled") {
                let former = schedule.get("state").map(str::to_owned);
                unit.set(&key, [("state", Some("cancelled".to_owned())), ("former_state", former)]).await?;
            }
        }
        // Something foreign there schedules nothing; a kill must not wait for somebody to tidy up.
        Ok(_) | Err(BusError::ForeignType { .. }) => {}
        Err(err) => return Err(err.into()),
    }
    Ok(())
}

async fn restore_schedule(unit: &mut Unit<'_>, id: &str, experiment: &str) -> Result<(), Undone> {
    let Ok(key) = keys::schedule(id) else { return Ok(()) };
    let former = unit.document(experiment).await?.and_then(|it| it.get("former_schedule")).map(str::to_owned);
    if let Some(text) = former {
        unit.set(experiment, [("former_schedule", None)]).await?;
        unit.state(&key, StateChange::SetString(text.clone()));
        return say_scheduled(unit, id, text, None);
    }
    let schedule = match unit.document(&key).await {
        Ok(schedule) => schedule.filter(|schedule| schedule.get("state") == Some("cancelled")).cloned(),
        Err(BusError::ForeignType { .. }) => None,
        Err(err) => return Err(err.into()),
    };
    if let Some(schedule) = schedule {
        let former = schedule.get("former_state").map(str::to_owned);
        unit.set(&key, [("state", former), ("former_state", None)]).await?;
        if let Some(next) = schedule.get("next_at").and_then(crate::contracts::envelope::read_time) {
            #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are exact in 53 bits")]
            let score = next.timestamp() as f64;
            unit.state(keys::SCHEDULES_DUE, StateChange::Score { member: id.to_owned(), score });
        }
        if let Some(cron) = schedule.get("cron") {
            say_scheduled(unit, id, cron.to_owned(), schedule.get("timezone").map(str::to_owned))?;
        }
    }
    Ok(())
}

/// Its timer went with the kill: the executor sets it again.
fn say_scheduled(unit: &mut Unit<'_>, id: &str, schedule: String, timezone: Option<String>) -> Result<(), Undone> {
    let created = ScheduleCreated {
        experiment_id: id.to_owned(),
        schedule,
        timezone,
        source: Some(ServiceName::Gate.to_string()),
        timestamp: Some(unit.now()),
    };
    Ok(unit.say(SCHEDULES, Draft::new(Schedules::from(created)).subject(id))?)
}

/// What was to be collected and judged meanwhile was not: the executor looks when the window closes, or closed.
async fn go_on_measuring(unit: &mut Unit<'_>, id: &str, experiment: &str) -> Result<(), Undone> {
    let measured = unit.document(experiment).await?;
    let due = ScheduleDue {
        experiment_id: id.to_owned(),
        what: DueFor::Observation,
        run_id: measured.and_then(|it| it.get("run_id")).map(str::to_owned),
        number: None,
        action_id: None,
        due_at: Some(unit.now()),
    };
    Ok(unit.say(SCHEDULES, Draft::new(Schedules::from(due)).subject(id))?)
}

/// Whether a run is over, by the words that executors wrote.
fn is_over(run: &Document) -> bool {
    let status = run.get("status").or_else(|| run.get("state")).unwrap_or_default();
    matches!(status, "completed" | "success" | "failed" | "error" | "cancelled" | "canceled" | "timeout")
}

async fn cancel_runs(unit: &mut Unit<'_>, id: &str, who: &Who) -> Result<(), Undone> {
    for key in scan(unit.bus(), &format!("experiment_runs:{id}:")).await? {
        if let Some(run) = document(unit.bus(), &key).await?
            && !is_over(&run)
        {
            request_cancel(unit, key, who);
        }
    }
    Ok(())
}

/// Asks a run to stop. Its runner writes to the same document all the time, so no version is expected of it.
pub(super) fn request_cancel(unit: &mut Unit<'_>, key: Key, who: &Who) {
    let field = |name: &str, text: Option<String>| (name.to_owned(), text);
    let fields = vec![
        field("cancel_requested", Some(unit.at())),
        field("cancel_by", Some(who.by.clone())),
        field("cancel_reason", who.reason.clone()),
    ];
    unit.push([Op::Change { key, expect: Expect::Any, fields, ttl: Ttl::Keep }]);
}

/// What became of a wish to stop a run.
pub(super) enum RunFound {
    Running(Key),
    Over,
    Unknown,
}

/// The run with this id, of this experiment or of any.
pub(super) async fn find_run(bus: &SharedBus, run: &str, experiment: Option<&str>) -> Result<RunFound, BusError> {
    // A run's id often begins with its experiment's.
    let guess = experiment.or_else(|| run.split_once(':').map(|(first, _)| first));
    let direct = guess.and_then(|experiment| keys::experiment_run(experiment, run).ok()).map(Key::new);
    let candidates = match direct {
        Some(key) if document(bus, &key).await?.is_some() => vec![key],
        _ if experiment.is_some() => Vec::new(),
        _ => {
            let suffix = format!(":{run}");
            let all = scan(bus, "experiment_runs:").await?;
            all.into_iter().filter(|key| key.as_str().ends_with(&suffix)).collect()
        }
    };
    let mut found = RunFound::Unknown;
    for key in candidates {
        match document(bus, &key).await? {
            Some(run) if is_over(&run) => found = RunFound::Over,
            Some(_) => return Ok(RunFound::Running(key)),
            None => {}
        }
    }
    Ok(found)
}

async fn resolve_alerts(unit: &mut Unit<'_>, id: &str, who: &Who) -> Result<(), Undone> {
    for key in scan(unit.bus(), &format!("alerts:{id}")).await? {
        let Some(alert_id) = key.as_str().strip_prefix("alerts:") else { continue };
        let of_experiment = alert_id == id || alert_id.strip_prefix(id).is_some_and(|rest| rest.starts_with(':'));
        if of_experiment && document(unit.bus(), &key).await?.is_some() {
            unit.resolve(alert_id, who, "the experiment was killed").await?;
        }
    }
    Ok(())
}

async fn scan(bus: &SharedBus, prefix: &str) -> Result<Vec<Key>, BusError> {
    let mut keys = Vec::new();
    let mut cursor = None;
    loop {
        let (page, next) = bus.scan(prefix, cursor, PAGE).await?;
        keys.extend(page);
        match next {
            Some(_) => cursor = next,
            None => return Ok(keys),
        }
    }
}

/// The document under a key; none where there is none, or something else.
async fn document(bus: &SharedBus, key: &Key) -> Result<Option<Document>, BusError> {
    match bus.get(key).await {
        Ok(Some(State::Hash(document))) => Ok(Some(document)),
        Ok(_) | Err(BusError::ForeignType { .. }) => Ok(None),
        Err(err) => Err(err),
    }
}
