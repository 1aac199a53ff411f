//! FULLSEND: designs experiments, hands them to the gate, and looks after what becomes of them.
//!
//! Owns drafts: an idea, or a person's own specification, becomes a draft that is checked, and a proposal to let it go live. What is missing is
//! asked for, and what waits for it goes on when it is there. Results become reports and tactical learnings. Must never prioritise, never
//! build, never run, and never let anything go live itself: the gate does, on a yes.

mod draft;
mod known;
mod people;
mod preview;
mod results;
#[cfg(test)]
mod tests;
mod waiting;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use color_eyre::eyre::eyre;

use super::wording::line;
use crate::bus::{Commit, Context, Document, Effects, Failure, Handler, Key, Op, Received, SharedBus, State};
use crate::config::OutreachConfig;
use crate::contracts::channel::grants;
use crate::contracts::messages::{
    ApprovalCompleted, ApprovalOutcome, Approvals, BuilderResults, DesignFailed, DesignStarted, ErrorNotice,
    ExperimentRequest, ExperimentResults, ExperimentSubmit, FromOrchestrator, FullsendFailed, FullsendStarted,
    ToFullsend, ToOrchestrator, Words,
};
use crate::contracts::notes::{NoteChange, NoteName, Section};
use crate::contracts::wiring::{FROM_ORCHESTRATOR, TO_ORCHESTRATOR};
use crate::contracts::{ChannelName, Priority, ServiceName, Untrusted, keys};
use crate::experiments::aliases;
use crate::experiments::document;
use crate::experiments::read::read_with;
use crate::experiments::spec::Spec;
use crate::llm::tasks::{DesignExperiment, DesignInput};
use crate::llm::{Answered, Asking, Mind, NoAnswer, Task};
use crate::memory::{self, Memory, TeamContext};
use draft::Draft;

/// Designs side by side: a slow one never keeps results waiting.
const SLOTS: usize = 8;
/// Characters of an idea that are repeated.
const IDEA_LIMIT: usize = 160;

type Said = Result<Effects<grants::Fullsend>, Failure>;

/// The service.
#[derive(Debug)]
pub struct Fullsend {
    mind: Mind,
    memory: Arc<Memory>,
    outreach: OutreachConfig,
    /// Folders that relative paths of lists are looked for in.
    folders: Vec<PathBuf>,
    time_limit: Duration,
}

impl Fullsend {
    /// Designs with this mind, from this memory. `folders` are looked through for lists that an idea names; `thinking` is how long a
    /// design may take.
    pub fn new(
        mind: Mind,
        memory: Arc<Memory>,
        outreach: OutreachConfig,
        folders: Vec<PathBuf>,
        thinking: Duration,
    ) -> Self {
        Self { mind, memory, outreach, folders, time_limit: thinking * 2 + Duration::from_mins(1) }
    }

