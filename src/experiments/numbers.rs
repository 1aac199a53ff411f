//! The numbers of an experiment: what happened, added up, as its document `metrics_aggregated:{id}` holds it.
//!
//! | field | what |
//! |---|---|
//! | `events.NAME`, `events.NAME@VARIANT` | how often it happened |
//! | `fields.NAME.sum`, `.count`, `.min`, `.max`, `.latest` | numbers that came with it |
//! | `sketches.NAME` | their quantiles: a sketch (within 1 %) in its portable binary form, in hexadecimal |
//! | `recent_sends` | messages to people by the hour (counted from 1970), those of the last 30 days: what is too young to be judged |
//! | `first_at`, `first_run_at`, `last_updated` | when the first event came, when the first run began, when it changed last |
//!
//! Masson, Rim, Lee, "`DDSketch`: a fast and fully-mergeable quantile sketch with relative-error guarantees", PVLDB 12 (2019).
//!
//! Owns the form of that document, and what a name in a criterion means in it. Must never take a count that is negative or no whole number, nor a
//! number that is none, and never grow without end.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use sketches_ddsketch::{Config, DDSketch};
use thiserror::Error;

use super::criteria::{Aggregate, Name, Space, Unknown};
use super::events;
use super::spec::MetricKind;
use crate::bus::Document;
use crate::contracts::envelope::{read_time, rfc3339};
use crate::contracts::messages::Metrics;
use crate::contracts::untrusted::sanitize_line;

/// Names of events and fields that an experiment may have, variants included.
const MOST_NAMES: usize = 400;
/// Most events that one message may count.
pub const MOST_AT_ONCE: u64 = 1_000_000_000;
/// Numbers beyond this are refused: their sums would lose what is added.
const LARGEST: f64 = 1e15;
/// Characters of a name.
const LONGEST_NAME: usize = 64;
/// Hours of messages to people that are remembered.
const RECENT_HOURS: i64 = 30 * 24;
/// The field that holds them.
const RECENT: &str = "recent_sends";
/// How exact quantiles are.
const EXACT: f64 = 0.01;

/// Fields of an event that say what it is about, and measure nothing.
const NOT_MEASURED: [&str; 10] =
    ["experiment_id", "event", "type", "run_id", "timestamp", "message", "count", "id", "meta", "variant"];

/// Something that happened, ready to be added.
#[derive(Debug, Clone, PartialEq)]
pub struct Happened {
    /// The event, under the name by which it is counted.
    pub event: String,
    /// How often.
    pub count: u64,
    /// The variant that it happened to.
    pub variant: Option<String>,
    /// Numbers that came with it.
    pub fields: Vec<(String, f64)>,
}

/// Why something cannot be added.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    /// A number of events that is none.
    #[error("`{0}` is no number of events; `count` is a whole number from 0 to {MOST_AT_ONCE}")]
    Count(String),
    /// A number that is too large, or none.
    #[error("`{field}` is {value}, which is no number that can be added up")]
    Number {
        /// The field.
        field: String,
        /// What it is.
        value: String,
    },
    /// A name that no criterion could use.
    #[error("`{0}` is no name of an event: letters, digits and `_`, 64 of them at most")]
    Name(String),
    /// More names than an experiment may have.
    #[error("the experiment has {MOST_NAMES} names of events and fields already; `{0}` would be one more")]
    TooMany(String),
}

impl Refused {
    /// The field of the message that is wrong.
    pub fn field(&self) -> &str {
        match self {
            Self::Count(_) => "count",
            Self::Number { field, .. } => field,
            Self::Name(_) | Self::TooMany(_) => "event",
        }
    }
}

impl Happened {
    /// What a message says that happened.
    ///
    /// # Errors
    /// Where it counts something that cannot be counted.
    pub fn of(message: &Metrics) -> Result<Self, Refused> {
        let plain = |event: &str, count| Self { event: event.to_owned(), count, variant: None, fields: Vec::new() };
        match message {
            Metrics::RunStarted(_) => Ok(plain("run_started", 1)),
            Metrics::RunCompleted(_) => Ok(plain("run_completed", 1)),
            Metrics::Error(_) => Ok(plain("error", 1)),
            Metrics::Look(_) => Ok(plain("look_again", 0)),
            Metrics::ItemsProcessed(items) if items.count > MOST_AT_ONCE => {
                Err(Refused::Count(items.count.to_string()))
            }
            Metrics::ItemsProcessed(items) => Ok(plain("items_processed", items.count)),
            Metrics::Event(event) => {
                let name =
                    clean(&event.event).ok_or_else(|| Refused::Name(sanitize_line(&event.event, LONGEST_NAME)))?;
                Ok(Self {
                    event: events::counted_as(&name).to_owned(),
                    count: count(&event.fields)?,
                    variant: variant(&event.fields),
                    fields: numbers(&event.fields)?,
                })
            }
        }
    }
}

