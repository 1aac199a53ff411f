//! `fullsend:experiments`, `fullsend:schedules`, `fullsend:execute_now`, `fullsend:experiment_results`: experiments on their way
//! through the executor.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::read::{self, object};
use crate::contracts::Untrusted;
use crate::contracts::body::{Example, bodies};
use crate::contracts::envelope::{millis_option, read_time};

bodies! {
    /// Experiments published.
    Experiments, default "experiment_created" {
        /// One of them.
        Created(ExperimentCreated) = "experiment_created",
    }
}

bodies! {
    /// Schedules published.
    Schedules, default "schedule_created" {
        /// One of them.
        Created(ScheduleCreated) = "schedule_created",
        /// Its time has come for something other than a run.
        Due(ScheduleDue) = "schedule_due",
        /// The time has come to read what was answered.
        Collect(CollectionDue) = "collection_due",
    }
}

bodies! {
    /// Experiments to run at once.
    ExecuteNow, default "execute_now" {
        /// One of them.
        Run(RunNow) = "execute_now",
        /// A mail of one, sent to the operator as a recipient would get it.
        Sample(SampleExperiment) = "sample_experiment",
    }
}

bodies! {
    /// How runs ended.
    ExperimentResults {
        /// Well.
        Completed(ExperimentCompleted) = "experiment_completed",
        /// Not.
        Failed(ExperimentFailed) = "experiment_failed",
    }
}

/// An experiment was published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExperimentCreated {
    /// Which.
    pub experiment_id: String,
    /// Who published it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The document that holds its spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec_key: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for ExperimentCreated {
    fn example() -> Self {
        Self {
            experiment_id: "exp_20260301_forum".to_owned(),
            source: Some("fullsend".to_owned()),
            spec_key: Some("experiments:exp_20260301_forum".to_owned()),
            timestamp: read_time("2026-03-01T09:35:00Z"),
        }
    }
}

/// A schedule was published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScheduleCreated {
    /// The experiment it starts.
    pub experiment_id: String,
    /// When, as cron with five fields.
    #[serde(alias = "cron")]
    pub schedule: String,
    /// The IANA zone it counts in; UTC where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Who published it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// When it was published.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for ScheduleCreated {
    fn example() -> Self {
        Self {
            experiment_id: "exp_20260301_forum".to_owned(),
            schedule: "0 9 * * MON".to_owned(),
            timezone: Some("UTC".to_owned()),
            source: Some("fullsend".to_owned()),
            timestamp: read_time("2026-03-01T09:35:00Z"),
        }
    }
}

/// The time has come for something that belongs to an experiment's runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScheduleDue {
    /// The experiment.
    pub experiment_id: String,
    /// What is to be done.
    pub what: DueFor,
    /// The run that it follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// Which of several: of follow-ups, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// The action that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_id: Option<String>,
    /// The moment that was meant.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub due_at: Option<DateTime<Utc>>,
}

impl Example for ScheduleDue {
    fn example() -> Self {
        Self {
            experiment_id: "exp_20260301_forum".to_owned(),
            what: DueFor::Observation,
            run_id: Some("019ce2f4-5c4a-7cc3-8f4e-9f7d0a4b6f11".to_owned()),
            number: None,
            action_id: None,
            due_at: read_time("2026-03-01T09:45:00Z"),
        }
    }
}

/// What the time has come for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DueFor {
    /// A run that waits goes on, or begins.
    Run,
    /// Who did not answer hears once more.
    FollowUp,
    /// The observation window closes.
    Observation,
    /// A person said what became of an act of which nobody knew.
    Answer,
}

/// The time has come to read what was answered to the team's mail, whatever experiment it was sent for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CollectionDue {
    /// The moment that was meant.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub due_at: Option<DateTime<Utc>>,
}

impl Example for CollectionDue {
    fn example() -> Self {
        Self { due_at: read_time("2026-03-01T09:45:00Z") }
    }
}

/// Run this experiment at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunNow {
    /// Which.
    pub experiment_id: String,
    /// Who wants it.
    #[serde(alias = "source", default, skip_serializing_if = "Option::is_none")]
    pub triggered_by: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The moment of its schedule that it is for; none where it is for none.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub due_at: Option<DateTime<Utc>>,
    /// Whether it runs though the experiment is a draft or archived: by the operator's word alone.
    #[serde(default, deserialize_with = "read::or_default")]
    pub force: bool,
    /// When it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for RunNow {
    fn example() -> Self {
        Self {
            experiment_id: "exp_20260301_forum".to_owned(),
            triggered_by: Some("fullsend".to_owned()),
            reason: Some("forum_member_finder is there now".to_owned()),
            due_at: None,
            force: false,
            timestamp: read_time("2026-03-01T09:51:00Z"),
        }
    }
}

