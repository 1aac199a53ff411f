//! The numbers of an experiment: what happened, added up, as its document `metrics_aggregated:{id}` holds it.
//!
//! | field | what |
//! |---|---|
//! | `events.NAME`, `events.NAME@VARIANT` | how often it happened |
//! | `fields.NAME.sum`, `.count`, `.min`, `.max`, `.latest` | numbers that came with it |
//! | `sketches.NAME` | their quantiles: a sketch (within 1 %) in its portable binary form, in hexadecimal |
//! | `recent_sends` | messages to people, and what else a share is taken of, by the hour: what may be too young to be judged |
//! | `simulated_day` | how far a simulation is that runs |
//! | `people_json` | who is counted already: people are counted, not their replies |
//! | `trust_json` | the lowest trust of what was counted under a name, where it is not our own |
//! | `first_at`, `first_run_at`, `last_updated` | when the first event came, when the first run began, when it changed last |
//!
//! Masson, Rim, Lee, "`DDSketch`: a fast and fully-mergeable quantile sketch with relative-error guarantees", PVLDB 12 (2019).
//!
//! Owns the form of that document, and what a name in a criterion means in it. Must never count the same person twice, and never grow without end.

mod field;
mod happened;
mod recent;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use sketches_ddsketch::DDSketch;

use self::field::{Field, hex, unhex};
use self::recent::Recent;
pub use happened::{Happened, MOST_AT_ONCE, Refused};
pub use recent::{Ageing, YoungFrom};

use super::criteria::{Aggregate, Name, Space, Unknown};
use super::events;
use super::spec::MetricKind;
use crate::bus::Document;
use crate::contracts::Trust;
use crate::contracts::envelope::{read_time, rfc3339};

