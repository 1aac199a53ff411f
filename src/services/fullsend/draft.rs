//! From a specification to a draft, and to the proposal that it goes live.
//!
//! The draft and the proposal are one commit. What the proposal rests on is the whole draft: if anything of it changes, it is asked again.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Fullsend, Said, change, document_of, move_item, source, tools};
use crate::approvals::{self, Targets, Wanted};
use crate::bus::{self, Context, Document, Effects, Expect, Failure, Received, SharedBus};
use crate::contracts::canonical::digest;
use crate::contracts::channel::grants;
use crate::contracts::envelope::rfc3339;
use crate::contracts::lifecycle::{ExperimentState, LifecycleEvent};
use crate::contracts::messages::{
    ExecuteNow, ExperimentCreated, ExperimentReady, Experiments, Fact, FullsendCompleted, Intent, Proposals, RunNow,
    ScheduleCreated, Schedules, ToOrchestrator,
};
use crate::contracts::notes::{NoteChange, NoteName, Section};
use crate::contracts::wiring::{PROPOSALS, TO_ORCHESTRATOR};
use crate::contracts::{Body, ChannelName, Priority, ServiceName, ShapeError, Untrusted, keys};
use crate::experiments::schedule::Schedule;
use crate::experiments::spec::{Mode, Spec};
use crate::experiments::{by_hand, document};
use crate::memory::TeamContext;
use crate::services::wording::line;

/// Most drafts that change each other.
const LONGEST: usize = 20;

/// A specification on its way to a draft.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) request_id: String,
    pub(super) spec: Spec,
    /// What it changes, as it stands.
    pub(super) former: Option<(String, Document)>,
    /// What ends on a yes: it takes the place of these.
    pub(super) replaces: Vec<(String, Document)>,
    /// Who designed it: a model, `rules`, a person.
    pub(super) by: String,
    pub(super) reasons: Vec<String>,
    pub(super) design_cost_nano_usd: u64,
    pub(super) notify_channel: Option<String>,
    pub(super) title: Option<String>,
    pub(super) priority: Priority,
}

impl Fullsend {
    /// Writes the draft, asks for what is missing, or proposes that it goes live.
    pub(super) async fn publish(
        &self,
        mut draft: Draft,
        team: &TeamContext,
        message: &Received,
        cx: &Context<grants::Fullsend>,
    ) -> Said {
        let mut effects = cx.effects();
        self.with_settings(&mut draft.spec).await;
        let expect = place(&mut draft, team, cx.bus()).await?;
        ask_for_numbers(&mut draft.spec);
        let id = draft.spec.id.clone();
        let known = tools(team);
        let missing = super::waiting::missing(&draft.spec, &known);
        let fields = fields(&draft, &missing, message, cx)?;
        let key = keys::experiment(&id).map_err(super::waiting::terminal)?;
        change(&mut effects, key, expect, fields.clone());
        let metrics = document::metrics_fields(&draft.spec, ServiceName::Fullsend.as_str(), cx.now())
            .map_err(|why| unwritten(&why))?;
        change(&mut effects, keys::metrics_spec(&id).map_err(super::waiting::terminal)?, Expect::Any, metrics);
        let title = draft.title.as_deref().map_or_else(|| id.clone(), |title| line(title, 120));
        if missing.is_empty() {
            let document = Document {
                version: 1,
                fields: fields.into_iter().filter_map(|(name, text)| Some((name, text?))).collect(),
            };
            self.propose(&mut effects, &draft, &document, &known, message, cx).await?;
            // The request's item becomes the experiment's.
            let text = format!("**{title}** - {id} waits for a yes, {}", draft.request_id);
            let key = if draft.former.is_some() { &id } else { &draft.request_id };
            move_item(&mut effects, key, Section::Active, text, cx.bus()).await?;
        } else {
            super::waiting::ask(&mut effects, &draft, &missing, cx).await?;
            let ready = ready(&draft.spec, true, cx);
            effects.send(TO_ORCHESTRATOR, bus::Draft::new(ToOrchestrator::from(ready)).subject(id.clone()))?;
        }
        let preview = format!(
            "{} {}: {}",
            if missing.is_empty() { "designed" } else { "waits for tools:" },
            id,
            line(&draft.spec.hypothesis, 300)
        );
        let completed = FullsendCompleted {
            source: Some(source()),
            request_id: draft.request_id.clone(),
            experiment_id: Some(id.clone()),
            output_preview: Some(Untrusted::from(line(&preview, 500))),
            timestamp: Some(cx.now()),
        };
        effects.send(TO_ORCHESTRATOR, bus::Draft::new(ToOrchestrator::from(completed)).subject(id))?;
        Ok(effects)
    }

