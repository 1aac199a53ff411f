//! Follow-ups: who did not answer hears once more, in a run of its own beside the experiment's life.

use serde_json::{Map, Value};

use super::people::Contact;
use super::record::{Experiment, RunRecord, Status, at};
use super::{Executor, Said, begin, field, shown, terminal, warn};
use crate::bus::{BusError, Context, Document, Draft, Expect, Failure, Key, Received, SharedBus, State, Ttl};
use crate::contracts::channel::grants;
use crate::contracts::keys;
use crate::contracts::lifecycle::ExperimentState;
use crate::contracts::messages::ScheduleDue;
use crate::contracts::wiring::SCHEDULES;
use crate::experiments::outreach::{self, field as field_of};
use crate::experiments::spec::Spec;
use crate::experiments::steps::{self, SENDER};

/// Puts the follow-up down as a run, with those who did not answer.
pub(super) async fn follow(
    executor: &Executor,
    due: &ScheduleDue,
    message: &Received,
    cx: &Context<grants::Executor>,
) -> Said {
    let id = due.experiment_id.as_str();
    let mut effects = cx.effects();
    let (Some(parent), Some(number)) = (due.run_id.as_deref(), due.number) else {
        return Err(Failure::Terminal(color_eyre::eyre::eyre!("a follow-up names its run and its number")));
    };
    let Some(experiment) = Experiment::read(cx.bus(), id).await? else { return Ok(effects) };
    let Some(run) = RunRecord::read(cx.bus(), id, parent).await? else { return Ok(effects) };
    match experiment.state() {
        Some(ExperimentState::Measuring | ExperimentState::Running) => {}
        // Whoever killed it knows.
        Some(ExperimentState::Archived) => return Ok(effects),
        state => {
            let state = state.map_or_else(|| "in no state that can be read".to_owned(), |state| state.to_string());
            let what = format!("the follow-up {} of {} was left out: it is {state}", number + 1, shown(id));
            warn(&mut effects, id, &what)?;
            return Ok(effects);
        }
    }
    if !executor.parts.outreach.reads_answers() {
        let what = format!(
            "the follow-up {} of {} was left out: nobody reads who answered; set `outreach.mailbox`",
            number + 1,
            shown(id)
        );
        warn(&mut effects, id, &what)?;
        return Ok(effects);
    }
    let mut spec = match experiment.spec() {
        Ok(spec) => spec,
        Err(why) => {
            warn(&mut effects, id, &format!("no follow-up of {}: {why}", shown(id)))?;
            return Ok(effects);
        }
    };
    if let Some(outreach) = spec.outreach.as_mut().filter(|outreach| outreach.sender.is_none()) {
        outreach.sender.clone_from(&executor.parts.outreach.sender);
    }
    let recipients = silent(cx.bus(), id, &spec, &run).await?;
    if recipients.is_empty() {
        tracing::info!(experiment = id, "no follow-up: nobody is left who did not answer");
        return Ok(effects);
    }
    let run_id = message.envelope.id.to_string();
    let text = serde_json::to_string(&recipients).map_err(terminal)?;
    let fields = vec![
        field("experiment_id", id),
        field("status", Status::Waiting.as_str()),
        field("trigger", "follow_up"),
        field("follow_up", number.to_string()),
        field("follows", parent),
        field("recipients", text),
        field("queued_at", at(cx.now())),
        field("timestamp", at(cx.now())),
        field("trace", message.envelope.trace.to_string()),
        field("waiting_for", "a free slot"),
    ];
    let key = keys::experiment_run(id, &run_id).map_err(terminal)?;
    effects.change(Key::new(key), Expect::Absent, fields, Ttl::Keep);
    effects.send(SCHEDULES, Draft::new(begin::due(id, &run_id)).subject(id))?;
    Ok(effects)
}

/// Those whom the first message reached, and who did not answer, bounce or leave.
async fn silent(bus: &SharedBus, id: &str, spec: &Spec, run: &RunRecord) -> Result<Vec<Map<String, Value>>, Failure> {
    let mut silent = Vec::new();
    for mut person in people(spec, run) {
        let Some(address) = address(&person) else { continue };
        let Some(first) = first(bus, id, &address).await? else { continue };
        if first.get("state") != Some("done") || has_answered(bus, id, &address).await? {
            continue;
        }
        let mut put = |name: &str, value: Option<&str>| {
            person.extend(value.map(|value| (name.to_owned(), Value::String(value.to_owned()))));
        };
        put("variant", first.get("variant"));
        put("message_id", first.get("message_id"));
        put("first_subject", first.get("subject"));
        silent.push(person);
    }
    Ok(silent)
}

/// The people of a run's outreach, as it had them.
pub(super) fn people(spec: &Spec, run: &RunRecord) -> Vec<Map<String, Value>> {
    let Ok(plan) = steps::plan(spec) else { return Vec::new() };
    let sender = plan.into_iter().find(|planned| planned.step.tool == SENDER);
    let params = sender.and_then(|planned| steps::resolve(&planned.step.params, &run.outputs()).ok());
    match params.and_then(|mut params| params.shift_remove("recipients")) {
        Some(Value::Array(people)) => {
            let fields = |it| if let Value::Object(fields) = it { Some(fields) } else { None };
            people.into_iter().filter_map(fields).collect()
        }
        _ => Vec::new(),
    }
}

/// The address of a person of a list, as it is counted.
pub(super) fn address(person: &Map<String, Value>) -> Option<String> {
    outreach::address(&field_of(person, "email").or_else(|| field_of(person, "address"))?)
}

/// The record of the first message to somebody.
async fn first(bus: &SharedBus, id: &str, address: &str) -> Result<Option<Document>, BusError> {
    let Ok(key) = keys::action(&keys::person(&format!("email:{id}:{address}:first"))) else { return Ok(None) };
    match bus.get(&Key::new(key)).await? {
        Some(State::Hash(action)) => Ok(Some(action)),
        _ => Ok(None),
    }
}

async fn has_answered(bus: &SharedBus, id: &str, address: &str) -> Result<bool, BusError> {
    let contact = Contact::read(bus, &keys::person(address)).await?;
    Ok(contact.is_some_and(|contact| contact.has_answered(id)))
}
