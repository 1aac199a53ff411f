//! The records of decisions: `decisions:{id}`, one for each message that was decided upon.
//!
//! Owns their fields, and how they are read by people. Must never be changed but in the commit of what it records.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::bus::{BusError, Document, Key, SharedBus, State};
use crate::contracts::envelope::{read_time, rfc3339};
use crate::contracts::messages::Tokens;
use crate::contracts::{Priority, TraceId, Trust, keys};
use crate::llm::tasks::{Action, Payload};

/// How long a record is kept.
pub const KEPT: Duration = Duration::from_hours(90 * 24);
/// Keys of a page of a scan.
const PAGE: usize = 500;
/// Records that are read side by side.
const SIDE_BY_SIDE: usize = 64;
/// Most characters of a model's reasoning that are kept.
const THOUGHTS_LIMIT: usize = 32_000;

/// How far a decision has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It took too long; the message is looked at again.
    Open,
    /// It waits for the gate.
    Proposed,
    /// It was carried out.
    Done,
    /// A person, or the policy, refused it; or nobody answered.
    Denied,
    /// What it rested on changed.
    Superseded,
}

impl Stage {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Proposed => "proposed",
            Self::Done => "done",
            Self::Denied => "denied",
            Self::Superseded => "superseded",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whom an answer goes to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asker {
    /// The place in the chat; none for the status channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_id: Option<String>,
    /// The message that is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
}

/// A decision, what it rests on, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// Names it: the message's id (`run_…` for a run), with `.2` for a second round.
    pub id: String,
    /// When it was decided.
    pub at: DateTime<Utc>,
    /// The type of the message.
    pub kind: String,
    /// The message's body, so that it can be decided again.
    pub message: Map<String, Value>,
    /// How far its words can be trusted.
    pub trust: Trust,
    /// Its chain.
    pub trace: Option<TraceId>,
    /// Who is told.
    pub asker: Option<Asker>,
    /// What was decided.
    pub action: Action,
    /// Why, in the decision's own words.
    pub reasoning: String,
    /// How it was come to: a model's reasoning, or the reasons of the rules.
    pub thoughts: String,
    /// What the action needs.
    pub payload: Payload,
    /// The experiment that is meant.
    pub experiment_id: Option<String>,
    /// How soon.
    pub priority: Priority,
    /// Who decided: a provider, or `code`.
    pub provider: String,
    /// Which model.
    pub model: String,
    /// What it used.
    pub tokens: Tokens,
    /// What it cost, in billionths of a dollar.
    pub nano_usd: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The versions of what it was made from.
    pub context_digest: String,
    /// How far it has come.
    pub stage: Stage,
    /// The approval it waits for, or waited for.
    pub approval_id: Option<String>,
    /// What came of it, in words.
    pub outcome: Option<String>,
    /// What a person should know: providers that failed, repairs.
    pub flags: Vec<String>,
    /// Counts the rounds of a message that was refused and decided again.
    pub round: u32,
    /// How often no mind answered.
    pub tries: u32,
}