/// A name as criteria can use it: `email-sent` as `email_sent`; none where nothing can be made of it.
fn clean(name: &str) -> Option<String> {
    let part = |c: char| if matches!(c, '-' | '.' | ' ' | ':' | '/') { '_' } else { c };
    let name: String = name.trim().chars().map(part).collect();
    let fits = name.len() <= LONGEST_NAME
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    fits.then_some(name)
}

fn count(fields: &Map<String, Value>) -> Result<u64, Refused> {
    match fields.get("count") {
        None | Some(Value::Null) => Ok(1),
        Some(value) => {
            // `3.0` is a whole number too, as some programs write it.
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a whole number below two to the 53rd"
            )]
            let whole = |number: f64| (number.fract() == 0.0 && (0.0..9e15).contains(&number)).then_some(number as u64);
            let count = value.as_u64().or_else(|| value.as_f64().and_then(whole));
            count
                .filter(|count| *count <= MOST_AT_ONCE)
                .ok_or_else(|| Refused::Count(sanitize_line(&value.to_string(), 40)))
        }
    }
}

fn variant(fields: &Map<String, Value>) -> Option<String> {
    let text = match fields.get("variant")? {
        Value::String(text) => text.clone(),
        number @ Value::Number(_) => number.to_string(),
        _ => return None,
    };
    let name = sanitize_line(text.trim(), LONGEST_NAME).replace('@', "_");
    (!name.is_empty()).then_some(name)
}

fn numbers(fields: &Map<String, Value>) -> Result<Vec<(String, f64)>, Refused> {
    let mut found = Vec::new();
    for (name, value) in fields {
        let Value::Number(number) = value else { continue };
        if NOT_MEASURED.contains(&name.as_str()) {
            continue;
        }
        let wrong = || Refused::Number { field: sanitize_line(name, LONGEST_NAME), value: number.to_string() };
        let value = number.as_f64().filter(|value| value.abs() <= LARGEST).ok_or_else(wrong)?;
        if let Some(name) = clean(name) {
            found.push((name, value));
        }
    }
    Ok(found)
}

/// The numbers of an experiment.
#[derive(Debug, Clone, Default)]
pub struct Numbers {
    /// The version of the document that they were read from; none where there is none.
    pub version: Option<u64>,
    /// When the first event came.
    pub first_at: Option<DateTime<Utc>>,
    /// When the first run began.
    pub first_run_at: Option<DateTime<Utc>>,
    /// When they changed last.
    pub last_updated: Option<DateTime<Utc>>,
    events: BTreeMap<String, u64>,
    fields: BTreeMap<String, Field>,
    /// Messages to people by event and hour.
    recent: BTreeMap<String, BTreeMap<i64, u64>>,
    touched: BTreeSet<String>,
}

/// Numbers of one name, added up.
#[derive(Clone)]
struct Field {
    sum: f64,
    count: u64,
    min: f64,
    max: f64,
    latest: f64,
    sketch: DDSketch,
}

impl std::fmt::Debug for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Field").field("sum", &self.sum).field("count", &self.count).finish_non_exhaustive()
    }
}

impl Default for Field {
    fn default() -> Self {
        let sketch = DDSketch::new(Config::new(EXACT, 2048, 1e-9));
        Self { sum: 0.0, count: 0, min: f64::INFINITY, max: f64::NEG_INFINITY, latest: 0.0, sketch }
    }
}

impl Field {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.latest = value;
        self.sketch.add(value);
    }

    fn value(&self, aggregate: Aggregate) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let quantile = |q| self.sketch.quantile(q).ok().flatten();
        match aggregate {
            Aggregate::Sum => Some(self.sum),
            Aggregate::Avg => Some(self.sum / as_float(self.count)),
            Aggregate::Min => Some(self.min),
            Aggregate::Max => Some(self.max),
            Aggregate::Latest => Some(self.latest),
            Aggregate::Count => Some(as_float(self.count)),
            Aggregate::P50 => quantile(0.5),
            Aggregate::P95 => quantile(0.95),
            Aggregate::Rate => None,
        }
    }
}

impl Numbers {
    /// The numbers that a document holds. What is not of its form is left out.
    pub fn read(document: &Document) -> Self {
        let time = |field: &str| document.get(field).and_then(read_time);
        let mut numbers = Self {
            version: Some(document.version),
            first_at: time("first_at"),
            first_run_at: time("first_run_at"),
            last_updated: time("last_updated"),
            recent: document.get(RECENT).and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default(),
            ..Self::default()
        };
        for (name, text) in &document.fields {
            if let Some(event) = name.strip_prefix("events.") {
                if let Ok(count) = text.parse() {
                    numbers.events.insert(event.to_owned(), count);
                }
            } else if let Some((field, part)) = name.strip_prefix("fields.").and_then(|rest| rest.rsplit_once('.')) {
                numbers.read_part(field, part, text);
            } else if let Some(field) = name.strip_prefix("sketches.")
                && let Some(sketch) = unhex(text).and_then(|bytes| DDSketch::from_java_bytes(&bytes).ok())
            {
                numbers.fields.entry(field.to_owned()).or_default().sketch = sketch;
            }
        }
        numbers
    }

