//! Experiments that wait for a tool: what is missing is asked for, and all that wait for it go on when it is there.
//!
//! Every wait ends: where nobody has built the tool in time, that is said aloud. The experiment stays a draft, and still goes on if the tool
//! comes later.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use serde_json::json;

use super::draft::{self, Draft};
use super::{Fullsend, Said, change, move_item, source, spec_of, tell, tools};
use crate::bus::{self, Context, Effects, Expect, Failure, Key, Received, State, StateChange};
use crate::contracts::channel::grants;
use crate::contracts::envelope::rfc3339;
use crate::contracts::lifecycle::ExperimentState;
use crate::contracts::messages::{
    AlertTriggered, Alerts, BuilderResults, BuilderTasks, ExecuteNow, Prd, RunNow, Severity, ToOrchestrator,
    ToolBuildFailed, ToolPrd,
};
use crate::contracts::notes::Section;
use crate::contracts::wiring::{ALERTS, BUILDER_TASKS, EXECUTE_NOW, TO_ORCHESTRATOR};
use crate::contracts::{Priority, ServiceName, Untrusted, keys};
use crate::experiments::check::{is_tool_name, slug};
use crate::experiments::spec::Spec;
use crate::experiments::steps::{By, plan};
use crate::services::wording::line;

/// A tool that nobody has built after so long is told of.
const PATIENCE: TimeDelta = TimeDelta::days(3);

/// The tools that a specification needs and nobody has, each once.
pub(super) fn missing(spec: &Spec, known: &BTreeSet<String>) -> Vec<String> {
    let planned = plan(spec).unwrap_or_default();
    let needed: BTreeSet<String> = planned
        .into_iter()
        .filter(|it| it.by == By::Tool)
        .map(|it| it.step.tool)
        .filter(|tool| is_tool_name(tool))
        .collect();
    needed.into_iter().filter(|tool| !known.contains(tool)).collect()
}

/// Asks for the tools that a draft lacks.
pub(super) async fn ask(
    effects: &mut Effects<grants::Fullsend>,
    draft: &Draft,
    missing: &[String],
    cx: &Context<grants::Fullsend>,
) -> Result<(), Failure> {
    let id = &draft.spec.id;
    for tool in missing {
        let step = draft.spec.execution.steps.iter().find(|step| step.tool == *tool);
        let inputs = step
            .iter()
            .flat_map(|step| &step.params)
            .map(|(name, value)| json!({ "name": name, "type": kind(value), "example": value }));
        request(effects, tool, id, inputs.collect(), &draft.spec.hypothesis, cx).await?;
    }
    let key = if draft.former.is_some() { id } else { &draft.request_id };
    move_item(effects, key, Section::Blocked, blocked(id, missing, cx), cx.bus()).await
}

const fn kind(value: &serde_json::Value) -> &'static str {
    match value {
        serde_json::Value::Bool(_) => "boolean",
        serde_json::Value::Number(_) => "number",
        serde_json::Value::Array(_) => "list",
        serde_json::Value::Object(_) => "object",
        _ => "string",
    }
}

/// What the worklist says of an experiment that waits.
fn blocked(id: &str, missing: &[String], cx: &Context<grants::Fullsend>) -> String {
    let until = (cx.now() + PATIENCE).format("%Y-%m-%d");
    let builder = if ServiceName::Builder.is_built() {
        ""
    } else {
        "; Builder is not in this version, a person can add it to the tools folder"
    };
    format!("**{id}** - waits for the tool {} until {until}{builder}", missing.join(", "))
}

