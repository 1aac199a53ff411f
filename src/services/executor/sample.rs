//! A sample: one mail of an experiment goes to the operator, as one of its recipients would get it.
//!
//! The people are found as a run finds them, and the mail is sent by the same tool in the same sandbox. It is marked, it counts for nothing,
//! and its record (`actions:{id}`, `kind` is `sample`) stands in the way of no real mail. Must never reach a recipient, nor anybody whom the
//! operator did not name.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::actions::{self, ActionRecord};
use super::desk::on_hold;
use super::pen::{commit_all, settled};
use super::people;
use super::record::{Experiment, at};
use super::run::fill_in;
use super::{Executor, Said, field, follow, shown, warn};
use crate::bus::{Commit, Context, Draft, Effects, Expect, Failure, Op, Received};
use crate::contracts::channel::grants;
use crate::contracts::messages::{FromOrchestrator, SampleExperiment, StatusUpdate, Words};
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::wiring::FROM_ORCHESTRATOR;
use crate::contracts::{Priority, ServiceName, Trust, Untrusted, keys};
use crate::experiments::spec::{Mode, Spec};
use crate::experiments::steps::{self, By, Planned, SENDER};
use crate::tools::contract::{ActOutcome, Action, ActionDone, Answer, Call, Desk, Progress, RunContext};

/// People whom the tool is told of: it takes the first for whom the mail can be written.
const PEOPLE: usize = 20;

/// The record of a sample, by the message that ordered it.
pub fn record_of(message: &str) -> String {
    keys::person(&format!("sample:{message}"))
}

/// Sends what is wanted, once, and says what came of it.
pub(super) async fn sample(
    executor: &Executor,
    wanted: &SampleExperiment,
    message: &Received,
    cx: &Context<grants::Executor>,
) -> Said {
    let run = message.envelope.id.to_string();
    let record = ActionRecord::read(cx.bus(), &record_of(&run)).await?;
    let told = Told { wanted, record, effects: cx.effects() };
    match told.record.get("state") {
        None => {}
        Some("started") => {
            let why = "whoever sent it ended before saying whether it went out; look, and order another one";
            return told.end("unknown", None, Some(why));
        }
        Some(_) => return Ok(told.effects),
    }
    if message.envelope.trust < Trust::Operator || message.envelope.source != ServiceName::ControlRoom.as_str() {
        return told.end("failed", None, Some("only the operator orders one"));
    }
    let ready = match ready(executor, wanted, &run, cx).await? {
        Ok(ready) => ready,
        Err(_) if cx.stop().is_cancelled() => return Err(stopping()),
        Err(why) => return told.end("failed", None, Some(&why)),
    };
    let mut desk = SampleDesk { cx, record: &told.record, wanted, to: &ready.to, begun: None, came: None };
    let call = call(SENDER, ready.params, (wanted, &run, "sample"), Mode::Live);
    let outcome = executor.parts.tools.run(call, &mut desk, cx.stop().clone()).await;
    let (begun, came) = (desk.begun, desk.came);
    let failed = outcome.result.err();
    match (begun, came) {
        (Some(action), Some(done)) if done.outcome == ActOutcome::Done => told.end("done", Some(&action), None),
        (Some(action), Some(done)) => {
            let why = done.error.map(|error| error.line(300)).unwrap_or_default();
            let state = if done.outcome == ActOutcome::Unknown { "unknown" } else { "failed" };
            told.end(state, Some(&action), Some(&why))
        }
        (Some(action), None) => {
            told.end("unknown", Some(&action), Some("its sender ended before saying whether it went out"))
        }
        (None, _) if cx.stop().is_cancelled() => Err(stopping()),
        (None, _) => {
            let why =
                failed.map_or_else(|| "nothing was to be sent, or everything is on hold".to_owned(), |err| err.message);
            told.end("failed", None, Some(&why))
        }
    }
}

fn stopping() -> Failure {
    color_eyre::eyre::eyre!("the program stops before the sample was sent").into()
}

/// What is needed to send one.
struct Ready {
    to: String,
    params: Map<String, Value>,
}