impl Record {
    /// Its fields, to be written.
    pub fn fields(&self) -> Vec<(String, Option<String>)> {
        let json = |value: &dyn erased::ToJson| Some(value.to_json());
        let text = |text: &str| Some(text.to_owned());
        let thoughts = self.thoughts.chars().take(THOUGHTS_LIMIT).collect::<String>();
        [
            ("at", Some(rfc3339(self.at))),
            ("kind", text(&self.kind)),
            ("message", json(&self.message)),
            ("trust", word(&self.trust)),
            ("trace", self.trace.map(|trace| trace.to_string())),
            ("asker", json(&self.asker)),
            ("action", text(self.action.as_str())),
            ("reasoning", text(&self.reasoning)),
            ("thoughts", Some(thoughts)),
            ("payload", json(&self.payload)),
            ("experiment_id", self.experiment_id.clone()),
            ("priority", word(&self.priority)),
            ("provider", text(&self.provider)),
            ("model", text(&self.model)),
            ("tokens", json(&self.tokens)),
            ("nano_usd", Some(self.nano_usd.to_string())),
            ("took_ms", Some(self.took_ms.to_string())),
            ("context_digest", text(&self.context_digest)),
            ("state", text(self.stage.as_str())),
            ("approval_id", self.approval_id.clone()),
            ("outcome", self.outcome.clone()),
            ("flags", json(&self.flags)),
            ("round", Some(self.round.to_string())),
            ("tries", Some(self.tries.to_string())),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }

    /// What a person wants to know of it, by name, in the order in which it is told. What is empty is left out. Not made harmless.
    pub fn told(&self) -> Vec<(&'static str, String)> {
        let Tokens { uncached, cache_write, cache_read, output } = self.tokens;
        let read = uncached.saturating_add(cache_write).saturating_add(cache_read);
        let pretty = |value: &dyn erased::ToJson| value.to_pretty();
        let cost = match (self.nano_usd, read, output) {
            (0, 0, 0) => format!("nothing, {} ms", self.took_ms),
            _ => format!("{} for {read} tokens read and {output} written, {} ms", dollars(self.nano_usd), self.took_ms),
        };
        let or_none = |text: &Option<String>| text.clone().unwrap_or_default();
        let told = [
            ("id", self.id.clone()),
            ("at", rfc3339(self.at)),
            ("about", format!("{} (trust {:?})", self.kind, self.trust).to_lowercase()),
            ("trace", self.trace.map(|trace| trace.to_string()).unwrap_or_default()),
            ("action", format!("{} ({:?})", self.action, self.priority).to_lowercase()),
            ("experiment", or_none(&self.experiment_id)),
            ("state", self.stage.to_string()),
            ("outcome", or_none(&self.outcome)),
            ("approval", or_none(&self.approval_id)),
            ("why", self.reasoning.clone()),
            ("thoughts", self.thoughts.clone()),
            ("by", format!("{} ({})", self.model, self.provider)),
            ("cost", cost),
            ("made from", self.context_digest.clone()),
            ("flags", self.flags.join("\n")),
            ("payload", pretty(&without_nothing(&self.payload))),
            ("message", pretty(&self.message)),
        ];
        told.into_iter().filter(|(_, words)| !words.is_empty()).collect()
    }

    /// Reads a record; none where the document is no decision (an older form, or somebody else's).
    pub fn read(id: &str, document: &Document) -> Option<Self> {
        let text = |name: &str| document.get(name).map(str::to_owned);
        let number = |name: &str| document.get(name).and_then(|text| text.parse().ok()).unwrap_or(0);
        Some(Self {
            id: id.to_owned(),
            at: read_time(document.get("at")?)?,
            kind: text("kind")?,
            message: parsed(document, "message").unwrap_or_default(),
            trust: spoken(document, "trust").unwrap_or(Trust::External),
            trace: spoken(document, "trace"),
            asker: parsed(document, "asker").unwrap_or_default(),
            tries: u32::try_from(number("tries")).unwrap_or(0),
            action: Action::read(document.get("action")?)?,
            reasoning: text("reasoning").unwrap_or_default(),
            thoughts: text("thoughts").unwrap_or_default(),
            payload: parsed(document, "payload").unwrap_or_default(),
            experiment_id: text("experiment_id"),
            priority: spoken(document, "priority").unwrap_or_default(),
            provider: text("provider").unwrap_or_default(),
            model: text("model").unwrap_or_default(),
            tokens: parsed(document, "tokens").unwrap_or_default(),
            nano_usd: number("nano_usd"),
            took_ms: number("took_ms"),
            context_digest: text("context_digest").unwrap_or_default(),
            stage: spoken(document, "state").unwrap_or(Stage::Done),
            approval_id: text("approval_id"),
            outcome: text("outcome"),
            flags: parsed(document, "flags").unwrap_or_default(),
            round: u32::try_from(number("round")).unwrap_or(1),
        })
    }
}

/// Values as JSON text, whatever their type.
mod erased {
    pub(super) trait ToJson {
        fn to_json(&self) -> String;
        fn to_pretty(&self) -> String;
    }

    impl<T: serde::Serialize> ToJson for T {
        fn to_json(&self) -> String {
            serde_json::to_string(self).unwrap_or_default()
        }

        fn to_pretty(&self) -> String {
            serde_json::to_string_pretty(self).unwrap_or_default()
        }
    }
}

/// A value without the fields in which nothing is.
fn without_nothing(value: &impl Serialize) -> Value {
    let mut value = serde_json::to_value(value).unwrap_or_default();
    if let Value::Object(fields) = &mut value {
        fields.retain(|_, field| !field.is_null() && field.as_array().is_none_or(|items| !items.is_empty()));
    }
    value
}

/// Billionths of a dollar to the millionth, as what a decision costs needs it; `-` for none.
pub fn dollars(nano: u64) -> String {
    if nano == 0 { "-".to_owned() } else { format!("${}.{:06}", nano / 1_000_000_000, nano % 1_000_000_000 / 1_000) }
}

/// A value that is written as one word.
fn word(value: &impl Serialize) -> Option<String> {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned))
}

fn spoken<T: for<'de> Deserialize<'de>>(document: &Document, field: &str) -> Option<T> {
    serde_json::from_value(Value::String(document.get(field)?.to_owned())).ok()
}

fn parsed<T: for<'de> Deserialize<'de>>(document: &Document, field: &str) -> Option<T> {
    serde_json::from_str(document.get(field)?).ok()
}

/// The record's key.
///
/// # Errors
/// Where the id cannot be part of a key.
pub fn key(id: &str) -> Result<Key, keys::BadId> {
    keys::decision(id).map(Key::new)
}

/// The record with this id; none where there is none.
///
/// # Errors
/// Where the store cannot be reached.
pub async fn get(bus: &SharedBus, id: &str) -> Result<Option<(Record, u64)>, BusError> {
    let Ok(key) = key(id) else { return Ok(None) };
    Ok(match bus.get(&key).await? {
        Some(State::Hash(document)) => Record::read(id, &document).map(|record| (record, document.version)),
        _ => None,
    })
}

/// The newest records, the newest first.
///
/// # Errors
/// Where the store cannot be reached.
pub async fn newest(bus: &SharedBus, limit: usize) -> Result<Vec<Record>, BusError> {
    let mut ids = Vec::new();
    let mut cursor = None;
    loop {
        let (page, next) = bus.scan("decisions:", cursor, PAGE).await?;
        ids.extend(page.into_iter().filter_map(|key| key.as_str().strip_prefix("decisions:").map(str::to_owned)));
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    let found: Vec<_> = futures::stream::iter(ids)
        .map(|id| async move { get(bus, &id).await })
        .buffer_unordered(SIDE_BY_SIDE)
        .try_collect()
        .await?;
    let mut records: Vec<_> = found.into_iter().flatten().map(|(record, _)| record).collect();
    records.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
    records.truncate(limit);
    Ok(records)
}
