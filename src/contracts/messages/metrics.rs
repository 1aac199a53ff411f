//! `fullsend:metrics`: what happened in runs, and business events.
//!
//! Told apart by `event`, not by `type`, as the founding designs have it. Five events have a meaning of their own; every other name
//! is a business event (`email_sent`, `meeting_booked`, …), whose message type is called `event`. A body with a `type` in place of `event`
//! is read by that.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::read::{self, object};
use crate::contracts::body::{self, Body, BodyType, Example, ShapeError};
use crate::contracts::envelope::{millis_option, read_time};
use crate::contracts::{Untrusted, body::tagged_schema};

/// What happened in runs, and business events. Written with `event` as its discriminator, and without `type`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event")]
pub enum Metrics {
    /// A run began.
    #[serde(rename = "run_started")]
    RunStarted(RunStarted),
    /// A run's tool gave a list.
    #[serde(rename = "items_processed")]
    ItemsProcessed(ItemsProcessed),
    /// A run ended well.
    #[serde(rename = "run_completed")]
    RunCompleted(RunCompleted),
    /// A run failed.
    #[serde(rename = "error")]
    Error(RunError),
    /// Nothing happened, but time passed: an experiment's criteria are to be looked at again.
    #[serde(rename = "look_again")]
    Look(LookAgain),
    /// Anything else that happened, by its name.
    #[serde(untagged)]
    Event(BusinessEvent),
}

macro_rules! event {
    ($name:literal, $variant:ident($body:ty)) => {
        BodyType {
            name: $name,
            aliases: &[],
            schema: || tagged_schema::<$body>("event", Some($name)),
            example: || serde_json::to_value(Metrics::$variant(<$body>::example())).unwrap_or_default(),
        }
    };
}

#[derive(Deserialize)]
struct Peek<'a> {
    #[serde(borrow, default)]
    event: Option<Cow<'a, str>>,
}

impl Body for Metrics {
    const TYPES: &'static [BodyType] = &[
        event!("run_started", RunStarted(RunStarted)),
        event!("items_processed", ItemsProcessed(ItemsProcessed)),
        event!("run_completed", RunCompleted(RunCompleted)),
        event!("error", Error(RunError)),
        event!("look_again", Look(LookAgain)),
        BodyType {
            name: "event",
            aliases: &[],
            schema: || tagged_schema::<BusinessEvent>("event", None),
            example: || serde_json::to_value(Self::Event(BusinessEvent::example())).unwrap_or_default(),
        },
    ];

    fn type_name(&self) -> &'static str {
        match self {
            Self::RunStarted(_) => "run_started",
            Self::ItemsProcessed(_) => "items_processed",
            Self::RunCompleted(_) => "run_completed",
            Self::Error(_) => "error",
            Self::Look(_) => "look_again",
            Self::Event(_) => "event",
        }
    }

    fn read(json: &str) -> Result<Self, ShapeError> {
        let claimed = body::peek_type(json)?;
        let wrong =
            |reason: &str| ShapeError::Field { kind: "metric", path: "event".to_owned(), reason: reason.to_owned() };
        let peek: Peek<'_> =
            serde_json::from_str(json).map_err(|_| wrong("the name of what happened must be a text"))?;
        let event = peek.event.or(claimed).ok_or_else(|| wrong("missing field `event`: the name of what happened"))?;
        match &*event {
            "run_started" => body::read_as("run_started", json).map(Self::RunStarted),
            "items_processed" => body::read_as("items_processed", json).map(Self::ItemsProcessed),
            "run_completed" => body::read_as("run_completed", json).map(Self::RunCompleted),
            "error" => body::read_as("error", json).map(Self::Error),
            "look_again" => body::read_as("look_again", json).map(Self::Look),
            _ => body::read_tidied("event", json, name_event).map(Self::Event),
        }
    }
}

/// Reads a business event that was named by `type`.
fn name_event(body: &mut Map<String, Value>) {
    read::first_of(body, "event", &["type"]);
    super::progress::free_fields(body);
}

/// A run began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunStarted {
    /// The run.
    pub run_id: String,
    /// Its experiment.
    pub experiment_id: String,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for RunStarted {
    fn example() -> Self {
        Self {
            run_id: "exp_20260301_forum:1772357400".to_owned(),
            experiment_id: "exp_20260301_forum".to_owned(),
            timestamp: read_time("2026-03-01T09:30:00.120Z"),
        }
    }
}

/// A run's tool gave a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ItemsProcessed {
    /// How many items it has.
    pub count: u64,
    /// The run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// Its experiment.
    pub experiment_id: String,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for ItemsProcessed {
    fn example() -> Self {
        Self {
            count: 42,
            run_id: Some("exp_20260301_forum:1772357400".to_owned()),
            experiment_id: "exp_20260301_forum".to_owned(),
            timestamp: read_time("2026-03-01T09:30:09Z"),
        }
    }
}

/// A run ended well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunCompleted {
    /// The run.
    pub run_id: String,
    /// Its experiment.
    pub experiment_id: String,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for RunCompleted {
    fn example() -> Self {
        Self {
            run_id: "exp_20260301_forum:1772357400".to_owned(),
            experiment_id: "exp_20260301_forum".to_owned(),
            timestamp: read_time("2026-03-01T09:30:09.900Z"),
        }
    }
}

/// A run failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunError {
    /// The experiment.
    pub experiment_id: String,
    /// The run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// What happened.
    pub message: Untrusted,
    /// The kind of error, as the founding designs name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_type: Option<String>,
    /// How long was waited, where it was a time-out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<f64>,
    /// How often it was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_attempts: Option<u64>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for RunError {
    fn example() -> Self {
        Self {
            experiment_id: "exp_20260301_forum".to_owned(),
            run_id: Some("exp_20260301_forum:1772357400".to_owned()),
            message: Untrusted::from("forum.example did not answer within 300 s"),
            error_type: Some("ToolTimeoutError".to_owned()),
            timeout_seconds: Some(300.0),
            retry_attempts: Some(3),
            timestamp: read_time("2026-03-01T09:35:09Z"),
        }
    }
}

/// Nothing happened, but time passed: an experiment's criteria are to be looked at again. A timer says it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LookAgain {
    /// The experiment.
    pub experiment_id: String,
}

impl Example for LookAgain {
    fn example() -> Self {
        Self { experiment_id: "exp_20260301_forum".to_owned() }
    }
}

/// Something that happened, by its name: `email_sent`, `email_opened`, `meeting_booked`, …
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BusinessEvent {
    /// What happened.
    pub event: String,
    /// The experiment that it happened for.
    pub experiment_id: String,
    /// The run that it happened in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
    /// Its other fields: numbers are aggregated, texts are kept.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

impl Example for BusinessEvent {
    fn example() -> Self {
        Self {
            event: "email_sent".to_owned(),
            experiment_id: "exp_20260301_forum".to_owned(),
            run_id: Some("exp_20260301_forum:1772357400".to_owned()),
            timestamp: read_time("2026-03-01T09:30:02Z"),
            fields: object(json!({ "count": 1, "variant": "a" })),
        }
    }
}
