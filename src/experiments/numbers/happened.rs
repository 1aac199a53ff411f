//! Something that happened, as a message says it, ready to be added up.
//!
//! Owns under which name it is counted, and of whom. Must never take a count that is negative or no whole number, nor a number that is none.

use serde_json::{Map, Value};
use thiserror::Error;

use super::{LONGEST_NAME, MOST_NAMES};
use crate::contracts::messages::Metrics;
use crate::contracts::untrusted::sanitize_line;
use crate::experiments::events;

/// Most events that one message may count.
pub const MOST_AT_ONCE: u64 = 1_000_000_000;
/// Numbers beyond this are refused: their sums would lose what is added.
const LARGEST: f64 = 1e15;
/// Days that a simulation may last.
const LONGEST_SIMULATION: f64 = 10_000.0;
/// Hex digits of a person's hash that are kept: enough to tell the people of one experiment apart.
const PERSON_DIGITS: usize = 12;

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
    /// Whom it happened to, where it counts people: the beginning of the hash that stands for the address.
    pub person: Option<String>,
    /// Of a simulation: so many days after its beginning.
    pub day: Option<f64>,
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
        let plain = |event: &str, count| Self {
            event: event.to_owned(),
            count,
            variant: None,
            fields: Vec::new(),
            person: None,
            day: None,
        };
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
                let text = |field: &str| event.fields.get(field).and_then(Value::as_str);
                let is_later = text("round").is_some_and(|round| !matches!(round, "" | "first" | "unknown"));
                let name = events::counted_as(&name);
                let name = if is_later { events::in_a_later_round(name) } else { name };
                let is_simulation = event.fields.get("simulation") == Some(&Value::Bool(true));
                let day = event.fields.get("day").and_then(Value::as_f64).filter(|_| is_simulation);
                Ok(Self {
                    event: name.to_owned(),
                    count: count(&event.fields)?,
                    variant: variant(&event.fields),
                    fields: numbers(&event.fields)?,
                    person: text("person").filter(|_| events::counts_people(name)).and_then(person),
                    day: day.filter(|day| (0.0..=LONGEST_SIMULATION).contains(day)),
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

fn person(hash: &str) -> Option<String> {
    let is_hash = hash.len() >= PERSON_DIGITS && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| hash[..PERSON_DIGITS].to_ascii_lowercase())
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
