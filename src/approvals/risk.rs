//! The risk table: how much harm an intent can do.
//!
//! Owns the table of CONTRACTS "Risk". What the table does not name is in the higher class. Must never rest on what a model says of
//! its own action.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::bus::{BusError, Document, Key, SharedBus, State};
use crate::contracts::lifecycle::LifecycleEvent;
use crate::contracts::messages::{Control, Fact, Intent, RiskClass};
use crate::contracts::notes::NoteName;
use crate::contracts::{Body, ChannelName, Trust, keys};

/// The documents that intents are about, as they stand.
#[derive(Debug, Clone, Default)]
pub struct Targets {
    documents: BTreeMap<String, Document>,
}

impl Targets {
    /// Reads them. What is not there, or is no document, is left out: it counts as the most harmful that it could be.
    ///
    /// # Errors
    /// Where the bus cannot be read.
    pub async fn look(bus: &SharedBus, intents: &[Intent]) -> Result<Self, BusError> {
        let mut documents = BTreeMap::new();
        for key in intents.iter().filter_map(target) {
            if documents.contains_key(&key) {
                continue;
            }
            match bus.get(&Key::new(key.as_str())).await {
                Ok(Some(State::Hash(document))) => {
                    documents.insert(key, document);
                }
                Ok(_) | Err(BusError::ForeignType { .. }) => {}
                Err(err) => return Err(err),
            }
        }
        Ok(Self { documents })
    }

    /// These documents.
    pub fn of(documents: impl IntoIterator<Item = (String, Document)>) -> Self {
        Self { documents: documents.into_iter().collect() }
    }

    /// The experiments that take a step, by key, and the states that they are in.
    pub(super) fn states_of(&self, intents: &[Intent]) -> Vec<(String, Option<String>)> {
        // An order on `control` is a step, too: a kill that was asked for when the experiment was something else is asked for again.
        let is_step = |intent: &&Intent| {
            matches!(
                intent,
                Intent::Step { .. } | Intent::Say { channel: ChannelName::Control | ChannelName::ToFullsend, .. }
            )
        };
        let stepping = intents.iter().filter(is_step).filter_map(target);
        stepping
            .map(|key| {
                let state = self.documents.get(&key).and_then(|document| document.get("state")).map(str::to_owned);
                (key, state)
            })
            .collect()
    }

    fn experiment(&self, id: &str) -> Option<&Document> {
        self.documents.get(&keys::experiment(id).ok()?)
    }

    /// Whether the experiment only simulates: it contacts nobody, whatever it does.
    fn simulates(&self, experiment_id: &str) -> bool {
        self.experiment(experiment_id).is_some_and(simulates)
    }
}

/// Whether an experiment's document says that it contacts nobody.
fn simulates(document: &Document) -> bool {
    document.get("mode").is_some_and(|mode| matches!(mode, "simulation" | "dry_run"))
}

/// The document that the class of an intent depends on.
fn target(intent: &Intent) -> Option<String> {
    match intent {
        Intent::Step { experiment_id, .. } => keys::experiment(experiment_id).ok(),
        Intent::Set { key, .. } => match keys::family_of(key)?.pattern {
            "experiments:{id}" | "tools:{name}" => Some(key.clone()),
            "schedules:{id}" | "metrics_specs:{id}" => keys::experiment(key.split_once(':')?.1).ok(),
            _ => None,
        },
        Intent::Say { body, .. } => {
            let id = body.get("experiment_id").or_else(|| body.get("revises"))?;
            keys::experiment(id.as_str()?).ok()
        }
        Intent::Note { .. } => None,
    }
}

/// How much harm the intents can do together: as much as the worst of them.
pub fn classify(intents: &[Intent], facts: &[Fact], trust: Trust, targets: &Targets) -> RiskClass {
    let class = |intent: &Intent| match intent {
        Intent::Say { channel, body, .. } => of_message(*channel, body, facts, trust, targets),
        Intent::Set { key, fields } => of_setting(key, |field| fields.get(field).map(String::as_str), targets),
        // The product's description is the person's own.
        Intent::Note { name: NoteName::ProductContext, .. } => RiskClass::Reversible,
        Intent::Note { name: NoteName::Worklist | NoteName::Learnings, .. } => RiskClass::Internal,
        Intent::Step { experiment_id, event } => of_step(*event, experiment_id, facts, trust, targets),
    };
    intents.iter().map(class).max().unwrap_or(RiskClass::Harmless)
}

fn of_step(event: LifecycleEvent, id: &str, facts: &[Fact], trust: Trust, targets: &Targets) -> RiskClass {
    match event {
        // What it becomes may contact people again.
        LifecycleEvent::Approve | LifecycleEvent::Start | LifecycleEvent::Resume | LifecycleEvent::Restore => {
            going_live(targets.simulates(id))
        }
        LifecycleEvent::Pause | LifecycleEvent::Archive if targets.simulates(id) => RiskClass::Internal,
        LifecycleEvent::Archive if trust == Trust::External && !has_evidence(id, facts) => RiskClass::Outward,
        LifecycleEvent::Pause | LifecycleEvent::Archive => RiskClass::Reversible,
        // What became of a run is bookkeeping.
        LifecycleEvent::Measure | LifecycleEvent::Recur | LifecycleEvent::Complete | LifecycleEvent::Fail => {
            RiskClass::Internal
        }
    }
}

