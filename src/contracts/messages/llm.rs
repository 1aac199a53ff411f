//! `fullsend:llm_calls`: model calls as they happen. Notices: for whoever looks right now.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::costs::Tokens;
use super::read::{self, object};
use crate::contracts::Untrusted;
use crate::contracts::body::{Example, bodies};
use crate::contracts::envelope::{millis_option, read_time};

bodies! {
    /// Model calls as they happen.
    LlmCalls {
        /// A call begins.
        Start(LlmStart) = "llm_start",
        /// The model says something.
        Delta(LlmDelta) = "llm_delta",
        /// A call is over.
        Complete(LlmComplete) = "llm_complete",
    }
}

/// A call begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LlmStart {
    /// Names the call; its deltas and its end have the same.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    /// Who calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What for: `llm.watcher.classify`, `llm.roundtable`, `tool.execute:NAME`, …
    pub operation: String,
    /// What is known of it: `provider`, `model`, `prompt_chars`, `attempt`.
    #[serde(default, deserialize_with = "read::or_default", skip_serializing_if = "Map::is_empty")]
    pub meta: Map<String, Value>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for LlmStart {
    fn example() -> Self {
        Self {
            call_id: Some("c1".to_owned()),
            source: Some("watcher".to_owned()),
            operation: "llm.watcher.classify".to_owned(),
            meta: object(json!({ "provider": "anthropic", "model": "claude-opus-4-20250514", "prompt_chars": 812 })),
            timestamp: read_time("2026-03-01T09:30:00Z"),
        }
    }
}

/// The model says something; at most 20 a second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LlmDelta {
    /// The call.
    #[serde(deserialize_with = "read::id")]
    pub call_id: String,
    /// Who calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// What it belongs to.
    #[serde(default, deserialize_with = "read::or_default")]
    pub part: LlmPart,
    /// What it said since the last delta.
    pub text: Untrusted,
    /// Counts the call's deltas from 0; a gap means that some were missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
}

impl Example for LlmDelta {
    fn example() -> Self {
        Self {
            call_id: "c1".to_owned(),
            source: Some("watcher".to_owned()),
            operation: Some("llm.watcher.classify".to_owned()),
            part: LlmPart::Reasoning,
            text: Untrusted::from("The message asks for a new campaign, so"),
            seq: Some(3),
        }
    }
}

/// What a piece of a model's answer belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LlmPart {
    /// Its reasoning.
    Reasoning,
    /// Its answer.
    #[default]
    Text,
}

/// A call is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LlmComplete {
    /// The call.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    /// Who called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What for.
    pub operation: String,
    /// What is known of it.
    #[serde(default, deserialize_with = "read::or_default", skip_serializing_if = "Map::is_empty")]
    pub meta: Map<String, Value>,
    /// How long it took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<f64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Untrusted>,
    /// What it used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
    /// What it cost, in billionths of a dollar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nano_usd: Option<u64>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for LlmComplete {
    fn example() -> Self {
        Self {
            call_id: Some("c1".to_owned()),
            source: Some("watcher".to_owned()),
            operation: "llm.watcher.classify".to_owned(),
            meta: object(json!({ "provider": "anthropic", "model": "claude-opus-4-20250514", "prompt_chars": 812 })),
            duration_ms: Some(640.0),
            error: None,
            tokens: Some(Tokens::example()),
            nano_usd: Some(5_061_000),
            timestamp: read_time("2026-03-01T09:30:01Z"),
        }
    }
}