    fn read_part(&mut self, field: &str, part: &str, text: &str) {
        let field = self.fields.entry(field.to_owned()).or_default();
        let Some(value) = text.parse().ok().filter(|value: &f64| value.is_finite()) else { return };
        match part {
            "sum" => field.sum = value,
            "count" => field.count = text.parse().unwrap_or_default(),
            "min" => field.min = value,
            "max" => field.max = value,
            "latest" => field.latest = value,
            _ => {}
        }
    }

    /// Adds something that happened.
    ///
    /// # Errors
    /// Where the experiment would have too many names; then nothing of it is added.
    pub fn add(&mut self, happened: &Happened, at: DateTime<Utc>) -> Result<(), Refused> {
        if happened.event == "look_again" {
            return Ok(());
        }
        let of_variant = happened.variant.as_ref().map(|variant| format!("{}@{variant}", happened.event));
        let events: Vec<&String> = std::iter::once(&happened.event).chain(&of_variant).collect();
        let new_events = events.iter().filter(|name| !self.events.contains_key(**name)).count();
        let new_fields = happened.fields.iter().filter(|(name, _)| !self.fields.contains_key(name)).count();
        let new = new_events + new_fields;
        if new > 0 && self.events.len() + self.fields.len() + new > MOST_NAMES {
            return Err(Refused::TooMany(happened.event.clone()));
        }
        for name in events {
            let counted = self.events.entry(name.clone()).or_default();
            *counted = counted.saturating_add(happened.count);
            self.touched.insert(format!("events.{name}"));
        }
        for (name, value) in &happened.fields {
            self.fields.entry(name.clone()).or_default().add(*value);
            self.touched.insert(format!("fields.{name}"));
        }
        if events::is_sending(&happened.event) && happened.count > 0 {
            let hours = self.recent.entry(happened.event.clone()).or_default();
            let counted = hours.entry(hour(at)).or_default();
            *counted = counted.saturating_add(happened.count);
            self.touched.insert(RECENT.to_owned());
        }
        self.first_at = Some(self.first_at.map_or(at, |first| first.min(at)));
        if happened.event == "run_started" {
            self.first_run_at = Some(self.first_run_at.map_or(at, |first| first.min(at)));
        }
        Ok(())
    }

    /// The fields of the document that differ from what was read, `now` being when they change; then nothing differs any more.
    pub fn take_changes(&mut self, now: DateTime<Utc>) -> Vec<(String, String)> {
        let touched = std::mem::take(&mut self.touched);
        if touched.is_empty() {
            return Vec::new();
        }
        self.last_updated = Some(now);
        let mut changes = Vec::new();
        for name in touched {
            match name.split_once('.') {
                Some(("events", event)) => {
                    let count = self.events.get(event).copied().unwrap_or_default();
                    changes.push((name, count.to_string()));
                }
                Some((_, field)) => {
                    let Some(found) = self.fields.get(field) else { continue };
                    let parts = [
                        ("sum", found.sum.to_string()),
                        ("count", found.count.to_string()),
                        ("min", found.min.to_string()),
                        ("max", found.max.to_string()),
                        ("latest", found.latest.to_string()),
                    ];
                    changes.extend(parts.map(|(part, value)| (format!("fields.{field}.{part}"), value)));
                    changes.push((format!("sketches.{field}"), hex(&found.sketch.to_java_bytes())));
                }
                None => {
                    let oldest = hour(now) - RECENT_HOURS;
                    self.recent.values_mut().for_each(|hours| *hours = hours.split_off(&oldest));
                    self.recent.retain(|_, hours| !hours.is_empty());
                    // Names and numbers: there is nothing in it that could fail to serialise.
                    changes.push((name, serde_json::to_string(&self.recent).unwrap_or_default()));
                }
            }
        }
        let times =
            [("first_at", self.first_at), ("first_run_at", self.first_run_at), ("last_updated", self.last_updated)];
        changes.extend(times.into_iter().filter_map(|(name, at)| Some((name.to_owned(), rfc3339(at?)))));
        changes
    }