/// Asks for one tool, remembers who waits for it, and when that is said aloud. Whoever asks again, as a schedule does, waits no longer
/// for that.
async fn request(
    effects: &mut Effects<grants::Fullsend>,
    tool: &str,
    experiment: &str,
    inputs: Vec<serde_json::Value>,
    why: &str,
    cx: &Context<grants::Fullsend>,
) -> Result<(), Failure> {
    let waiting = waiting(tool, cx).await?;
    if waiting.iter().any(|id| id == experiment) {
        return Ok(());
    }
    let request_id = format!("auto_{}_{}", slug(experiment), slug(tool));
    let pending = keys::pending_experiments(tool).map_err(terminal)?;
    effects.state(Key::new(pending), StateChange::AddMember(experiment.to_owned()));
    let description = format!("needed by {experiment}: {}", line(why, 300));
    let fields = [
        ("state", "pending"),
        ("name", tool),
        ("description", &description),
        ("requested_by", "fullsend"),
        ("experiment_blocked", experiment),
        ("created_at", &rfc3339(cx.now())),
    ]
    .map(|(name, text)| (name.to_owned(), Some(text.to_owned())));
    let key = keys::tool_request(&request_id).map_err(terminal)?;
    change(effects, key.clone(), Expect::Any, fields.to_vec());
    let prd = ToolPrd {
        prd: Prd {
            name: tool.to_owned(),
            id: Some(request_id.clone()),
            description: Some(description),
            requested_by: Some(source()),
            experiment_blocked: Some(experiment.to_owned()),
            inputs,
            outputs: vec![json!({ "name": "rows", "type": "list" }), json!({ "name": "count", "type": "integer" })],
            requirements: Vec::new(),
            example_usage: None,
            auto_requested: true,
        },
        requested_by: Some(source()),
        request_id: Some(request_id.clone()),
        priority: Priority::Medium,
        notify_channel: None,
        notify_message: None,
        spec_key: Some(key),
        orchestrator_reasoning: None,
        requested_at: Some(cx.now()),
    };
    effects.send(BUILDER_TASKS, bus::Draft::new(BuilderTasks::from(prd)).subject(experiment.to_owned()))?;
    // The first one's time counts: a wait that others join is no longer one.
    if waiting.is_empty() { lapse(effects, tool, &request_id, cx) } else { Ok(()) }
}

fn timers(tool: &str) -> [String; 2] {
    [format!("tool_lapses:{tool}"), format!("tool_lapsed:{tool}")]
}

/// When the tool is not there in time, people and the orchestrator are told.
fn lapse(
    effects: &mut Effects<grants::Fullsend>,
    tool: &str,
    request_id: &str,
    cx: &Context<grants::Fullsend>,
) -> Result<(), Failure> {
    let at = cx.now() + PATIENCE;
    let builder = if ServiceName::Builder.is_built() {
        "nobody has built it"
    } else {
        "Builder is not in this version, so nobody builds it"
    };
    let what = format!("the tool `{tool}` is not there after {} days: {builder}", PATIENCE.num_days());
    let [people, team] = timers(tool);
    let alert = AlertTriggered {
        alert_id: format!("tool:{tool}"),
        severity: Severity::Warning,
        message: what.clone(),
        fix: Some(
            "put it into the tools folder (`fullsend tools check DIR`), or change the experiments that wait for it"
                .to_owned(),
        ),
        experiment_id: None,
        criterion: None,
        metric: None,
        value: None,
        threshold: None,
    };
    effects.send_at(people, at, ALERTS, Alerts::from(alert))?;
    let failed = ToolBuildFailed {
        source: Some(source()),
        request_id: Some(request_id.to_owned()),
        tool_name: tool.to_owned(),
        error: Untrusted::from(what),
        notify_channel: None,
        timestamp: None,
    };
    effects.send_at(team, at, TO_ORCHESTRATOR, ToOrchestrator::from(failed))?;
    Ok(())
}

/// A run failed because its tool is gone: it is asked for, and the experiment goes on when it is there.
pub(super) async fn lost(
    effects: &mut Effects<grants::Fullsend>,
    tool: &str,
    experiment: &str,
    cx: &Context<grants::Fullsend>,
) -> Result<(), Failure> {
    request(effects, tool, experiment, Vec::new(), "its run found no such tool", cx).await?;
    move_item(effects, experiment, Section::Blocked, blocked(experiment, &[tool.to_owned()], cx), cx.bus()).await
}

impl Fullsend {
    /// A tool is there, or will not be.
    pub(super) async fn built(
        &self,
        result: BuilderResults,
        message: &Received,
        cx: &Context<grants::Fullsend>,
    ) -> Said {
        match result {
            BuilderResults::Built(built) => self.resume(&built.tool_name, message, cx).await,
            BuilderResults::Failed(failed) => give_up(failed, cx).await,
        }
    }