/// Finds the people and fills in the mail; or why there can be none, in words.
async fn ready(
    executor: &Executor,
    wanted: &SampleExperiment,
    run: &str,
    cx: &Context<grants::Executor>,
) -> Result<Result<Ready, String>, Failure> {
    let outreach = &executor.parts.outreach;
    let Some(experiment) = Experiment::read(cx.bus(), &wanted.experiment_id).await? else {
        return Ok(Err("there is no such experiment".to_owned()));
    };
    let mut spec = match experiment.spec() {
        Ok(spec) => spec,
        Err(why) => return Ok(Err(why)),
    };
    let Some(to) = wanted.to.as_ref().or(outreach.operator_email.as_ref()) else {
        return Ok(Err("nobody said where it should go; name an address, or set `outreach.operator_email`".to_owned()));
    };
    let Ok(to) = to.trim().parse::<lettre::Address>() else {
        return Ok(Err(format!("`{}` is no mail address; write NAME@HOST", shown(to))));
    };
    let to = to.to_string().to_lowercase();
    if people::suppressed(cx.bus(), &keys::person(&to)).await?.is_some() {
        return Ok(Err(format!("{to} is on the list of those who are not written to (`fullsend suppressions`)")));
    }
    let finds = if spec.mode == Mode::Simulation { Mode::Simulation } else { Mode::DryRun };
    let plan = match mails(&mut spec, executor) {
        Ok(plan) => plan,
        Err(why) => return Ok(Err(why)),
    };
    let mut outputs = BTreeMap::new();
    let Some((sends, before)) = plan.split_last() else { return Ok(Err("it sends no mail".to_owned())) };
    for Planned { step, .. } in before {
        let params = match steps::resolve(&step.params, &outputs) {
            Ok(params) => params,
            Err(err) => return Ok(Err(format!("step {}: {err}", shown(&step.id)))),
        };
        let call = call(&step.tool, params, (wanted, run, &step.id), finds);
        match executor.parts.tools.run(call, &mut Quiet, cx.stop().clone()).await.result {
            Ok(output) => drop(outputs.insert(step.id.clone(), output)),
            Err(err) => return Ok(Err(format!("step {}: {}", shown(&step.id), sanitize_line(&err.message, 300)))),
        }
    }
    let mut params = match steps::resolve(&sends.step.params, &outputs) {
        Ok(params) => params,
        Err(err) => return Ok(Err(err.to_string())),
    };
    let Some(Value::Array(people)) = params.get_mut("recipients") else {
        return Ok(Err("its recipients are no list".to_owned()));
    };
    let is_to = |person: &Value| person.as_object().and_then(follow::address).is_some_and(|address| address == to);
    if people.iter().any(is_to) {
        return Ok(Err(format!(
            "{to} is one of its recipients, and a sample goes to none of them; name another address"
        )));
    }
    if people.is_empty() {
        return Ok(Err("it found nobody who would get it".to_owned()));
    }
    people.truncate(PEOPLE);
    fill_in(&mut params, outreach, Mode::Live);
    params.insert("sample_to".to_owned(), to.clone().into());
    Ok(Ok(Ready { to, params }))
}

/// The step that sends mail, after those that it needs.
fn mails(spec: &mut Spec, executor: &Executor) -> Result<Vec<Planned>, String> {
    // What would be done if it went live.
    spec.mode = Mode::Live;
    if let Some(outreach) = spec.outreach.as_mut().filter(|outreach| outreach.sender.is_none()) {
        outreach.sender.clone_from(&executor.parts.outreach.sender);
    }
    let mut plan = steps::plan(spec).map_err(|err| err.to_string())?;
    if plan.iter().any(|planned| planned.by == By::Person) && !plan.iter().any(|it| it.step.tool == SENDER) {
        return Err(
            "a person writes to its people: no sender is set (`outreach.sender`), or it is not by mail".to_owned()
        );
    }
    let at = plan.iter().position(|planned| planned.step.tool == SENDER).ok_or("it sends no mail")?;
    plan.truncate(at + 1);
    // Backwards from the mail: the steps before it stand in their order.
    let ids: BTreeSet<String> = plan.iter().map(|planned| planned.step.id.clone()).collect();
    let mut needed = BTreeSet::from([plan[at].step.id.clone()]);
    for Planned { step, .. } in plan.iter().rev() {
        if needed.contains(&step.id) {
            needed.extend(steps::heads(&step.params, |name| ids.contains(name)));
            needed.extend(step.depends_on.iter().cloned());
        }
    }
    plan.retain(|planned| needed.contains(&planned.step.id) && planned.by == By::Tool);
    Ok(plan)
}