    /// Proposes that a draft goes live. `known` are the tools that there are.
    pub(super) async fn propose(
        &self,
        effects: &mut Effects<grants::Fullsend>,
        draft: &Draft,
        document: &Document,
        known: &BTreeSet<String>,
        message: &Received,
        cx: &Context<grants::Fullsend>,
    ) -> Result<(), Failure> {
        let spec = &draft.spec;
        let key = keys::experiment(&spec.id).map_err(super::waiting::terminal)?;
        let intents = Self::intents(draft, cx)?;
        let details = self.details(draft, known, cx).await?;
        let verb = match spec.mode {
            Mode::Live => "Go live",
            Mode::DryRun => "Try without sending",
            Mode::Simulation => "Simulate",
        };
        let hypothesis = line(&spec.hypothesis, 300);
        let wanted = Wanted {
            proposer: ServiceName::Fullsend,
            title: line(&format!("{verb}: {}", draft.title.as_deref().unwrap_or(&spec.id)), 200),
            reason: format!("{hypothesis} {}", draft.reasons.join(" ")).trim().to_owned(),
            intents,
            // Anything that changes in the draft makes it another one.
            facts: vec![Fact {
                key: key.clone(),
                field: None,
                was: Some(format!("sha256:{}", digest(&document.fields))),
            }],
            details,
            cost_usd: Some(0.0),
            trust: message.envelope.trust,
        };
        approvals::check(ServiceName::Fullsend.as_str(), &wanted.intents).map_err(super::waiting::terminal)?;
        // What it takes the place of takes a step, too: its class and its state count.
        let former =
            draft.replaces.iter().filter_map(|(id, document)| Some((keys::experiment(id).ok()?, document.clone())));
        let targets = Targets::of(former.chain([(key, document.clone())]));
        let proposal = approvals::compose(wanted, &targets);
        let draft = bus::Draft::new(Proposals::from(proposal)).priority(draft.priority).subject(spec.id.clone());
        effects.send(PROPOSALS, draft)?;
        Ok(())
    }

    /// What happens on a yes, in order.
    fn intents(draft: &Draft, cx: &Context<grants::Fullsend>) -> Result<Vec<Intent>, Failure> {
        let Draft { spec, priority, .. } = draft;
        let (id, priority) = (spec.id.clone(), *priority);
        let say =
            |channel, body: Map<String, Value>| Intent::Say { channel, body, priority, subject: Some(id.clone()) };
        let mut intents = vec![Intent::Step { experiment_id: id.clone(), event: LifecycleEvent::Approve }];
        intents.extend(
            draft
                .replaces
                .iter()
                .map(|(former, _)| Intent::Step { experiment_id: former.clone(), event: LifecycleEvent::Archive }),
        );
        let created = ExperimentCreated {
            experiment_id: id.clone(),
            source: Some(source()),
            spec_key: keys::experiment(&id).ok(),
            timestamp: None,
        };
        intents.push(say(ChannelName::Experiments, body(&Experiments::from(created))?));
        if let Some(schedule) = &spec.execution.schedule {
            let created = ScheduleCreated {
                experiment_id: id.clone(),
                schedule: schedule.clone(),
                timezone: spec.execution.timezone.clone(),
                source: Some(source()),
                timestamp: None,
            };
            intents.push(say(ChannelName::Schedules, body(&Schedules::from(created))?));
        }
        let mut ready = ready(spec, false, cx);
        // The same draft is the same proposal: nothing in it changes with the time.
        (ready.scheduled_for, ready.timestamp) = (None, None);
        intents.push(say(ChannelName::ToOrchestrator, body(&ToOrchestrator::from(ready))?));
        let text = match &spec.execution.schedule {
            Some(schedule) => format!("**{id}** - approved ({}), runs at `{schedule}`", spec.mode),
            None => format!("**{id}** - approved ({}), runs now", spec.mode),
        };
        let section = if spec.execution.schedule.is_some() { Section::Ready } else { Section::Active };
        intents.push(Intent::Note {
            name: NoteName::Worklist,
            change: NoteChange::Item { key: id.clone(), section, text },
        });
        if spec.execution.schedule.is_none() {
            let now = RunNow {
                experiment_id: id.clone(),
                triggered_by: Some(source()),
                reason: Some("it was approved, and has no schedule".to_owned()),
                due_at: None,
                force: false,
                timestamp: None,
            };
            intents.push(say(ChannelName::ExecuteNow, body(&ExecuteNow::from(now))?));
        }
        Ok(intents)
    }
}

/// What the orchestrator is told of a design.
fn ready(spec: &Spec, needs_tool: bool, cx: &Context<grants::Fullsend>) -> ExperimentReady {
    let schedule = spec.execution.schedule.as_deref();
    let next =
        schedule.and_then(|cron| Schedule::parse(cron, spec.execution.timezone.as_deref()).ok()?.next_after(cx.now()));
    ExperimentReady {
        source: Some(source()),
        experiment_id: spec.id.clone(),
        summary: Some(line(&spec.hypothesis, 300)),
        needs_tool,
        has_schedule: schedule.is_some(),
        scheduled_for: next,
        timestamp: Some(cx.now()),
    }
}

