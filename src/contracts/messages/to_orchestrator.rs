//! `fullsend:to_orchestrator`: what the orchestrator must know or decide.
//!
//! Owns the channel's enum, and the types that only it carries. Reports of work under way are
//! [`super::progress`]'s and [`super::builds`]'.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::alerts::Severity;
use super::builds::{BuilderStarted, ToolBuildFailed, ToolComplete};
use super::chat::ChatMessage;
use super::progress::{
    ApiKeyRequired, DesignFailed, DesignStarted, ExperimentError, ExperimentReady, ExperimentSuccess,
    FullsendCompleted, FullsendFailed, FullsendStarted, free_fields,
};
use super::read::{self, object};
use crate::contracts::body::{Example, bodies};
use crate::contracts::envelope::{Priority, millis_option, read_time};

bodies! {
    /// What the orchestrator must know or decide.
    ToOrchestrator {
        /// The watcher hands on what somebody said.
        Escalation(Escalation) = "escalation",
        /// A metric crossed a line. The older names of the redis agent are read as this.
        MetricAlert(MetricAlert) = "metric_alert" | "success_threshold" | "failure_threshold" | "error" | "anomaly"
            via read_alert,
        /// How things stand, every hour.
        PeriodicSummary(PeriodicSummary) = "periodic_summary",
        /// An experiment is designed.
        ExperimentReady(ExperimentReady) = "experiment_ready",
        /// A design was begun.
        DesignStarted(DesignStarted) = "design_started" via free_fields,
        /// A design came to nothing.
        DesignFailed(DesignFailed) = "design_failed" via free_fields,
        /// FULLSEND took a request.
        FullsendStarted(FullsendStarted) = "fullsend_started",
        /// FULLSEND finished a request.
        FullsendCompleted(FullsendCompleted) = "fullsend_completed",
        /// FULLSEND gave a request up.
        FullsendFailed(FullsendFailed) = "fullsend_failed",
        /// A run ended well.
        ExperimentSuccess(ExperimentSuccess) = "experiment_success" | "experiment_completed",
        /// A run failed.
        ExperimentError(ExperimentError) = "experiment_error",
        /// A run failed for want of a secret.
        ApiKeyRequired(ApiKeyRequired) = "api_key_required",
        /// A tool is there.
        ToolComplete(ToolComplete) = "tool_complete" | "builder_completed" | "tool_built",
        /// A tool could not be built.
        ToolBuildFailed(ToolBuildFailed) = "tool_build_failed" | "builder_failed",
        /// The builder took a task.
        BuilderStarted(BuilderStarted) = "builder_started",
        /// Somebody wants a debate.
        RoundtableRequest(RoundtableRequest) = "roundtable_request",
        /// A debate is over.
        RoundtableConcluded(RoundtableConcluded) = "roundtable_concluded",
        /// Something was learned.
        LearningRecorded(LearningRecorded) = "learning_recorded" via free_fields,
    }
}

/// The watcher hands on what somebody said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Escalation {
    /// Who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// How soon it wants an answer.
    #[serde(default, deserialize_with = "read::or_default")]
    pub priority: Priority,
    /// Why it is handed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What was said.
    pub original_message: ChatMessage,
    /// What the watcher knew about it: `channel`, `user`, `summary`.
    #[serde(default, deserialize_with = "read::or_default", skip_serializing_if = "Map::is_empty")]
    pub context: Map<String, Value>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for Escalation {
    fn example() -> Self {
        Self {
            source: Some("watcher".to_owned()),
            priority: Priority::High,
            reason: Some("new idea from a user".to_owned()),
            original_message: ChatMessage::example(),
            context: object(json!({ "channel": "gtm", "user": "mara", "summary": "new idea from a user" })),
            timestamp: read_time("2026-03-01T09:30:01Z"),
        }
    }
}

/// A metric crossed a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MetricAlert {
    /// Who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The experiment.
    pub experiment_id: String,
    /// What kind of line.
    #[serde(default, deserialize_with = "read::or_default")]
    pub alert_type: AlertType,
    /// The criterion of the experiment's spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub criterion: Option<String>,
    /// Whether it is a success or a failure criterion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// The metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// How bad it is.
    #[serde(default, deserialize_with = "read::or_default")]
    pub severity: Severity,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommendation: Option<String>,
    /// What happened, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How many observations the value rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_size: Option<u64>,
    /// How sure the verdict is, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Whether it is proven that the criterion holds: chance does not explain it, or it is a count that stays so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven: Option<bool>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for MetricAlert {
    fn example() -> Self {
        Self {
            source: Some("redis_agent".to_owned()),
            experiment_id: "exp_20260301_forum".to_owned(),
            alert_type: AlertType::ThresholdCrossed,
            criterion: Some("bounce_rate > 0.10".to_owned()),
            direction: Some(Direction::Failure),
            metric: Some("bounce_rate".to_owned()),
            value: Some(0.14),
            threshold: Some(0.1),
            severity: Severity::High,
            recommendation: Some("consider stopping".to_owned()),
            message: Some("bounce_rate is 14%, above 10%, after 210 sends".to_owned()),
            sample_size: Some(210),
            confidence: Some(0.97),
            proven: Some(true),
            timestamp: read_time("2026-03-01T10:00:00Z"),
        }
    }
}

