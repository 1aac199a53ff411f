//! Reports of work under way: designs, runs and builds. Several channels carry them.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::read::{self, object};
use super::results::ErrorCode;
use crate::contracts::Untrusted;
use crate::contracts::body::{Example, bodies};
use crate::contracts::envelope::{millis_option, read_time};

bodies! {
    /// Tools made, or not.
    BuilderResults {
        /// A tool is there.
        Built(ToolBuilt) = "tool_built" | "tool_complete" | "builder_completed",
        /// A tool could not be built.
        Failed(ToolBuildFailed) = "tool_build_failed" | "builder_failed",
    }
}

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

/// A tool is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToolComplete {
    /// Who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Which.
    #[serde(alias = "name")]
    pub tool_name: String,
    /// Its state in the registry.
    #[serde(alias = "state", default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Where it is.
    #[serde(alias = "path", default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The task it answers.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Where somebody waits for it.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub notify_channel: Option<String>,
    /// What to tell them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify_message: Option<String>,
    /// Why it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_reasoning: Option<String>,
    /// The first 500 characters of what the builder said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_preview: Option<Untrusted>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for ToolComplete {
    fn example() -> Self {
        Self {
            source: Some("builder".to_owned()),
            tool_name: "forum_member_finder".to_owned(),
            status: Some("active".to_owned()),
            location: Some("tools/forum_member_finder".to_owned()),
            request_id: Some("r1".to_owned()),
            notify_channel: Some("880042".to_owned()),
            notify_message: Some("tool is ready".to_owned()),
            original_reasoning: Some("needed to find people who asked about self-hosting".to_owned()),
            output_preview: None,
            timestamp: read_time("2026-03-01T09:50:00Z"),
        }
    }
}

/// A tool is there, for those who wait for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToolBuilt {
    /// Who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The task it answers.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Which.
    #[serde(alias = "name")]
    pub tool_name: String,
    /// The first 500 characters of what the builder said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_preview: Option<Untrusted>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for ToolBuilt {
    fn example() -> Self {
        Self {
            source: Some("builder".to_owned()),
            request_id: Some("r1".to_owned()),
            tool_name: "forum_member_finder".to_owned(),
            output_preview: Some(Untrusted::from("built tools/forum_member_finder, smoke test passed")),
            timestamp: read_time("2026-03-01T09:50:00Z"),
        }
    }
}

/// A tool could not be built.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToolBuildFailed {
    /// Who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The task it answers.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Which.
    #[serde(alias = "name")]
    pub tool_name: String,
    /// Why.
    #[serde(alias = "message")]
    pub error: Untrusted,
    /// Where somebody waits for it.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub notify_channel: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for ToolBuildFailed {
    fn example() -> Self {
        Self {
            source: Some("builder".to_owned()),
            request_id: Some("r1".to_owned()),
            tool_name: "forum_member_finder".to_owned(),
            error: Untrusted::from("the smoke test failed three times: no such forum"),
            notify_channel: Some("880042".to_owned()),
            timestamp: read_time("2026-03-01T09:55:00Z"),
        }
    }
}

/// The builder took a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BuilderStarted {
    /// Who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Which.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The tool.
    #[serde(alias = "name")]
    pub tool_name: String,
    /// Where somebody waits for it.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub notify_channel: Option<String>,
    /// What they are told at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify_message: Option<String>,
    /// Why it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_reasoning: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for BuilderStarted {
    fn example() -> Self {
        Self {
            source: Some("builder".to_owned()),
            request_id: Some("r1".to_owned()),
            tool_name: "forum_member_finder".to_owned(),
            notify_channel: Some("880042".to_owned()),
            notify_message: Some("tool is ready".to_owned()),
            original_reasoning: Some("needed to find people who asked about self-hosting".to_owned()),
            timestamp: read_time("2026-03-01T09:41:00Z"),
        }
    }
}