/// Names of events and fields that an experiment may have, variants included.
const MOST_NAMES: usize = 400;
/// Characters of a name.
const LONGEST_NAME: usize = 64;
/// People that are remembered, for each thing that they did. Of more than that it no longer matters who does it twice.
const MOST_PEOPLE: usize = 20_000;
/// Fields of the document that are no numbers of their own.
const RECENT: &str = "recent_sends";
const DAY: &str = "simulated_day";
const PEOPLE: &str = "people_json";
const TRUST: &str = "trust_json";
/// The same, for those who put other numbers beside them.
pub const OWN_FIELDS: [&str; 7] = [RECENT, DAY, PEOPLE, TRUST, "first_at", "first_run_at", "last_updated"];

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
    /// By what clock messages grow old.
    ageing: Ageing,
    /// Events that grow old besides messages to people: shares are taken of them.
    totals: BTreeSet<String>,
    recent: Recent,
    /// The day of a simulation that runs.
    day: Option<f64>,
    /// Who did what, by the event.
    people: BTreeMap<String, BTreeSet<String>>,
    /// The lowest trust of what was counted under a name.
    trust: BTreeMap<String, Trust>,
    touched: BTreeSet<String>,
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
            recent: Recent { hours: json(document, RECENT) },
            people: json(document, PEOPLE),
            trust: json(document, TRUST),
            day: document.get(DAY).and_then(|text| text.parse().ok()).filter(|day: &f64| day.is_finite()),
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

    /// The same, growing old as is said; `totals` are the events that shares are taken of.
    #[must_use]
    pub fn growing_old(self, ageing: Ageing, totals: BTreeSet<String>) -> Self {
        Self { ageing, totals, ..self }
    }

    /// Adds something that happened. What the same person did before adds nothing.
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
        let count = match &happened.person {
            Some(person) if happened.count > 0 => {
                if !self.is_new(&happened.event, person) {
                    return Ok(());
                }
                1
            }
            _ => happened.count,
        };
        let hour = self.grows_old_from(happened, at).filter(|_| count > 0);
        for name in events {
            let counted = self.events.entry(name.clone()).or_default();
            *counted = counted.saturating_add(count);
            self.touched.insert(format!("events.{name}"));
            if let Some(hour) = hour {
                self.recent.add(name, hour, count);
                self.touched.insert(RECENT.to_owned());
            }
        }
        for (name, value) in &happened.fields {
            self.fields.entry(name.clone()).or_default().add(*value);
            self.touched.insert(format!("fields.{name}"));
        }
        self.first_at = Some(self.first_at.map_or(at, |first| first.min(at)));
        if happened.event == "run_started" {
            self.first_run_at = Some(self.first_run_at.map_or(at, |first| first.min(at)));
        }
        Ok(())
    }

    /// Whether the person did not do it before; remembers it.
    fn is_new(&mut self, event: &str, person: &str) -> bool {
        let known = self.people.entry(event.to_owned()).or_default();
        if known.contains(person) {
            return false;
        }
        if known.len() < MOST_PEOPLE {
            known.insert(person.to_owned());
            self.touched.insert(PEOPLE.to_owned());
        }
        true
    }

    /// The hour from which it grows old; none where it is old at once.
    fn grows_old_from(&mut self, happened: &Happened, at: DateTime<Utc>) -> Option<i64> {
        if self.ageing == Ageing::BySimulation {
            self.simulate(happened);
        }
        if !events::is_sending(&happened.event) && !self.totals.contains(&happened.event) {
            return None;
        }
        match self.ageing {
            Ageing::AtOnce => None,
            Ageing::ByClock => Some(recent::hour(at)),
            Ageing::BySimulation => happened.day.map(recent::hour_of),
        }
    }

    /// A simulation goes on, begins or is over; then nothing more comes of it.
    fn simulate(&mut self, happened: &Happened) {
        let before = self.day;
        match (happened.event.as_str(), happened.day) {
            ("run_started" | "run_completed", _) => {
                self.day = None;
                self.recent = Recent::default();
                self.touched.insert(RECENT.to_owned());
            }
            (_, Some(day)) => self.day = Some(before.map_or(day, |before| before.max(day))),
            _ => {}
        }
        if self.day != before {
            self.touched.insert(DAY.to_owned());
        }
    }

    /// Remembers how far something can be trusted that was added.
    pub fn rests_on(&mut self, happened: &Happened, trust: Trust) {
        let fields = happened.fields.iter().map(|(name, _)| name);
        for name in std::iter::once(&happened.event).chain(fields) {
            let known = self.trust.get(name).copied().unwrap_or(Trust::System);
            if trust < known && (self.trust.len() < MOST_NAMES || self.trust.contains_key(name)) {
                self.trust.insert(name.clone(), trust);
                self.touched.insert(TRUST.to_owned());
            }
        }
    }

    /// How far what these names count can be trusted: as far as the least of it.
    pub fn trust<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Trust {
        let of = |name: &str| events::candidates(name).iter().filter_map(|name| self.trust.get(name)).copied().min();
        let of = |name: &str| if name == events::ALL_SENT { self.trust_of_sent() } else { of(name) };
        names.into_iter().filter_map(of).min().unwrap_or(Trust::System)
    }

    fn trust_of_sent(&self) -> Option<Trust> {
        self.trust.iter().filter(|(name, _)| events::is_sending(name)).map(|(_, trust)| *trust).min()
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
                None => changes.push((name.clone(), self.own_field(&name, now))),
            }
        }
        let times =
            [("first_at", self.first_at), ("first_run_at", self.first_run_at), ("last_updated", self.last_updated)];
        changes.extend(times.into_iter().filter_map(|(name, at)| Some((name.to_owned(), rfc3339(at?)))));
        changes
    }

    /// A field that is no number. Names and numbers: there is nothing in it that could fail to serialise.
    fn own_field(&mut self, name: &str, now: DateTime<Utc>) -> String {
        let text = match name {
            RECENT => {
                if self.ageing != Ageing::BySimulation {
                    self.recent.tidy(now);
                }
                serde_json::to_string(&self.recent.hours)
            }
            PEOPLE => serde_json::to_string(&self.people),
            TRUST => serde_json::to_string(&self.trust),
            _ => return self.day.map(|day| day.to_string()).unwrap_or_default(),
        };
        text.unwrap_or_default()
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

    /// Since when something is too young to be judged, where that takes so long; none where all is old.
    pub fn young_from(&self, now: DateTime<Utc>, within: TimeDelta) -> Option<YoungFrom> {
        if within <= TimeDelta::zero() {
            return None;
        }
        match self.ageing {
            Ageing::AtOnce => None,
            Ageing::ByClock => Some(recent::by_clock(now, within)),
            Ageing::BySimulation => self.day.map(|day| recent::by_day(day, within)),
        }
    }

    /// How much of what this name counts is too young, of all or of one variant.
    pub fn young(&self, name: &str, variant: Option<&str>, from: YoungFrom) -> u64 {
        let names = match name {
            events::ALL_SENT => self.recent.hours.keys().filter(|name| is_sent(name, variant)).cloned().collect(),
            _ => events::candidates(name).into_iter().map(|event| of_variant(event, variant)).collect::<Vec<_>>(),
        };
        names.iter().fold(0, |sum, name| sum.saturating_add(self.recent.young(name, from)))
    }

    /// When time alone makes something old that is too young now.
    pub fn next_old(&self, from: YoungFrom, within: TimeDelta) -> Option<DateTime<Utc>> {
        let by_clock = self.ageing == Ageing::ByClock;
        if by_clock { self.recent.next(from, within) } else { None }
    }

    /// Whether it was ever said, in any of its forms, that this was counted: none of it, too.
    pub fn has_counted(&self, name: &str) -> bool {
        match name {
            events::ALL_SENT => self.events.keys().any(|event| is_sent(event, None)),
            _ => events::candidates(name).iter().any(|event| self.events.contains_key(event)),
        }
    }

    /// Whether what says this was heard of before: whoever watches the mail on its way says all of it.
    pub fn hears_like(&self, event: &str) -> bool {
        events::of_webhooks(event) && self.events.keys().any(|known| events::of_webhooks(known))
    }

    /// Whether a name counts events, where its metric is declared as `kind`.
    pub fn counts_events(&self, name: &Name, kind: Option<MetricKind>) -> bool {
        let is_count = matches!(name.aggregate, None | Some(Aggregate::Count | Aggregate::Sum));
        is_count
            && match name.space {
                Some(Space::Events) => true,
                Some(Space::Fields) => false,
                None => self.is_counter(&name.name, kind),
            }
    }

    /// How much was counted, of everything together.
    pub fn total(&self) -> u64 {
        self.events().fold(0, |sum, (_, count)| sum.saturating_add(count))
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
        if name == events::ALL_SENT {
            return Some(as_float(self.sent(variant)));
        }
        let of = |event: String| self.count(&of_variant(event, variant));
        let all: Vec<u64> = events::candidates(name).into_iter().map(of).collect();
        Some(as_float(all.iter().fold(0, |sum, count| u64::saturating_add(sum, *count))))
    }

    /// Messages that were sent to people.
    fn sent(&self, variant: Option<&str>) -> u64 {
        let all = self.events.iter().filter(|(name, _)| is_sent(name, variant));
        all.fold(0, |sum, (_, count)| u64::saturating_add(sum, *count))
    }
}

/// The name under which an event is counted for a variant, or for all.
fn of_variant(event: String, variant: Option<&str>) -> String {
    match variant {
        Some(variant) => format!("{event}@{variant}"),
        None => event,
    }
}

/// Whether this counts messages to people, of this variant or of all.
fn is_sent(name: &str, variant: Option<&str>) -> bool {
    match (name.split_once('@'), variant) {
        (None, None) => events::is_sending(name),
        (Some((event, of)), Some(variant)) => of == variant && events::is_sending(event),
        _ => false,
    }
}

/// What a field holds as JSON; nothing where it is none.
fn json<T: serde::de::DeserializeOwned + Default>(document: &Document, field: &str) -> T {
    document.get(field).and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "numbers of events are far below what a float holds exactly")]
fn as_float(count: u64) -> f64 {
    count as f64
}
