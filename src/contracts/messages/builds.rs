//! `fullsend:builder_results`: tools made, or not; and the reports of builds that the orchestrator gets.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::read;
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
