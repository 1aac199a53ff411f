//! Schedules, armed: the next moment in the schedule's document, and the timer that says it.
//!
//! Must never set a timer for a schedule that is cancelled, nor change a moment that is being waited for.

use chrono::{DateTime, Utc};

use super::record::{Experiment, ScheduleRecord, at};
use super::{Said, field, gone, shown, terminal, warn};
use crate::bus::{BusError, Context, Draft, Effects, Expect, Failure, Key, State, StateChange, Ttl};
use crate::contracts::channel::grants;
use crate::contracts::lifecycle::ExperimentState;
use crate::contracts::messages::{ExecuteNow, RunNow, ScheduleCreated};
use crate::contracts::wiring::EXECUTE_NOW;
use crate::contracts::{ServiceName, keys};
use crate::experiments::schedule::Schedule;
use crate::experiments::spec::Missed;

/// The timer of an experiment's schedule.
pub(super) fn timer(id: &str) -> String {
    format!("schedule:{id}")
}

/// An experiment was published: where it has a schedule that nothing waits for, that is armed.
pub(super) async fn published(id: &str, cx: &Context<grants::Executor>) -> Said {
    let mut effects = cx.effects();
    if let Some(schedule) = ScheduleRecord::read(cx.bus(), id).await?
        && schedule.next_at().is_none()
    {
        let experiment = Experiment::read(cx.bus(), id).await?;
        arm(&mut effects, id, &schedule, experiment.as_ref(), cx)?;
    }
    Ok(effects)
}

/// A schedule was published.
pub(super) async fn scheduled(created: &ScheduleCreated, cx: &Context<grants::Executor>) -> Said {
    let id = created.experiment_id.as_str();
    let mut effects = cx.effects();
    let key = keys::schedule(id).map_err(terminal)?;
    let experiment = Experiment::read(cx.bus(), id).await?;
    if experiment.as_ref().is_some_and(|experiment| experiment.state() == Some(ExperimentState::Archived)) {
        warn(&mut effects, id, &format!("{} is archived: its schedule was not set", shown(id)))?;
        return Ok(effects);
    }
    // An older program's string holds the cron alone; it becomes a document.
    let found = match cx.bus().get(&Key::new(key.as_str())).await {
        Ok(found) => found,
        Err(err @ BusError::ForeignType { .. }) => return Err(terminal(err)),
        Err(err) => return Err(err.into()),
    };
    let mut document = match found {
        Some(State::Hash(document)) => document,
        Some(State::String(_)) => {
            effects.delete(Key::new(key.as_str()), Expect::Any);
            crate::bus::Document::default()
        }
        Some(other) => {
            return Err(Failure::Terminal(color_eyre::eyre::eyre!(
                "`{key}` holds a {}, no schedule",
                other.type_name()
            )));
        }
        None => crate::bus::Document::default(),
    };
    let said = |document: &crate::bus::Document| {
        (document.get("cron").map(str::to_owned), document.get("timezone").map(str::to_owned))
    };
    let before = said(&document);
    document.fields.insert("cron".to_owned(), created.schedule.clone());
    match &created.timezone {
        Some(zone) => document.fields.insert("timezone".to_owned(), zone.clone()),
        None => document.fields.remove("timezone"),
    };
    if said(&document) != before {
        document.fields.remove("next_at");
    }
    arm(&mut effects, id, &ScheduleRecord { key, document }, experiment.as_ref(), cx)?;
    Ok(effects)
}

/// Sets the next moment, or says why there is none. A moment that is to come already stays as it is, and gets its timer again.
pub(super) fn arm(
    effects: &mut Effects<grants::Executor>,
    id: &str,
    schedule: &ScheduleRecord,
    experiment: Option<&Experiment>,
    cx: &Context<grants::Executor>,
) -> Result<(), Failure> {
    if !schedule.is_active() {
        return Ok(());
    }
    let document = &schedule.document;
    let zone = document.get("timezone");
    let read = Schedule::parse(document.get("cron").unwrap_or_default(), zone);
    let expect = if document.version == 0 && document.get("state").is_none() {
        Expect::Any
    } else {
        Expect::Version(document.version)
    };
    let mut fields = vec![
        ("cron".to_owned(), document.get("cron").map(str::to_owned)),
        ("timezone".to_owned(), zone.map(str::to_owned)),
        field("state", "active"),
    ];
    if document.get("created_at").is_none() {
        fields.push(field("created_at", at(cx.now())));
    }
    // What its specification says, where the schedule itself does not say otherwise.
    if document.get("missed").is_none()
        && let Some(Ok(spec)) = experiment.map(Experiment::spec)
    {
        fields.push(field("missed", spec.execution.missed.as_str()));
    }
    match read {
        Ok(read) => {
            let next = schedule.next_at().or_else(|| read.next_after(cx.now()));
            set_next(effects, id, next, &mut fields)?;
            fields.push(gone("error"));
        }
        Err(err) => {
            warn(effects, id, &format!("the schedule of {} was not set: {err}", shown(id)))?;
            fields.push(field("error", err.to_string()));
        }
    }
    effects.change(Key::new(schedule.key.as_str()), expect, fields, Ttl::Keep);
    Ok(())
}

/// The next moment and its timer; without one the schedule is done.
pub(super) fn set_next(
    effects: &mut Effects<grants::Executor>,
    id: &str,
    next: Option<DateTime<Utc>>,
    fields: &mut Vec<(String, Option<String>)>,
) -> Result<(), Failure> {
    let due = Key::new(keys::SCHEDULES_DUE);
    let Some(next) = next else {
        fields.extend([field("state", "done"), gone("next_at")]);
        effects.state(due, StateChange::RemoveMember(id.to_owned()));
        return Ok(());
    };
    fields.push(field("next_at", at(next)));
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are exact in 53 bits")]
    let score = next.timestamp() as f64;
    effects.state(due, StateChange::Score { member: id.to_owned(), score });
    let draft = Draft::new(due_run(id, next)).subject(id);
    effects.send_at(timer(id), next, EXECUTE_NOW, draft)?;
    Ok(())
}

/// What is said when a moment comes.
pub(super) fn due_run(id: &str, due: DateTime<Utc>) -> ExecuteNow {
    ExecuteNow::from(RunNow {
        experiment_id: id.to_owned(),
        triggered_by: Some("schedule".to_owned()),
        reason: None,
        due_at: Some(due),
        force: false,
        timestamp: None,
    })
}

/// A schedule's policy for moments that passed.
pub(super) fn missed(schedule: &ScheduleRecord) -> Missed {
    match schedule.document.get("missed") {
        Some("skip") => Missed::Skip,
        Some("all") => Missed::All,
        _ => Missed::Once,
    }
}

/// Who says that a run is due by a schedule.
pub(super) const SOURCE: ServiceName = ServiceName::Executor;