/// Where nothing sends and nothing listens, a person says what happened, and is told so before it begins.
fn ask_for_numbers(spec: &mut Spec) {
    let Some(how) = by_hand::to_say(spec) else { return };
    let step =
        if spec.mode == Mode::Live { format!("While it runs, {how}") } else { format!("Once it is live, {how}") };
    if !spec.manual_steps_required.iter().any(|known| known.contains("fullsend metrics add")) {
        spec.manual_steps_required.push(step);
    }
}

/// Where the draft goes: what must stand there now. And what it takes the place of.
async fn place(draft: &mut Draft, team: &TeamContext, bus: &SharedBus) -> Result<Expect, Failure> {
    let Some((former, document)) = &draft.former else { return Ok(Expect::Absent) };
    // A draft nobody has approved is simply written anew; it goes on changing what it changed.
    if state(document) == Some(ExperimentState::Draft) && draft.spec.id == *former {
        let version = document.version;
        if let Some(revised) = revised(document, bus).await? {
            draft.replaces = replaced(Some(revised.clone()), &draft.spec.id, bus).await?;
            draft.former = Some(revised);
        }
        return Ok(Expect::Version(version));
    }
    let taken = |id: &str| {
        id == former
            || team.experiments.iter().any(|known| known.id == id)
            || team.archived.iter().any(|known| known == id)
    };
    if taken(&draft.spec.id) {
        let base =
            former.trim_end_matches(|c: char| c.is_ascii_digit()).strip_suffix("_v").unwrap_or(former).to_owned();
        let free = (2..1_000).map(|n| format!("{base}_v{n}")).find(|id| !taken(id));
        draft.spec.id = free.unwrap_or(base);
    }
    draft.replaces = replaced(draft.former.clone(), &draft.spec.id, bus).await?;
    Ok(Expect::Absent)
}

fn state(document: &Document) -> Option<ExperimentState> {
    ExperimentState::of(|field| document.get(field))
}

/// The experiment that another one changes, by the document of that.
pub(super) async fn revised(document: &Document, bus: &SharedBus) -> Result<Option<(String, Document)>, Failure> {
    let Some(id) = document.get("revises") else { return Ok(None) };
    Ok(document_of(bus, id).await?.map(|document| (id.to_owned(), document)))
}

/// What ends when an experiment that changes `former` goes live: that, and where it is a draft that nobody approved, what it was to change. What is
/// over has ended.
pub(super) async fn replaced(
    mut former: Option<(String, Document)>,
    by: &str,
    bus: &SharedBus,
) -> Result<Vec<(String, Document)>, Failure> {
    let mut replaced: Vec<(String, Document)> = Vec::new();
    while let Some((id, document)) = former.take() {
        // The documents may be anybody's.
        if id == by || replaced.len() >= LONGEST || replaced.iter().any(|(known, _)| *known == id) {
            break;
        }
        match state(&document) {
            None | Some(ExperimentState::Archived | ExperimentState::Completed | ExperimentState::Failed) => break,
            Some(ExperimentState::Draft) => former = revised(&document, bus).await?,
            Some(_) => {}
        }
        replaced.push((id, document));
    }
    Ok(replaced)
}

fn fields(
    draft: &Draft,
    missing: &[String],
    message: &Received,
    cx: &Context<grants::Fullsend>,
) -> Result<Vec<(String, Option<String>)>, Failure> {
    let mut fields = document::fields(&draft.spec, cx.now()).map_err(|why| unwritten(&why))?;
    let former = draft.former.as_ref().map(|(id, _)| id.clone()).filter(|id| *id != draft.spec.id);
    let more: BTreeMap<&str, Option<String>> = BTreeMap::from([
        ("state", Some(ExperimentState::Draft.to_string())),
        ("created_at", Some(rfc3339(draft.spec.created_at.unwrap_or_else(|| cx.now())))),
        ("trace", Some(message.envelope.trace.to_string())),
        ("request_id", Some(draft.request_id.clone())),
        ("notify_channel", draft.notify_channel.clone()),
        ("revises", former),
        ("designed_by", Some(line(&draft.by, 80))),
        ("reasons", json(&draft.reasons)),
        ("title", draft.title.as_deref().map(|title| line(title, 160))),
        ("priority", json(&draft.priority).map(|word| word.trim_matches('"').to_owned())),
        ("design_cost_nano_usd", Some(draft.design_cost_nano_usd.to_string())),
        ("waiting_for", (!missing.is_empty()).then(|| json(&missing)).flatten()),
    ]);
    fields.extend(more.into_iter().map(|(name, text)| (name.to_owned(), text)));
    Ok(fields)
}

fn json(value: &impl Serialize) -> Option<String> {
    serde_json::to_string(value).ok()
}

/// A body as an intent holds it.
fn body<M: Body + Serialize>(message: &M) -> Result<Map<String, Value>, Failure> {
    let text = message.write()?;
    serde_json::from_str(&text).map_err(|err| ShapeError::Json(err.to_string()).into())
}

fn unwritten(why: &str) -> Failure {
    Failure::Terminal(color_eyre::eyre::eyre!("the specification cannot be written: {why}"))
}
