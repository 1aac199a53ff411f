//! Collection: what came of a run's mail is read from the mailbox, again and again while it is measured.
//!
//! What is read becomes events and the place to go on from, in one commit, so that nothing is counted twice. Must never act
//! on what somebody wrote, other than to leave them alone.

use async_trait::async_trait;
use chrono::TimeDelta;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::end::{due, measuring_timer};
use super::events::{self, Of};
use super::follow;
use super::people::heard_of;
use super::record::{Experiment, RunRecord};
use super::{Executor, Said, field, shown, warn};
use crate::bus::{Context, Draft, Effects, Expect, Key, Op, Received, Ttl};
use crate::contracts::channel::grants;
use crate::contracts::lifecycle::ExperimentState;
use crate::contracts::messages::{DueFor, ScheduleDue};
use crate::contracts::wiring::SCHEDULES;
use crate::contracts::{MessageId, ServiceName, Trust, Untrusted};
use crate::experiments::outreach::variant_of;
use crate::experiments::spec::{Mode, Spec};
use crate::llm::tasks::ClassifyReply;
use crate::llm::tasks::classify_reply::ReplyInput;
use crate::llm::{Asking, Task};
use crate::tools::contract::{Action, ActionDone, Answer, Call, Desk, Progress, RunContext};

/// The tool that reads what came of mail.
const READER: &str = "email_replies";
/// Mails of one reading; the rest is for the next.
const MAILS: u64 = 500;
/// People that the tool is told of.
const PEOPLE: usize = 5_000;
/// After the window has closed it is read once more.
const AFTERWARDS: TimeDelta = TimeDelta::hours(1);

/// What the tool said.
#[derive(Default)]
struct Heard(Vec<Map<String, Value>>);

#[async_trait]
impl Desk for Heard {
    async fn metric(&mut self, event: Map<String, Value>) {
        self.0.push(event);
    }

    async fn progress(&mut self, _: Progress) {}

    async fn log(&mut self, text: Untrusted) {
        tracing::info!(line = text.line(400), "the reader of replies says");
    }

    async fn asked(&mut self, _: &Action) -> Answer {
        // Reading needs no act.
        Answer::Stop
    }

    async fn done(&mut self, _: ActionDone) {}
}

/// Reads what came, and sets the next reading.
pub(super) async fn collect(
    executor: &Executor,
    due_now: &ScheduleDue,
    message: &Received,
    cx: &Context<grants::Executor>,
) -> Said {
    let id = due_now.experiment_id.as_str();
    let mut effects = cx.effects();
    let Some(mailbox) = &executor.parts.outreach.mailbox else { return Ok(effects) };
    let Some(experiment) = Experiment::read(cx.bus(), id).await? else { return Ok(effects) };
    let Some(run) = RunRecord::read(cx.bus(), id, due_now.run_id.as_deref().unwrap_or_default()).await? else {
        return Ok(effects);
    };
    let (Some(state), Ok(spec)) = (experiment.state(), experiment.spec()) else { return Ok(effects) };
    let is_over = matches!(state, ExperimentState::Archived | ExperimentState::Draft);
    if is_over || executor.parts.tools.facts(READER).await.is_none() {
        return Ok(effects);
    }
    let params = params(&spec, &run, mailbox);
    let call = Call {
        tool: READER.to_owned(),
        params,
        run: RunContext {
            experiment_id: id.to_owned(),
            run_id: run.id.clone(),
            step: "collection".to_owned(),
            mode: Mode::Live,
        },
        timeout: None,
    };
    let mut heard = Heard::default();
    let outcome = executor.parts.tools.run(call, &mut heard, cx.stop().clone()).await;
    match outcome.result {
        Ok(result) => {
            for event in heard.0 {
                for event in understood(executor, event, message, cx).await {
                    say(&mut effects, event, &experiment, &run, cx);
                }
            }
            if let Some(state) = result.get("state") {
                let fields = vec![field("collected", state.to_string())];
                effects.change(Key::new(run.key.as_str()), Expect::Any, fields, Ttl::Keep);
            }
        }
        // It is read again; nothing is lost.
        Err(err) => {
            tracing::warn!(experiment = id, err = err.message, "replies were not read");
            if run.get("collect_error") != Some(err.message.as_str()) {
                warn(&mut effects, id, &format!("the replies to {} were not read: {}", shown(id), err.message))?;
                let fields = vec![field("collect_error", err.message.as_str())];
                effects.change(Key::new(run.key.as_str()), Expect::Any, fields, Ttl::Keep);
            }
        }
    }
    again(&mut effects, id, &run, &spec, cx)?;
    Ok(effects)
}