/// Send the operator a mail of this experiment, as one of its recipients would get it. Nobody else gets anything, and nothing is counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SampleExperiment {
    /// Which.
    pub experiment_id: String,
    /// Where to; none for `outreach.operator_email` of the settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Who orders it.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl Example for SampleExperiment {
    fn example() -> Self {
        Self {
            experiment_id: "exp_20260301_forum".to_owned(),
            to: Some("mara@example.com".to_owned()),
            by: Some("operator".to_owned()),
        }
    }
}

/// A run ended well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExperimentCompleted {
    /// The experiment.
    pub experiment_id: String,
    /// The run; it is decided upon once.
    pub run_id: String,
    /// How well.
    #[serde(alias = "state", default, deserialize_with = "read::or_default")]
    pub status: RunStatus,
    /// How long it took, in seconds.
    #[serde(alias = "duration_seconds", default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<f64>,
    /// What came of it.
    #[serde(default, deserialize_with = "read::or_default")]
    pub result_summary: Summary,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for ExperimentCompleted {
    fn example() -> Self {
        Self {
            experiment_id: "exp_20260301_forum".to_owned(),
            run_id: "exp_20260301_forum:1772357400".to_owned(),
            status: RunStatus::Success,
            duration: Some(9.8),
            result_summary: Summary(object(json!({ "emails_sent": 42 }))),
            timestamp: read_time("2026-03-01T09:35:10Z"),
        }
    }
}

/// How well a run ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// It did all it had to do.
    #[default]
    #[serde(alias = "completed", alias = "run", alias = "ok")]
    Success,
    /// It did a part, which is kept.
    Partial,
}

/// A run failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExperimentFailed {
    /// The experiment.
    pub experiment_id: String,
    /// The run, where one had begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// What happened.
    #[serde(alias = "message")]
    pub error: Untrusted,
    /// The kind of error, as the founding designs name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_type: Option<String>,
    /// The kind of error, to act on; ask [`ExperimentFailed::code`] instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
    /// The tool it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_name: Option<String>,
    /// How long was waited, where it was a time-out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<f64>,
    /// How often it was tried, where it was tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_attempts: Option<u64>,
    /// What had come of it until then.
    #[serde(default, deserialize_with = "read::or_default")]
    pub partial_results: Summary,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for ExperimentFailed {
    fn example() -> Self {
        Self {
            experiment_id: "exp_20260301_forum".to_owned(),
            run_id: Some("exp_20260301_forum:1772357400".to_owned()),
            error: Untrusted::from("Tool not found: forum_member_finder"),
            error_type: Some("ToolNotFoundError".to_owned()),
            code: Some(ErrorCode::NotFound),
            tool_name: Some("forum_member_finder".to_owned()),
            timeout_seconds: None,
            retry_attempts: None,
            partial_results: Summary::default(),
            timestamp: read_time("2026-03-01T09:35:10Z"),
        }
    }
}

impl ExperimentFailed {
    /// The kind of error: as it is given, else by the founding designs' name for it.
    pub fn code(&self) -> ErrorCode {
        self.code.unwrap_or_else(|| ErrorCode::of(self.error_type.as_deref().unwrap_or_default()))
    }
}

/// Kinds of errors of runs, stable to act on. Sentences are never parsed for this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// There is no such tool.
    NotFound,
    /// It took too long.
    Timeout,
    /// It may work when tried again.
    Transient,
    /// It was tried again as often as allowed.
    Exhausted,
    /// A secret is missing or was refused.
    Unauthorized,
    /// The parameters do not fit the tool.
    InvalidParams,
    /// Somebody stopped it.
    Cancelled,
    /// The tool itself failed.
    Tool,
}

impl ErrorCode {
    /// The code for an error type of the founding designs; [`ErrorCode::Tool`] for any other name.
    pub fn of(error_type: &str) -> Self {
        match error_type {
            "ToolNotFoundError" => Self::NotFound,
            "ToolTimeoutError" => Self::Timeout,
            "ToolRetryExhaustedError" => Self::Exhausted,
            _ => Self::Tool,
        }
    }
}

/// What came of a run: an object. A list is read as `{"items": n, "type": "list"}`, anything else as `{"value": …}`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Summary(pub Map<String, Value>);

impl<'de> Deserialize<'de> for Summary {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Value::deserialize(deserializer)? {
            Value::Object(fields) => fields,
            Value::Null => Map::new(),
            Value::Array(items) => object(json!({ "items": items.len(), "type": "list" })),
            Value::String(text) => object(json!({ "value": text.chars().take(500).collect::<String>() })),
            other => object(json!({ "value": other })),
        }))
    }
}
