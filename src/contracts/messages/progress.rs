//! Reports of designs and runs under way, for the orchestrator. Those of builds are [`super::builds`].

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::read::{self, object};
use super::results::ErrorCode;
use crate::contracts::Untrusted;
use crate::contracts::body::Example;
use crate::contracts::envelope::{millis_option, read_time};

/// For bodies that keep whatever fields they are given: `type` is not one of them.
pub(super) fn free_fields(body: &mut Map<String, Value>) {
    body.remove("type");
    body.remove("meta");
}

/// A design was begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DesignStarted {
    /// The experiment, where it has an id already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment_id: Option<String>,
    /// Who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
    /// Whatever else was said about it.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Example for DesignStarted {
    fn example() -> Self {
        Self {
            experiment_id: Some("exp_20260301_forum".to_owned()),
            source: Some("fullsend".to_owned()),
            timestamp: read_time("2026-03-01T09:30:25Z"),
            extra: object(json!({ "idea": "mail people who asked about self-hosting" })),
        }
    }
}

/// A design came to nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DesignFailed {
    /// The experiment, where it has an id already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment_id: Option<String>,
    /// Why.
    #[serde(default, alias = "reason", alias = "message", skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
    /// Whatever else was said about it.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Example for DesignFailed {
    fn example() -> Self {
        Self {
            experiment_id: None,
            error: Some("the idea names nobody to speak to".to_owned()),
            source: Some("fullsend".to_owned()),
            timestamp: read_time("2026-03-01T09:31:25Z"),
            extra: object(json!({ "idea": "go viral" })),
        }
    }
}

/// An experiment is designed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExperimentReady {
    /// Who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Which.
    pub experiment_id: String,
    /// Its hypothesis, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Whether a tool must be built first.
    #[serde(default, deserialize_with = "read::or_default")]
    pub needs_tool: bool,
    /// Whether it runs by a schedule.
    #[serde(default, deserialize_with = "read::or_default")]
    pub has_schedule: bool,
    /// Its first run.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub scheduled_for: Option<DateTime<Utc>>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for ExperimentReady {
    fn example() -> Self {
        Self {
            source: Some("fullsend".to_owned()),
            experiment_id: "exp_20260301_forum".to_owned(),
            summary: Some("people who asked about self-hosting in forums answer a short mail".to_owned()),
            needs_tool: false,
            has_schedule: true,
            scheduled_for: read_time("2026-03-02T09:00:00Z"),
            timestamp: read_time("2026-03-01T09:35:00Z"),
        }
    }
}

/// FULLSEND took a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FullsendStarted {
    /// Who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Which.
    #[serde(deserialize_with = "read::id")]
    pub request_id: String,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for FullsendStarted {
    fn example() -> Self {
        Self {
            source: Some("fullsend".to_owned()),
            request_id: "20260301_093020".to_owned(),
            timestamp: read_time("2026-03-01T09:30:20Z"),
        }
    }
}

/// FULLSEND finished a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FullsendCompleted {
    /// Who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Which.
    #[serde(deserialize_with = "read::id")]
    pub request_id: String,
    /// The experiment that came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment_id: Option<String>,
    /// The first 500 characters of what it said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_preview: Option<Untrusted>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for FullsendCompleted {
    fn example() -> Self {
        Self {
            source: Some("fullsend".to_owned()),
            request_id: "20260301_093020".to_owned(),
            experiment_id: Some("exp_20260301_forum".to_owned()),
            output_preview: Some(Untrusted::from("designed exp_20260301_forum: 50 contacts, mail, Mondays at 9")),
            timestamp: read_time("2026-03-01T09:35:00Z"),
        }
    }
}

/// FULLSEND gave a request up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FullsendFailed {
    /// Who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Which.
    #[serde(deserialize_with = "read::id")]
    pub request_id: String,
    /// Why.
    #[serde(alias = "message")]
    pub error: Untrusted,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for FullsendFailed {
    fn example() -> Self {
        Self {
            source: Some("fullsend".to_owned()),
            request_id: "20260301_093020".to_owned(),
            error: Untrusted::from("no design within 600 s"),
            timestamp: read_time("2026-03-01T09:40:20Z"),
        }
    }
}

/// A run ended well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExperimentSuccess {
    /// Who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The experiment.
    pub experiment_id: String,
    /// The run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// How long it took, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<f64>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for ExperimentSuccess {
    fn example() -> Self {
        Self {
            source: Some("fullsend".to_owned()),
            experiment_id: "exp_20260301_forum".to_owned(),
            run_id: Some("exp_20260301_forum:1772357400".to_owned()),
            duration: Some(9.8),
            timestamp: read_time("2026-03-01T09:35:10Z"),
        }
    }
}

/// A run failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExperimentError {
    /// Who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The experiment.
    pub experiment_id: String,
    /// The run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// What happened.
    #[serde(alias = "message")]
    pub error: Untrusted,
    /// The kind of error, as the founding designs name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_type: Option<String>,
    /// The kind of error, to act on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
    /// What else is worth knowing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for ExperimentError {
    fn example() -> Self {
        Self {
            source: Some("fullsend".to_owned()),
            experiment_id: "exp_20260301_forum".to_owned(),
            run_id: Some("exp_20260301_forum:1772357400".to_owned()),
            error: Untrusted::from("forum.example did not answer within 300 s"),
            error_type: Some("ToolTimeoutError".to_owned()),
            code: Some(ErrorCode::Timeout),
            note: Some("tried three times".to_owned()),
            timestamp: read_time("2026-03-01T09:35:10Z"),
        }
    }
}

/// A run failed for want of a secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ApiKeyRequired {
    /// Who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The experiment.
    pub experiment_id: String,
    /// What happened.
    #[serde(alias = "message")]
    pub error: Untrusted,
    /// The secret's name, never its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for ApiKeyRequired {
    fn example() -> Self {
        Self {
            source: Some("fullsend".to_owned()),
            experiment_id: "exp_20260301_forum".to_owned(),
            error: Untrusted::from("401 from the mail provider"),
            secret: Some("RESEND_API_KEY".to_owned()),
            suggestion: Some("set RESEND_API_KEY, then run the experiment again".to_owned()),
            timestamp: read_time("2026-03-01T09:35:10Z"),
        }
    }
}