    async fn request(&self, request: ExperimentRequest, message: &Received, cx: &Context<grants::Fullsend>) -> Said {
        let id = request.request_id.clone().unwrap_or_else(|| message.envelope.id.to_string());
        begin(&id, Some(&request.idea.description), message, cx).await?;
        let team = self.memory.load(cx.bus()).await?;
        let former = match &request.revises {
            Some(former) => match spec_of(cx.bus(), former).await? {
                Ok((spec, document)) => Some((spec, document)),
                Err(why) => return failed(&id, request.revises.as_deref(), &why, cx),
            },
            None => None,
        };
        let text = [request.idea.title.as_deref(), Some(&request.idea.description)]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(". ");
        let list = self.list_in(text).await;
        let input = DesignInput {
            title: request.idea.title.clone().unwrap_or_default(),
            idea: request.idea.description.clone(),
            goal: request.idea.goal.clone(),
            context: request.context.clone(),
            product: team.product.text.clone(),
            learnings: team.learnings.text.clone(),
            tactical: team.tactical.clone(),
            tools: tools(&team).into_iter().collect(),
            sender: self.outreach.sender.clone(),
            sender_name: self.outreach.sender_name.clone(),
            list,
            today: cx.now().date_naive(),
            taken: team.experiments.iter().map(|known| known.id.clone()).chain(team.archived.iter().cloned()).collect(),
            revises: former.as_ref().map(|(spec, _)| spec.clone()),
        };
        let answered = self.design(&input, message, cx).await?;
        let faults = DesignExperiment::faults(&input, &answered.output);
        if !faults.is_empty() {
            let why = format!("the design could not be published: {}", faults.join("; "));
            return failed(&id, request.revises.as_deref(), &why, cx);
        }
        let mut spec = answered.output.experiment.clone();
        spec.created_at = Some(cx.now());
        let draft = Draft {
            request_id: id,
            spec,
            former: former.map(|(spec, document)| (spec.id, document)),
            replaces: Vec::new(),
            by: answered.model.clone(),
            reasons: answered.reasoning.lines().map(|reason| line(reason, 300)).collect(),
            design_cost_nano_usd: answered.nano_usd,
            notify_channel: request.notify_channel.clone(),
            title: request.idea.title.clone(),
            priority: request.priority,
        };
        self.publish(draft, &team, message, cx).await
    }

    async fn design(
        &self,
        input: &DesignInput,
        message: &Received,
        cx: &Context<grants::Fullsend>,
    ) -> Result<Answered<<DesignExperiment as Task>::Output>, Failure> {
        let asking = Asking {
            service: ServiceName::Fullsend,
            message: Some(message.envelope.id),
            trace: Some(message.envelope.trace),
            trust: message.envelope.trust,
            stop: cx.stop().clone(),
        };
        match self.mind.ask::<DesignExperiment>(&asking, input).await {
            Ok(answered) => Ok(answered),
            Err(NoAnswer::Stopped) => Err(eyre!("FULLSEND was stopped while it designed").into()),
            // A model that is away is no reason to keep an idea waiting: a person sees the design before anything happens.
            Err(err) => {
                let why = format!("no model answered: {err}");
                Ok(Answered {
                    fell_back: vec![why],
                    flagged: true,
                    ..Answered::by_rules(DesignExperiment::rule(input))
                })
            }
        }
    }

    /// A person's own specification goes the same way.
    async fn submitted(&self, submit: ExperimentSubmit, message: &Received, cx: &Context<grants::Fullsend>) -> Said {
        let id = message.envelope.id.to_string();
        begin(&id, None, message, cx).await?;
        let team = self.memory.load(cx.bus()).await?;
        let known = self.known(submit.spec.raw(), &team, cx).await?;
        let reading = read_with(submit.spec.raw(), &known);
        let Some(mut spec) = reading.spec.clone() else {
            let said: Vec<_> = reading.errors().take(20).map(ToString::to_string).collect();
            return failed(
                &id,
                submit.revises.as_deref(),
                &format!("the specification has errors: {}", said.join("; ")),
                cx,
            );
        };
        let existing = match document_of(cx.bus(), &spec.id).await? {
            Some(document) => Some((spec.id.clone(), document)),
            None => None,
        };
        let former = match (&submit.revises, existing) {
            (Some(former), _) => match spec_of(cx.bus(), former).await? {
                Ok((former, document)) => Some((former.id, document)),
                Err(why) => return failed(&id, Some(former), &why, cx),
            },
            (None, Some((existing, document))) if document.get("state") == Some("draft") => Some((existing, document)),
            (None, Some((existing, _))) => {
                let why = format!(
                    "there is an experiment `{existing}` already; give another id, or say that this one changes it (--revises)"
                );
                return failed(&id, Some(&existing), &why, cx);
            }
            (None, None) => None,
        };
        if spec.created_at.is_none() {
            spec.created_at = Some(cx.now());
        }
        let by = submit.by.as_deref().map_or_else(|| "a person".to_owned(), |by| line(by, 60));
        let draft = Draft {
            request_id: id,
            reasons: vec![format!("{by} wrote it.")],
            by,
            former,
            replaces: Vec::new(),
            title: None,
            design_cost_nano_usd: 0,
            notify_channel: None,
            priority: message.envelope.priority,
            spec,
        };
        self.publish(draft, &team, message, cx).await
    }
}

