//! `fullsend:audit`: what was approved, denied, ordered and done. Each record carries the hash of the one before.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::read::object;
use crate::contracts::body::{Example, bodies};
use crate::contracts::envelope::{millis, read_time};

bodies! {
    /// The audit chain.
    Audit, default "audit_record" {
        /// A link of it.
        Record(AuditRecord) = "audit_record",
    }
}

/// A link of the chain: `hash` is the SHA-256 of the former hash and of this record without `hash`, keys sorted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditRecord {
    /// Counts from 1, without a gap.
    pub number: u64,
    /// When.
    #[serde(with = "millis")]
    #[schemars(with = "DateTime<Utc>")]
    pub at: DateTime<Utc>,
    /// What happened: `approved`, `denied`, `expired`, `superseded`, `ordered`, `policy_changed`, `effect`.
    pub event: String,
    /// What it happened to: an approval, an experiment, an alert, a budget.
    pub subject: String,
    /// Who did it: a person, a policy, a service.
    pub by: String,
    /// Where: `control_room`, `discord`, `policy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surface: Option<String>,
    /// What was shown to whoever answered, and what came of it.
    #[serde(default)]
    pub details: Map<String, Value>,
    /// The hash of the record before; 64 zeros for the first.
    pub previous: String,
    /// The hash of this one, in hexadecimal.
    pub hash: String,
}

impl Example for AuditRecord {
    fn example() -> Self {
        Self {
            number: 1,
            at: read_time("2026-03-01T09:50:00Z").unwrap_or_default(),
            event: "approved".to_owned(),
            subject: "apr_5b1c9e".to_owned(),
            by: "operator".to_owned(),
            surface: Some("control_room".to_owned()),
            details: object(json!({ "digest": "sha256:6f1f2a9c", "title": "Go live: exp_20260301_forum" })),
            previous: "0".repeat(64),
            hash: "9f".repeat(32),
        }
    }
}