fn call(tool: &str, params: Map<String, Value>, of: (&SampleExperiment, &str, &str), mode: Mode) -> Call {
    let (wanted, run, step) = of;
    let (experiment_id, run_id, step) = (wanted.experiment_id.clone(), run.to_owned(), step.to_owned());
    Call { tool: tool.to_owned(), params, run: RunContext { experiment_id, run_id, step, mode }, timeout: None }
}

/// What is written down and said of it.
struct Told<'a> {
    wanted: &'a SampleExperiment,
    record: ActionRecord,
    effects: Effects<grants::Executor>,
}

impl Told<'_> {
    /// It is over, with a record that whoever ordered it finds.
    fn end(mut self, state: &str, action: Option<&Action>, why: Option<&str>) -> Said {
        let id = self.wanted.experiment_id.as_str();
        let now = self.effects.now();
        let why = why.map(|why| sanitize_line(why, 400));
        let mut fields = vec![
            field("kind", "sample"),
            field("experiment_id", shown(id)),
            field("state", state),
            field("at", at(now)),
            ("by".to_owned(), self.wanted.by.as_deref().map(shown)),
            ("error".to_owned(), why.clone()),
        ];
        fields.extend(action.map(|action| field("target", shown(&action.target))));
        // The same as a moment ago, or begun by this very handler.
        let op = self.record.change(fields, Mode::DryRun);
        let op = match op {
            Op::Change { key, fields, ttl, .. } => Op::Change { key, expect: Expect::Any, fields, ttl },
            other => other,
        };
        self.effects.extend([op]);
        match (why, action) {
            (None, Some(action)) => {
                let subject = action.details.get("subject").and_then(Value::as_str).unwrap_or_default();
                let message = format!(
                    "A sample of {} went to {}: {}",
                    shown(id),
                    shown(&action.target),
                    sanitize_line(subject, 200)
                );
                let payload = Words { message };
                let said = StatusUpdate { payload, priority: Priority::Low, timestamp: Some(now) };
                self.effects.send(FROM_ORCHESTRATOR, Draft::new(FromOrchestrator::from(said)).subject(id))?;
            }
            (why, _) => {
                let why = why.unwrap_or_default();
                warn(&mut self.effects, id, &format!("no sample of {}: {why}", shown(id)))?;
            }
        }
        Ok(self.effects)
    }
}

/// Lets the tool send one mail, to the operator.
struct SampleDesk<'a> {
    cx: &'a Context<grants::Executor>,
    record: &'a ActionRecord,
    wanted: &'a SampleExperiment,
    to: &'a str,
    begun: Option<Action>,
    came: Option<ActionDone>,
}

#[async_trait]
impl Desk for SampleDesk<'_> {
    async fn metric(&mut self, _: Map<String, Value>) {}

    async fn progress(&mut self, _: Progress) {}

    async fn log(&mut self, text: Untrusted) {
        tracing::info!(line = text.line(400), "the sender of a sample says");
    }

    async fn asked(&mut self, action: &Action) -> Answer {
        if self.begun.is_some() || action.target != self.to || on_hold(self.cx.bus()).await {
            return Answer::Stop;
        }
        let mut fields = actions::what(action, &self.wanted.experiment_id, "", Mode::DryRun);
        fields.extend([field("kind", "sample"), field("state", "started"), field("at", at(self.cx.now()))]);
        let unit = Commit::of(vec![self.record.change(fields, Mode::DryRun)]);
        let begun = commit_all(self.cx.bus(), vec![unit], self.cx.stop()).await;
        let begun = begun.map(|mut outcomes| outcomes.pop().map(settled));
        if !matches!(begun, Ok(Some(Ok(())))) {
            return Answer::Stop;
        }
        self.begun = Some(action.clone());
        Answer::Go
    }

    async fn done(&mut self, done: ActionDone) {
        self.came = Some(done);
    }
}

/// Listens to what finds people, and lets it do nothing.
struct Quiet;

#[async_trait]
impl Desk for Quiet {
    async fn metric(&mut self, _: Map<String, Value>) {}

    async fn progress(&mut self, _: Progress) {}

    async fn log(&mut self, _: Untrusted) {}

    async fn asked(&mut self, _: &Action) -> Answer {
        Answer::Stop
    }

    async fn done(&mut self, _: ActionDone) {}
}