impl Handler for Fullsend {
    type Grant = grants::Fullsend;

    fn channels(&self) -> &[ChannelName] {
        &[ChannelName::ToFullsend, ChannelName::ExperimentResults, ChannelName::BuilderResults, ChannelName::Approvals]
    }

    fn slots(&self) -> usize {
        SLOTS
    }

    fn time_limit(&self) -> Option<Duration> {
        Some(self.time_limit)
    }

    fn heeds_hold(&self) -> bool {
        true
    }

    async fn handle(&self, message: Received, cx: Context<grants::Fullsend>) -> Said {
        match message.entry.channel {
            ChannelName::ToFullsend => match message.read::<ToFullsend>()? {
                ToFullsend::Request(request) => self.request(request, &message, &cx).await,
                ToFullsend::Submit(submit) => self.submitted(submit, &message, &cx).await,
            },
            ChannelName::ExperimentResults => {
                results::handle(message.read::<ExperimentResults>()?, &message, &cx).await
            }
            ChannelName::BuilderResults => self.built(message.read::<BuilderResults>()?, &message, &cx).await,
            _ => match message.read::<Approvals>()? {
                Approvals::Created(_) => Ok(cx.effects()),
                Approvals::Completed(done) => answered(&done, &cx).await,
            },
        }
    }
}

/// Says that a request was taken, at once: a design may take minutes. Once, however often it is taken up again.
async fn begin(
    request_id: &str,
    idea: Option<&str>,
    message: &Received,
    cx: &Context<grants::Fullsend>,
) -> Result<(), Failure> {
    let mut said = cx.effects();
    let started =
        FullsendStarted { source: Some(source()), request_id: request_id.to_owned(), timestamp: Some(cx.now()) };
    said.send(TO_ORCHESTRATOR, ToOrchestrator::from(started))?;
    if let Some(idea) = idea {
        let mut extra = serde_json::Map::new();
        extra.insert("idea".to_owned(), serde_json::Value::String(line(idea, IDEA_LIMIT)));
        let started = DesignStarted { experiment_id: None, source: Some(source()), timestamp: Some(cx.now()), extra };
        said.send(TO_ORCHESTRATOR, ToOrchestrator::from(started))?;
    }
    let once = Some(format!("fullsend:started:{}", message.envelope.id));
    cx.bus().commit(vec![Commit { once, ..Commit::of(said.into_ops()) }]).await?;
    Ok(())
}

/// A request came to nothing: whoever asked is told, the team too.
fn failed(request_id: &str, experiment: Option<&str>, why: &str, cx: &Context<grants::Fullsend>) -> Said {
    let mut effects = cx.effects();
    let why = line(why, 1_500);
    let (timestamp, experiment_id) = (Some(cx.now()), experiment.map(|id| line(id, 80)));
    let design = DesignFailed {
        experiment_id,
        error: Some(why.clone()),
        source: Some(source()),
        timestamp,
        extra: serde_json::Map::new(),
    };
    effects.send(TO_ORCHESTRATOR, ToOrchestrator::from(design))?;
    let error = Untrusted::from(why.clone());
    let given_up = FullsendFailed { source: Some(source()), request_id: request_id.to_owned(), error, timestamp };
    effects.send(TO_ORCHESTRATOR, ToOrchestrator::from(given_up))?;
    tell(&mut effects, &format!("FULLSEND gave a request up: {why}"))?;
    Ok(effects)
}

