//! What a decision is about: the message, who waits for an answer, and what code decides without a mind.
//!
//! Owns the reading of everything that reaches the orchestrator. Must never decide on what a message says where a mind should.

use serde_json::{Map, Value};

use super::record::Asker;
use crate::contracts::messages::{Escalation, ExperimentError, ExperimentResults, ExperimentSuccess, ToOrchestrator};
use crate::contracts::{Body, Envelope, ServiceName, ShapeError, Trust};

/// Before the id of a record, in the subject of a message that the orchestrator says to itself.
const AGAIN: &str = "decision:";

/// What is decided upon.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    /// The record's id.
    pub(super) id: String,
    /// The type of the message.
    pub(super) kind: String,
    /// Its body.
    pub(super) body: Map<String, Value>,
    /// How far its words can be trusted.
    pub(super) trust: Trust,
    /// Who waits for an answer; none where nobody does.
    pub(super) asker: Option<Asker>,
    /// The experiment that it is about.
    pub(super) experiment_id: Option<String>,
    /// What code decides; none where a mind does.
    pub(super) by_code: Option<ByCode>,
    /// The same, to be said again later.
    pub(super) again: ToOrchestrator,
}

/// What needs no mind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ByCode {
    /// Work goes on as it should: nothing is done, for this reason.
    Progress(&'static str),
    /// A person says what matters now.
    Focus(String),
    /// A person says what they learned.
    Learn(String),
    /// A person did, or refused, what they were asked to do.
    ActionComplete {
        /// Which.
        action_id: String,
        /// What became of it.
        status: String,
    },
}

/// Where the record of a message stands that was said again: its own subject names it.
fn said_again(envelope: &Envelope) -> Option<String> {
    let own = envelope.source == ServiceName::Orchestrator.as_str();
    let id = envelope.subject.as_deref()?.strip_prefix(AGAIN)?;
    own.then(|| id.to_owned())
}

/// The subject of a message that is said again for this record.
pub(super) fn again(id: &str) -> String {
    format!("{AGAIN}{id}")
}

impl Subject {
    /// A message on `fullsend:to_orchestrator`.
    pub(super) fn of(envelope: &Envelope, body: ToOrchestrator) -> Result<Self, ShapeError> {
        let (mut asker, mut by_code, mut run) = (None, None, None);
        let experiment_id = experiment(&body);
        match &body {
            ToOrchestrator::Escalation(escalation) => {
                asker = Some(Asker {
                    channel_id: escalation.original_message.channel_id.clone(),
                    reply_to: escalation.original_message.message_id.clone(),
                });
                by_code = command(escalation);
            }
            ToOrchestrator::DesignStarted(_) => by_code = Some(ByCode::Progress("FULLSEND has begun a design.")),
            ToOrchestrator::FullsendStarted(_) => by_code = Some(ByCode::Progress("FULLSEND has taken the request.")),
            ToOrchestrator::BuilderStarted(_) => by_code = Some(ByCode::Progress("Builder has taken the task.")),
            ToOrchestrator::ToolComplete(tool) => asker = place(tool.notify_channel.clone()),
            ToOrchestrator::ToolBuildFailed(failed) => asker = place(failed.notify_channel.clone()),
            ToOrchestrator::ExperimentSuccess(ended) => run.clone_from(&ended.run_id),
            ToOrchestrator::ExperimentError(failed) => run.clone_from(&failed.run_id),
            _ => {}
        }
        Ok(Self {
            id: said_again(envelope)
                .or_else(|| run.map(|run| run_record(&run, envelope.trust)))
                .unwrap_or_else(|| envelope.id.to_string()),
            kind: body.type_name().to_owned(),
            body: object(&body.write()?),
            trust: envelope.trust,
            asker,
            experiment_id,
            by_code,
            again: body,
        })
    }

    /// The end of a run.
    pub(super) fn of_result(envelope: &Envelope, result: ExperimentResults) -> Result<Self, ShapeError> {
        let kind = result.type_name().to_owned();
        let body = object(&result.write()?);
        let again = report(result);
        let run = match &again {
            ToOrchestrator::ExperimentSuccess(run) => run.run_id.clone(),
            ToOrchestrator::ExperimentError(run) => run.run_id.clone(),
            _ => None,
        };
        let experiment_id = experiment(&again);
        Ok(Self {
            id: run.map_or_else(|| envelope.id.to_string(), |run| run_record(&run, envelope.trust)),
            kind,
            body,
            trust: envelope.trust,
            asker: None,
            experiment_id,
            by_code: None,
            again,
        })
    }
}

/// The end of a run, as it can be said to the orchestrator.
pub(super) fn report(result: ExperimentResults) -> ToOrchestrator {
    let source = Some(ServiceName::Orchestrator.to_string());
    match result {
        ExperimentResults::Completed(run) => ToOrchestrator::from(ExperimentSuccess {
            source,
            experiment_id: run.experiment_id,
            run_id: Some(run.run_id),
            duration: run.duration,
            timestamp: run.timestamp,
        }),
        ExperimentResults::Failed(run) => ToOrchestrator::from(ExperimentError {
            source,
            experiment_id: run.experiment_id,
            run_id: run.run_id,
            error: run.error,
            error_type: run.error_type,
            code: run.code,
            note: None,
            timestamp: run.timestamp,
        }),
    }
}

/// The end of a run is decided upon once, whoever reports it. What somebody outside says of it never takes the place of what the team knows.
fn run_record(run: &str, trust: Trust) -> String {
    let prefix = if trust > Trust::External { "run" } else { "claimed_run" };
    format!("{prefix}_{run}")
}

fn place(channel_id: Option<String>) -> Option<Asker> {
    channel_id.map(|channel_id| Asker { channel_id: Some(channel_id), reply_to: None })
}

/// A command that the watcher handed on.
fn command(escalation: &Escalation) -> Option<ByCode> {
    let said = |name: &str| escalation.context.get(name).and_then(Value::as_str).map(str::to_owned);
    match said("command")?.as_str() {
        "focus" => Some(ByCode::Focus(said("text")?)),
        "learn" => Some(ByCode::Learn(said("text")?)),
        "action_complete" => Some(ByCode::ActionComplete { action_id: said("action_id")?, status: said("status")? }),
        _ => None,
    }
}

fn experiment(body: &ToOrchestrator) -> Option<String> {
    match body {
        ToOrchestrator::MetricAlert(alert) => Some(alert.experiment_id.clone()),
        ToOrchestrator::ExperimentReady(ready) => Some(ready.experiment_id.clone()),
        ToOrchestrator::ExperimentSuccess(ended) => Some(ended.experiment_id.clone()),
        ToOrchestrator::ExperimentError(failed) => Some(failed.experiment_id.clone()),
        ToOrchestrator::ApiKeyRequired(wanted) => Some(wanted.experiment_id.clone()),
        ToOrchestrator::FullsendCompleted(done) => done.experiment_id.clone(),
        ToOrchestrator::DesignStarted(design) => design.experiment_id.clone(),
        ToOrchestrator::DesignFailed(design) => design.experiment_id.clone(),
        ToOrchestrator::LearningRecorded(learning) => learning.experiment_id.clone(),
        _ => None,
    }
}

fn object(json: &str) -> Map<String, Value> {
    serde_json::from_str(json).unwrap_or_default()
}