    /// Whether nothing was ever measured.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.fields.is_empty()
    }

    /// How often an event happened, under the name by which it is counted.
    pub fn count(&self, event: &str) -> u64 {
        self.events.get(event).copied().unwrap_or_default()
    }

    /// Events and how often they happened; those of variants excluded.
    pub fn events(&self) -> impl Iterator<Item = (&str, u64)> {
        self.events.iter().filter(|(name, _)| !name.contains('@')).map(|(name, count)| (name.as_str(), *count))
    }

    /// Names of fields that were measured.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(String::as_str)
    }

    /// Variants that something happened to.
    pub fn variants(&self) -> BTreeSet<&str> {
        self.events.keys().filter_map(|name| name.split_once('@')).map(|(_, variant)| variant).collect()
    }

    /// When it began: the first run, or, where none was told of, the first event.
    pub fn began_at(&self) -> Option<DateTime<Utc>> {
        self.first_run_at.or(self.first_at)
    }

    /// Messages to people of this name that were sent after `before`, to the hour.
    pub fn sent_since(&self, name: &str, before: DateTime<Utc>) -> u64 {
        let young = |hours: &BTreeMap<i64, u64>| hours.range(hour(before)..).map(|(_, count)| *count).sum::<u64>();
        events::candidates(name).iter().filter_map(|event| self.recent.get(event)).map(young).sum()
    }

    /// When the oldest of the messages that were sent after `before` was, at the latest; none where there is none.
    pub fn oldest_since(&self, before: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let first = |hours: &BTreeMap<i64, u64>| hours.range(hour(before)..).next().map(|(hour, _)| *hour);
        let oldest = self.recent.values().filter_map(first).min()?;
        DateTime::from_timestamp(oldest.saturating_add(1).saturating_mul(HOUR), 0)
    }

    /// What a name means here, of all or of one variant; `kind` is what its metric is declared as.
    ///
    /// An event that did not happen was counted zero times, once anything happened at all. A field that was not measured is unknown.
    ///
    /// # Errors
    /// Where nothing was measured under this name.
    pub fn get(&self, name: &Name, kind: Option<MetricKind>, variant: Option<&str>) -> Result<f64, Unknown> {
        let missing = || Unknown::missing(name);
        let field = || self.fields.get(&name.name).filter(|_| variant.is_none());
        let usual = match kind {
            Some(MetricKind::Duration) => Aggregate::Avg,
            Some(MetricKind::Percentage) => Aggregate::Latest,
            Some(MetricKind::Counter) | None => Aggregate::Sum,
        };
        let of_field = || field().and_then(|field| field.value(name.aggregate.unwrap_or(usual)));
        let of_event = || match name.aggregate {
            None | Some(Aggregate::Count | Aggregate::Sum) => self.counted(&name.name, variant),
            Some(Aggregate::Rate) => {
                let sent = self.sent(variant);
                let counted = self.counted(&name.name, variant)?;
                (sent > 0).then(|| counted / as_float(sent))
            }
            Some(_) => None,
        };
        let value = match name.space {
            Some(Space::Events) => of_event(),
            None if self.is_counter(&name.name, kind) => of_event().or_else(of_field),
            Some(Space::Fields) | None => of_field(),
        };
        value.ok_or_else(missing)
    }

    fn is_counter(&self, name: &str, kind: Option<MetricKind>) -> bool {
        let counted = || events::candidates(name).iter().any(|event| self.events.contains_key(event));
        match kind {
            Some(MetricKind::Counter) => !self.fields.contains_key(name) || counted(),
            Some(MetricKind::Percentage | MetricKind::Duration) => false,
            None => events::event_of(name).is_some() || counted(),
        }
    }

    fn counted(&self, name: &str, variant: Option<&str>) -> Option<f64> {
        if self.is_empty() {
            return None;
        }
        let of = |event: String| match variant {
            Some(variant) => self.count(&format!("{event}@{variant}")),
            None => self.count(&event),
        };
        let all: Vec<u64> = events::candidates(name).into_iter().map(of).collect();
        Some(as_float(all.iter().fold(0, |sum, count| u64::saturating_add(sum, *count))))
    }

    /// Messages that were sent to people.
    fn sent(&self, variant: Option<&str>) -> u64 {
        let all = self.events.iter().filter(|(name, _)| match (name.split_once('@'), variant) {
            (None, None) => events::is_sending(name),
            (Some((event, of)), Some(variant)) => of == variant && events::is_sending(event),
            _ => false,
        });
        all.fold(0, |sum, (_, count)| u64::saturating_add(sum, *count))
    }
}

const HOUR: i64 = 3_600;

/// Which hour it is, counted from 1970.
fn hour(at: DateTime<Utc>) -> i64 {
    at.timestamp().div_euclid(HOUR)
}

#[expect(clippy::cast_precision_loss, reason = "numbers of events are far below what a float holds exactly")]
fn as_float(count: u64) -> f64 {
    count as f64
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}