fn going_live(simulates: bool) -> RiskClass {
    if simulates { RiskClass::Reversible } else { RiskClass::Outward }
}

/// Whether a kill rests on an alert about the experiment: a fact that the gate looks at itself, whatever the words say.
fn has_evidence(experiment_id: &str, facts: &[Fact]) -> bool {
    let of_experiment = |key: &str| {
        let alert = key.strip_prefix("alerts:").and_then(|id| id.strip_prefix(experiment_id));
        alert.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    };
    facts.iter().any(|fact| fact.was.is_some() && of_experiment(&fact.key))
}

fn of_message(
    channel: ChannelName,
    body: &Map<String, Value>,
    facts: &[Fact],
    trust: Trust,
    targets: &Targets,
) -> RiskClass {
    let experiment = body.get("experiment_id").and_then(Value::as_str).unwrap_or_default();
    match channel {
        // Words for the team. Where they go is told by code, from what they answer.
        ChannelName::FromOrchestrator => RiskClass::Harmless,
        ChannelName::Roundtable | ChannelName::ToOrchestrator | ChannelName::Alerts => RiskClass::Internal,
        ChannelName::BuilderTasks if wants_more_than_its_folder(body) => RiskClass::Outward,
        ChannelName::ExecuteNow => going_live(targets.simulates(experiment)),
        ChannelName::Control => of_order(body, facts, trust, targets),
        _ => RiskClass::Reversible,
    }
}

/// Whether a tool is to have network or secrets, as far as its description says so.
fn wants_more_than_its_folder(body: &Map<String, Value>) -> bool {
    let nested = body.get("prd").and_then(Value::as_object);
    let field = |name: &str| nested.and_then(|prd| prd.get(name)).or_else(|| body.get(name));
    field("network").is_some_and(is_set) || field("secrets").is_some_and(is_set)
}

fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => is_set_text(text),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    }
}

fn is_set_text(text: &str) -> bool {
    !matches!(text.trim().to_ascii_lowercase().as_str(), "" | "false" | "none" | "no" | "0" | "[]" | "{}")
}

fn of_order(body: &Map<String, Value>, facts: &[Fact], trust: Trust, targets: &Targets) -> RiskClass {
    let Some(order) = super::body_text(body).and_then(|text| Control::read(&text).ok()) else {
        return RiskClass::Outward;
    };
    let step = |event, id: &str| of_step(event, id, facts, trust, targets);
    match &order {
        Control::Kill(kill) => step(LifecycleEvent::Archive, &kill.experiment_id),
        Control::Restore(restore) => step(LifecycleEvent::Restore, &restore.experiment_id),
        Control::Pause(pause) => step(LifecycleEvent::Pause, &pause.experiment_id),
        Control::Resume(resume) => step(LifecycleEvent::Resume, &resume.experiment_id),
        Control::CancelRun(_) | Control::DropRule(_) => RiskClass::Reversible,
        Control::Hold(_) | Control::AcknowledgeAlert(_) | Control::ResolveAlert(_) => RiskClass::Internal,
        Control::SetSuppression(order) if !order.lifted => RiskClass::Internal,
        // Everything that waits goes out at once; money; people who wanted to be left alone.
        Control::SetSuppression(_) | Control::Go(_) | Control::SetBudget(_) => RiskClass::Outward,
    }
}

fn of_setting<'a>(key: &str, field: impl Fn(&str) -> Option<&'a str>, targets: &Targets) -> RiskClass {
    match keys::family_of(key).map(|family| family.pattern) {
        Some("decisions:{id}" | "tool_requests:{id}" | "learnings:tactical:{id}") => RiskClass::Internal,
        Some("tools:{name}") => {
            let wants = |name| field(name).is_some_and(is_set_text);
            let has = |name| {
                field(name).is_none()
                    && targets.documents.get(key).and_then(|tool| tool.get(name)).is_some_and(is_set_text)
            };
            let more = ["network", "secrets"].into_iter().any(|name| wants(name) || has(name));
            if more { RiskClass::Outward } else { RiskClass::Reversible }
        }
        Some("experiments:{id}" | "schedules:{id}" | "metrics_specs:{id}") => {
            let id = key.split_once(':').map_or("", |(_, id)| id);
            // A draft is approved before it contacts anybody; what is approved already would contact others than was said.
            let draft = targets.experiment(id).is_none_or(|experiment| experiment.get("state") == Some("draft"));
            let leaves_simulation = key.starts_with("experiments:") && field("mode").is_some();
            if draft || !leaves_simulation && targets.simulates(id) {
                RiskClass::Reversible
            } else {
                RiskClass::Outward
            }
        }
        _ => RiskClass::Outward,
    }
}