    /// All that wait for a tool go on.
    async fn resume(&self, tool: &str, message: &Received, cx: &Context<grants::Fullsend>) -> Said {
        let mut effects = cx.effects();
        let team = self.memory.load(cx.bus()).await?;
        let mut known = tools(&team);
        known.insert(tool.to_owned());
        settle(&mut effects, tool);
        for id in waiting(tool, cx).await? {
            let (spec, document) = match spec_of(cx.bus(), &id).await? {
                Ok(found) => found,
                Err(why) => {
                    tell(&mut effects, &format!("{tool} is there now, but {why}"))?;
                    continue;
                }
            };
            let missing = missing(&spec, &known);
            let list = (!missing.is_empty()).then(|| serde_json::to_string(&missing).ok()).flatten();
            let mut now = document.clone();
            match &list {
                Some(list) => now.fields.insert("waiting_for".to_owned(), list.clone()),
                None => now.fields.remove("waiting_for"),
            };
            let key = keys::experiment(&id).map_err(terminal)?;
            change(&mut effects, key, Expect::Version(document.version), vec![("waiting_for".to_owned(), list)]);
            if !missing.is_empty() {
                continue;
            }
            match ExperimentState::of(|field| document.get(field)) {
                Some(ExperimentState::Draft) => {
                    let mut draft = Draft::of_document(spec, &document);
                    // It waited: what it changes may have come to its end meanwhile.
                    draft.former = draft::revised(&document, cx.bus()).await?;
                    draft.replaces = draft::replaced(draft.former.clone(), &id, cx.bus()).await?;
                    self.propose(&mut effects, &draft, &now, &known, message, cx).await?;
                }
                Some(ExperimentState::Archived) | None => {}
                Some(_) => {
                    let run = RunNow {
                        experiment_id: id.clone(),
                        triggered_by: Some(source()),
                        reason: Some(format!("{} is there now", line(tool, 80))),
                        due_at: None,
                        force: false,
                        timestamp: Some(cx.now()),
                    };
                    effects.send(EXECUTE_NOW, bus::Draft::new(ExecuteNow::from(run)).subject(id.clone()))?;
                }
            }
        }
        Ok(effects)
    }
}

/// A tool will not be there: nobody waits for it any more, and that is told.
async fn give_up(failed: ToolBuildFailed, cx: &Context<grants::Fullsend>) -> Said {
    let mut effects = cx.effects();
    let tool = failed.tool_name.clone();
    let ids = waiting(&tool, cx).await?;
    settle(&mut effects, &tool);
    let why = failed.error.line(300);
    let names =
        if ids.is_empty() { "nothing waited for it".to_owned() } else { format!("{} cannot run", ids.join(", ")) };
    tell(&mut effects, &format!("The tool {} could not be built: {why}; {names}", line(&tool, 80)))?;
    for id in &ids {
        change(
            &mut effects,
            keys::experiment(id).map_err(terminal)?,
            Expect::Any,
            vec![("waiting_for".to_owned(), None)],
        );
    }
    // One note is changed once.
    if let [id, rest @ ..] = ids.as_slice() {
        let more = if rest.is_empty() { String::new() } else { format!(", also {}", rest.join(", ")) };
        let text = format!("**{id}** - its tool {tool} could not be built: {}{more}", line(&why, 120));
        move_item(&mut effects, id, Section::Blocked, text, cx.bus()).await?;
    }
    let report = ToolBuildFailed { source: Some(source()), timestamp: Some(cx.now()), ..failed };
    effects.send(TO_ORCHESTRATOR, ToOrchestrator::from(report))?;
    Ok(effects)
}

/// Nobody waits for this tool any more.
fn settle(effects: &mut Effects<grants::Fullsend>, tool: &str) {
    if let Ok(key) = keys::pending_experiments(tool) {
        effects.delete(Key::new(key), Expect::Any);
    }
    for timer in timers(tool) {
        effects.cancel(timer);
    }
}

/// The experiments that wait for a tool.
async fn waiting(tool: &str, cx: &Context<grants::Fullsend>) -> Result<Vec<String>, Failure> {
    let key = keys::pending_experiments(tool).map_err(terminal)?;
    match cx.bus().get(&Key::new(key)).await? {
        Some(State::Set(ids)) => Ok(ids.into_iter().collect()),
        _ => Ok(Vec::new()),
    }
}

impl Draft {
    /// What a draft's document says of it.
    fn of_document(spec: Spec, document: &bus::Document) -> Self {
        let text = |name: &str| document.get(name).map(str::to_owned);
        Self {
            request_id: text("request_id").unwrap_or_else(|| spec.id.clone()),
            former: None,
            replaces: Vec::new(),
            by: text("designed_by").unwrap_or_default(),
            reasons: text("reasons").and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default(),
            design_cost_nano_usd: text("design_cost_nano_usd").and_then(|n| n.parse().ok()).unwrap_or_default(),
            notify_channel: text("notify_channel"),
            title: text("title"),
            priority: text("priority").and_then(|word| serde_json::from_value(json!(word)).ok()).unwrap_or_default(),
            spec,
        }
    }
}

pub(super) fn terminal(err: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::Terminal(err.into())
}