/// Says something to people.
fn tell(effects: &mut Effects<grants::Fullsend>, what: &str) -> Result<(), Failure> {
    let payload = Words { message: super::wording::outgoing(what) };
    let notice = ErrorNotice { payload, priority: Priority::High, timestamp: Some(effects.now()) };
    effects.send(FROM_ORCHESTRATOR, FromOrchestrator::from(notice))?;
    Ok(())
}

fn source() -> String {
    ServiceName::Fullsend.as_str().to_owned()
}

/// The tools that there are: those that the team knows, and those that are shipped.
fn tools(team: &TeamContext) -> BTreeSet<String> {
    let shipped = aliases::SHIPPED.iter().map(|tool| tool.name.to_owned());
    team.tools.iter().cloned().chain(shipped).collect()
}

/// Moves an item of the worklist. One that cannot be moved is no reason to lose the rest.
async fn move_item(
    effects: &mut Effects<grants::Fullsend>,
    key: &str,
    section: Section,
    text: String,
    bus: &SharedBus,
) -> Result<(), Failure> {
    let change = NoteChange::Item { key: key.to_owned(), section, text };
    Ok(memory::try_change(effects, bus, NoteName::Worklist, &change, ServiceName::Fullsend.as_str()).await?)
}

/// An experiment's document; none where there is none.
async fn document_of(bus: &SharedBus, id: &str) -> Result<Option<Document>, Failure> {
    let Ok(key) = keys::experiment(id) else { return Ok(None) };
    match bus.get(&Key::new(key)).await? {
        Some(State::Hash(document)) => Ok(Some(document)),
        _ => Ok(None),
    }
}

/// What an experiment is, by its document; or why that is not known.
async fn spec_of(bus: &SharedBus, id: &str) -> Result<Result<(Spec, Document), String>, Failure> {
    let Some(document) = document_of(bus, id).await? else {
        return Ok(Err(format!("there is no experiment `{}`", line(id, 80))));
    };
    Ok(document::read_spec(&document).map(|spec| (spec, document)).map_err(|err| format!("`{}`: {err}", line(id, 80))))
}

/// A proposal of ours has its answer. What was approved the gate has done; a no is told, and the worklist moves.
async fn answered(done: &ApprovalCompleted, cx: &Context<grants::Fullsend>) -> Said {
    let mut effects = cx.effects();
    let refused = matches!(done.outcome, ApprovalOutcome::Denied | ApprovalOutcome::Expired);
    if done.proposer != ServiceName::Fullsend.as_str() || !refused {
        return Ok(effects);
    }
    let approval = crate::approvals::Record::load(cx.bus(), &done.approval_id).await?;
    let details = approval.as_ref().map(|approval| &approval.proposal.details);
    let Some(id) = details.and_then(|details| details.get("experiment_id")?.as_str()).map(str::to_owned) else {
        return Ok(effects);
    };
    let by = line(&done.by, 60);
    let why = done.reason.as_deref().map(|reason| format!(": {}", line(reason, 300))).unwrap_or_default();
    let what = match done.outcome {
        ApprovalOutcome::Expired => "nobody answered in time, so it stays a draft".to_owned(),
        _ => format!("{by} said no{why}"),
    };
    let error = Some(format!("{id} does not go live: {what}"));
    let denied = DesignFailed {
        experiment_id: Some(id.clone()),
        error,
        source: Some(source()),
        timestamp: Some(cx.now()),
        extra: serde_json::Map::new(),
    };
    effects.send(TO_ORCHESTRATOR, crate::bus::Draft::new(ToOrchestrator::from(denied)).subject(id.clone()))?;
    move_item(&mut effects, &id, Section::Blocked, format!("**{id}** - {what}"), cx.bus()).await?;
    Ok(effects)
}

/// Changes a document with these effects.
fn change(
    effects: &mut Effects<grants::Fullsend>,
    key: String,
    expect: crate::bus::Expect,
    fields: Vec<(String, Option<String>)>,
) {
    effects.extend([Op::Change { key: Key::new(key), expect, fields, ttl: crate::bus::Ttl::Keep }]);
}
