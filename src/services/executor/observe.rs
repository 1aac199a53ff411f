//! The end of the observation: the experiment is judged by what its numbers said, and goes on or is over.
//!
//! Must never judge itself: the verdict is that of whoever watches the numbers.

use super::end::{due, observation_timer};
use super::record::{self, Experiment, at};
use super::{Said, document, field, gone, shown};
use crate::bus::{Context, Draft, Effects, Expect, Failure, Key, Ttl};
use crate::contracts::channel::grants;
use crate::contracts::lifecycle::{ExperimentState, LifecycleEvent, transition};
use crate::contracts::messages::{Achievement, DueFor, FromOrchestrator, ScheduleDue, StatusUpdate, WinAlert, Words};
use crate::contracts::notes::{NoteChange, NoteName, Section};
use crate::contracts::wiring::{FROM_ORCHESTRATOR, SCHEDULES};
use crate::contracts::{Priority, keys};
use crate::experiments::learned::learned;
use crate::experiments::spec::Mode;
use crate::memory;

/// Closes the window that `due` names, if it is still the experiment's.
pub(super) async fn observe(due_now: &ScheduleDue, cx: &Context<grants::Executor>) -> Said {
    let id = due_now.experiment_id.as_str();
    let mut effects = cx.effects();
    let Some(experiment) = Experiment::read(cx.bus(), id).await? else { return Ok(effects) };
    let run_id = experiment.get("run_id").unwrap_or_default();
    let is_its = due_now.run_id.as_deref().is_none_or(|run| run == run_id);
    if experiment.state() != Some(ExperimentState::Measuring) || !is_its {
        return Ok(effects);
    }
    let now = cx.now();
    if let Some(until) = experiment.observe_until().filter(|until| *until > now) {
        // It was put away meanwhile, or the clock was set back.
        let draft = Draft::new(due(id, run_id, DueFor::Observation, None, until)).subject(id);
        effects.send_at(observation_timer(id), until, SCHEDULES, draft)?;
        return Ok(effects);
    }
    let verdict = experiment.get("verdict").unwrap_or("undecided");
    let event = if record::recurs(cx.bus(), id).await? {
        LifecycleEvent::Recur
    } else if verdict == "failing" {
        LifecycleEvent::Fail
    } else {
        LifecycleEvent::Complete
    };
    let to = transition(ExperimentState::Measuring, event, None).map_err(super::terminal)?;
    let fields = vec![
        field("state", to.as_str()),
        field("judged_at", at(now)),
        field("updated_at", at(now)),
        gone("observe_until"),
    ];
    effects.change(Key::new(experiment.key.as_str()), Expect::Version(experiment.document.version), fields, Ttl::Keep);
    tell(&mut effects, &experiment, verdict, to)?;
    note(&mut effects, &experiment, verdict, to, cx).await?;
    Ok(effects)
}

fn tell(
    effects: &mut Effects<grants::Executor>,
    experiment: &Experiment,
    verdict: &str,
    to: ExperimentState,
) -> Result<(), Failure> {
    let id = experiment.id.as_str();
    let now = Some(effects.now());
    let what = match experiment.mode() {
        Mode::Live => "experiment",
        Mode::DryRun => "dry run",
        Mode::Simulation => "simulation",
    };
    let said = if verdict == "succeeded" && experiment.mode() == Mode::Live {
        let payload = Achievement {
            achievement: format!("the experiment {} succeeded", shown(id)),
            experiment_id: Some(id.to_owned()),
        };
        FromOrchestrator::from(WinAlert { payload, priority: Priority::Medium, timestamp: now })
    } else {
        let next = if to == ExperimentState::Ready { "it runs again by its schedule" } else { to.as_str() };
        let message = format!("The observation of the {what} {} is closed: {}; {next}.", shown(id), shown(verdict));
        FromOrchestrator::from(StatusUpdate { payload: Words { message }, priority: Priority::Medium, timestamp: now })
    };
    effects.send(FROM_ORCHESTRATOR, Draft::new(said).subject(id))?;
    Ok(())
}

/// Its item on the worklist, and what was learned.
async fn note(
    effects: &mut Effects<grants::Executor>,
    experiment: &Experiment,
    verdict: &str,
    to: ExperimentState,
    cx: &Context<grants::Executor>,
) -> Result<(), Failure> {
    let id = experiment.id.as_str();
    let mut changes = Vec::new();
    if to != ExperimentState::Ready {
        let text = format!("{} was measured to its end: {}", shown(id), shown(verdict));
        changes.push((NoteName::Worklist, NoteChange::Item { key: id.to_owned(), section: Section::Completed, text }));
    }
    let numbers = match keys::metrics_aggregated(id) {
        Ok(key) => document(cx.bus(), &key).await?,
        Err(_) => None,
    };
    if let Some(learned) = learned(&experiment.document, numbers.as_ref()) {
        changes.push((NoteName::Learnings, learned.change(id)));
    }
    for (name, change) in changes {
        memory::try_change(effects, cx.bus(), name, &change, "executor").await?;
    }
    Ok(())
}