/// What kind of line was crossed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertType {
    /// A criterion of the spec became true.
    #[default]
    #[serde(alias = "success_threshold", alias = "failure_threshold")]
    ThresholdCrossed,
    /// A run reported an error.
    Error,
    /// A metric behaves as it never did.
    Anomaly,
}

/// Which way a criterion points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// It says that the experiment worked.
    Success,
    /// It says that the experiment did not work.
    Failure,
}

/// Reads the older alerts: their direction and severity stood in the type, metric and line in the criterion, the value in `current_value`.
fn read_alert(body: &mut Map<String, Value>) {
    let said = |field: &str| body.get(field).and_then(Value::as_str).map(str::to_owned);
    let kind = said("type").filter(|kind| kind != "metric_alert").or_else(|| said("alert_type"));
    let older: &[(&str, Value)] = &match kind.as_deref() {
        Some("success_threshold") => [("direction", json!("success")), ("severity", json!("info"))],
        Some("failure_threshold") => [("direction", json!("failure")), ("severity", json!("high"))],
        Some("error") => [("alert_type", json!("error")), ("severity", json!("high"))],
        Some("anomaly") => [("alert_type", json!("anomaly")), ("severity", json!("warning"))],
        _ => [("alert_type", json!("threshold_crossed")), ("severity", json!("info"))],
    };
    let criterion = said("criterion").unwrap_or_default();
    for (field, value) in older {
        read::fill(body, field, value.clone());
    }
    if let [metric, ">" | "<" | ">=" | "<=" | "==" | "!=", line, ..] =
        criterion.split_whitespace().collect::<Vec<_>>()[..]
        && let Some(line) = read::number(line)
    {
        read::fill(body, "metric", json!(metric));
        read::fill(body, "threshold", json!(line));
    }
    let value = match body.get("current_value") {
        Some(Value::Object(values)) => {
            body.get("metric").and_then(Value::as_str).and_then(|name| values.get(name)).cloned()
        }
        other => other.cloned(),
    };
    if let Some(value) = value.filter(Value::is_number) {
        read::fill(body, "value", value);
    }
}

/// How things stand, every hour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PeriodicSummary {
    /// Who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Two or three sentences.
    pub summary: String,
    /// How many experiments it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment_count: Option<u64>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for PeriodicSummary {
    fn example() -> Self {
        Self {
            source: Some("redis_agent".to_owned()),
            summary: "Two experiments are running. Forum replies are at 6%, above target; bounces are normal."
                .to_owned(),
            experiment_count: Some(2),
            timestamp: read_time("2026-03-01T11:00:00Z"),
        }
    }
}

/// Somebody wants a debate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RoundtableRequest {
    /// Who wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The question.
    #[serde(alias = "topic", alias = "question")]
    pub prompt: String,
    /// What is known about it.
    #[serde(default, deserialize_with = "read::text_option", skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for RoundtableRequest {
    fn example() -> Self {
        Self {
            source: Some("fullsend".to_owned()),
            prompt: "Replies stay below 2% whatever we try. What else could reach platform teams?".to_owned(),
            context: Some("three campaigns by mail, 600 sends in all".to_owned()),
            timestamp: read_time("2026-03-01T12:00:00Z"),
        }
    }
}

/// A debate is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RoundtableConcluded {
    /// Who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The topic's id.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<String>,
    /// What it was about.
    #[serde(alias = "topic", alias = "question", default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Three to five tasks, each with its owner.
    #[serde(default, deserialize_with = "read::list", skip_serializing_if = "Vec::is_empty")]
    pub summary: Vec<String>,
    /// Everything that was said.
    #[serde(default, deserialize_with = "read::text_option", skip_serializing_if = "Option::is_none")]
    pub transcript: Option<String>,
    /// How many rounds it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounds: Option<u64>,
    /// Why it came to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for RoundtableConcluded {
    fn example() -> Self {
        Self {
            source: Some("roundtable".to_owned()),
            topic_id: Some("rt_20260301_1".to_owned()),
            prompt: Some("What else could reach platform teams?".to_owned()),
            summary: vec![
                "Answer ten self-hosting questions in forums today (Owner: FULLSEND)".to_owned(),
                "Build a forum member finder (Owner: Builder)".to_owned(),
            ],
            transcript: Some("--- Round 1 ---\nARTIST: …\nBUSINESS: …\nTECH: …".to_owned()),
            rounds: Some(3),
            error: None,
            timestamp: read_time("2026-03-01T12:05:00Z"),
        }
    }
}

/// Something was learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LearningRecorded {
    /// What, in words.
    #[serde(alias = "learning", alias = "insight", alias = "content")]
    pub text: String,
    /// The experiment that taught it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment_id: Option<String>,
    /// Who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
    /// Whatever else was said about it, such as `confidence`.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Example for LearningRecorded {
    fn example() -> Self {
        Self {
            text: "people who asked about self-hosting answer within a day".to_owned(),
            experiment_id: Some("exp_20260301_forum".to_owned()),
            source: Some("fullsend".to_owned()),
            timestamp: read_time("2026-03-03T08:00:00Z"),
            extra: object(json!({ "confidence": "medium" })),
        }
    }
}