fn params(spec: &Spec, run: &RunRecord, mailbox: &std::path::Path) -> Map<String, Value> {
    let names: Vec<&str> = spec
        .outreach
        .iter()
        .flat_map(|outreach| outreach.variants.iter().map(|variant| variant.name.as_str()))
        .collect();
    let sent: Vec<Value> = follow::people(spec, run)
        .iter()
        .filter_map(follow::address)
        .take(PEOPLE)
        .map(|address| match names.get(variant_of(&address, names.len())) {
            Some(variant) => json!({ "address": address, "variant": variant }),
            None => json!({ "address": address }),
        })
        .collect();
    let mut params = super::actions::object(json!({
        "mailbox": mailbox.display().to_string(), "experiment_id": run.experiment, "sent": sent, "limit": MAILS,
    }));
    params.extend(run.get("started_at").map(|since| ("since".to_owned(), since.into())));
    let state = run.get("collected").and_then(|text| serde_json::from_str::<Value>(text).ok());
    params.extend(state.map(|state| ("state".to_owned(), state)));
    params
}

/// The next reading, until the window has closed.
fn again(
    effects: &mut Effects<grants::Executor>,
    id: &str,
    run: &RunRecord,
    spec: &Spec,
    cx: &Context<grants::Executor>,
) -> Result<(), crate::bus::Failure> {
    let every = TimeDelta::from_std(spec.measuring.collect_every.0).unwrap_or(AFTERWARDS).max(TimeDelta::seconds(1));
    let window = TimeDelta::from_std(spec.measuring.window.0).unwrap_or(TimeDelta::days(365));
    let ended = run.time("ended_at").unwrap_or_else(|| cx.now());
    let next = cx.now() + every;
    if next > ended + window + every.min(AFTERWARDS) {
        return Ok(());
    }
    let draft = Draft::new(due(id, &run.id, DueFor::Collection, None, next)).subject(id);
    effects.send_at(measuring_timer("collection", id), next, SCHEDULES, draft)?;
    Ok(())
}

/// An event, and what follows from it.
fn say(
    effects: &mut Effects<grants::Executor>,
    event: Map<String, Value>,
    experiment: &Experiment,
    run: &RunRecord,
    cx: &Context<grants::Executor>,
) {
    let name = event.get("event").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(person) = events::person(&event) {
        effects.extend(heard_of(&name, &person, &experiment.id, cx.now()));
    }
    let of = Of { experiment: &experiment.id, run: &run.id, mode: Mode::Live };
    match events::message(event, of, cx) {
        Ok(message) => effects.extend([Op::Append(message)]),
        Err(why) => tracing::warn!(experiment = experiment.id, why, "an event was left out"),
    }
}

/// What an event means: a reply is looked at by a mind, which says what sort of reply it is.
async fn understood(
    executor: &Executor,
    mut event: Map<String, Value>,
    message: &Received,
    cx: &Context<grants::Executor>,
) -> Vec<Map<String, Value>> {
    let is_reply = event.get("event").and_then(Value::as_str) == Some("reply");
    let said = |name: &str| event.get(name).and_then(Value::as_str).map(Untrusted::from);
    let (true, Some(text)) = (is_reply, said("text")) else { return vec![event] };
    let input = ReplyInput { subject: said("subject"), text };
    let id = said("id").map(|id| id.raw().to_owned()).unwrap_or_default();
    let asking = Asking {
        service: ServiceName::Executor,
        message: Some(of_its_own(message.envelope.id, &id)),
        trace: Some(message.envelope.trace),
        trust: Trust::External,
        stop: cx.stop().clone(),
    };
    let kind = match executor.parts.mind.ask::<ClassifyReply>(&asking, &input).await {
        Ok(answered) => answered.output.kind,
        Err(err) => {
            tracing::warn!(%err, "no model says what a reply is; the rules do");
            ClassifyReply::rule(&input).output.kind
        }
    };
    event.insert("class".to_owned(), kind.as_str().into());
    let mut events = Vec::new();
    if let Some(name) = kind.event() {
        let mut more = event.clone();
        more.shift_remove("text");
        more.insert("event".to_owned(), name.into());
        more.insert("id".to_owned(), format!("{name}:{id}").into());
        events.push(more);
    }
    if !kind.is_persons() {
        event.insert("event".to_owned(), "auto_reply".into());
    }
    events.insert(0, event);
    events
}

/// A message's id for one of several questions about it, so that each has a journal of its own.
fn of_its_own(message: MessageId, what: &str) -> MessageId {
    let mut bytes = *message.0.as_bytes();
    let digest = Sha256::digest(what);
    // The version and the variant stay as they are.
    bytes[10..].iter_mut().zip(digest).for_each(|(byte, other)| *byte ^= other);
    MessageId(uuid::Uuid::from_bytes(bytes))
}
