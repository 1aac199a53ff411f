//! Series: what happened in experiments, counted in buckets of time, for each experiment and each name.
//!
//! Built from what is said on `fullsend:metrics` and from the numbers in documents. Must never grow: a series that gets long has wider
//! buckets, and where there are too many series the experiment that was silent longest is forgotten, and counted.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::bus::EntryId;
use crate::contracts::messages::Metrics;
use crate::contracts::untrusted::sanitize_line;

/// Buckets of a series.
const BUCKETS: i64 = 256;
/// Seconds of a bucket, as long as a series is short.
const NARROWEST: i64 = 60;
/// Series of one experiment.
const NAMES: usize = 40;
/// Series of all experiments.
const MOST: usize = 4_000;
/// Characters of a name.
const NAME_LIMIT: usize = 60;
/// Numbers beyond this are no counts of anything.
const LARGEST: f64 = 1e15;
/// How far back from when it was said something may have happened.
const BACK: TimeDelta = TimeDelta::days(90);
/// How far ahead a clock may be.
const AHEAD: TimeDelta = TimeDelta::hours(1);

/// What a series holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// How often something happened.
    Counted,
    /// A number as it stood.
    Read,
}

/// A name over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    kind: Kind,
    width: i64,
    first: i64,
    /// One for each bucket; NaN where nothing was read.
    values: VecDeque<f64>,
}

impl Series {
    /// One without anything in it.
    pub fn new(kind: Kind) -> Self {
        Self { kind, width: NARROWEST, first: 0, values: VecDeque::new() }
    }

    /// What it holds.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Adds what happened, or what was read.
    pub fn put(&mut self, at: DateTime<Utc>, value: f64) {
        let second = at.timestamp();
        if self.values.is_empty() {
            self.first = second.div_euclid(self.width);
            self.values.push_back(self.nothing());
        }
        loop {
            let bucket = second.div_euclid(self.width);
            let len = i64::try_from(self.values.len()).unwrap_or(BUCKETS);
            let span = (self.first + len).max(bucket + 1) - self.first.min(bucket);
            if span > BUCKETS {
                self.widen();
                continue;
            }
            for _ in bucket..self.first {
                self.values.push_front(self.nothing());
            }
            self.first = self.first.min(bucket);
            while i64::try_from(self.values.len()).unwrap_or(BUCKETS) <= bucket - self.first {
                self.values.push_back(self.nothing());
            }
            if let Some(slot) = usize::try_from(bucket - self.first).ok().and_then(|at| self.values.get_mut(at)) {
                *slot = if self.kind == Kind::Counted { *slot + value } else { value };
            }
            return;
        }
    }

    fn nothing(&self) -> f64 {
        if self.kind == Kind::Counted { 0.0 } else { f64::NAN }
    }

    /// Makes two buckets one.
    fn widen(&mut self) {
        let first = self.first.div_euclid(2);
        let mut wider = VecDeque::new();
        for (at, value) in (self.first..).zip(self.values.drain(..)) {
            let slot = usize::try_from(at.div_euclid(2) - first).unwrap_or(0);
            match wider.get_mut(slot) {
                None => wider.push_back(value),
                Some(before) if self.kind == Kind::Counted => *before += value,
                Some(before) if !value.is_nan() => *before = value,
                Some(_) => {}
            }
        }
        self.width *= 2;
        self.first = first;
        self.values = wider;
    }

    /// When each bucket ends, and what is in it; nothing for buckets in which nothing was read.
    pub fn points(&self) -> impl Iterator<Item = (DateTime<Utc>, f64)> {
        let end = |at: i64| DateTime::from_timestamp((at + 1).saturating_mul(self.width), 0);
        (self.first..)
            .zip(&self.values)
            .filter_map(move |(at, value)| Some((end(at)?, *value)))
            .filter(|it| !it.1.is_nan())
    }

    /// What was counted up to the end of each bucket, beginning with what had been counted before.
    pub fn so_far(&self, before: f64) -> impl Iterator<Item = (DateTime<Utc>, f64)> {
        self.points().scan(before, |sum, (at, value)| {
            *sum += value;
            Some((at, *sum))
        })
    }

    /// All that was counted, or the newest number that was read.
    pub fn now(&self) -> f64 {
        match self.kind {
            Kind::Counted => self.values.iter().sum(),
            Kind::Read => self.values.iter().rev().copied().find(|value| !value.is_nan()).unwrap_or(f64::NAN),
        }
    }

    /// Seconds that a bucket covers.
    pub fn width(&self) -> i64 {
        self.width
    }
}

/// The series of an experiment.
#[derive(Debug, Clone, Default)]
struct Of {
    named: BTreeMap<String, Series>,
    touched: u64,
}

/// The series of all experiments.
#[derive(Debug, Clone, Default)]
pub struct AllSeries {
    found: BTreeMap<String, Of>,
    count: usize,
    turn: u64,
    newest: Option<EntryId>,
    forgotten: u64,
}

impl AllSeries {
    /// Takes in what was said on `fullsend:metrics`: what happened, when, and for which experiment. What was taken in before is not
    /// counted again. Returns the experiment.
    pub fn said(&mut self, said: &Metrics, entry: Option<EntryId>, heard: DateTime<Utc>) -> Option<String> {
        if entry.is_some() && entry <= self.newest {
            return None;
        }
        self.newest = entry.max(self.newest);
        let (experiment, at) = match said {
            Metrics::RunStarted(it) => (&it.experiment_id, it.timestamp),
            Metrics::ItemsProcessed(it) => (&it.experiment_id, it.timestamp),
            Metrics::RunCompleted(it) => (&it.experiment_id, it.timestamp),
            Metrics::Error(it) => (&it.experiment_id, it.timestamp),
            // Nothing happened.
            Metrics::Look(_) => return None,
            Metrics::Event(it) => (&it.experiment_id, it.timestamp),
        };
        // A time that cannot be is the time at which it was said.
        let can_be = |at: &DateTime<Utc>| (-BACK..=AHEAD).contains(&at.signed_duration_since(heard));
        let at = at.filter(can_be).unwrap_or(heard);
        match said {
            Metrics::Look(_) => {}
            Metrics::RunStarted(_) => self.put(experiment, "run_started", Kind::Counted, at, 1.0),
            #[expect(clippy::cast_precision_loss, reason = "a count beyond 2^53 is drawn, not added up")]
            Metrics::ItemsProcessed(it) => {
                self.put(experiment, "items_processed", Kind::Counted, at, it.count as f64);
            }
            Metrics::RunCompleted(_) => self.put(experiment, "run_completed", Kind::Counted, at, 1.0),
            Metrics::Error(_) => self.put(experiment, "error", Kind::Counted, at, 1.0),
            Metrics::Event(it) => {
                let count = it.fields.get("count").and_then(Value::as_f64).unwrap_or(1.0).max(0.0);
                self.put(experiment, &it.event, Kind::Counted, at, count);
                for (name, value) in it.fields.iter().filter(|(name, _)| *name != "count") {
                    if let Some(number) = value.as_f64() {
                        self.put(experiment, name, Kind::Read, at, number);
                    }
                }
            }
        }
        Some(experiment.clone())
    }

    /// Takes in a number as it stands in a document.
    pub fn read(&mut self, experiment: &str, name: &str, at: DateTime<Utc>, value: f64) {
        self.put(experiment, name, Kind::Read, at, value);
    }

    fn put(&mut self, experiment: &str, name: &str, kind: Kind, at: DateTime<Utc>, value: f64) {
        if experiment.len() > 4 * NAME_LIMIT || !value.is_finite() || value.abs() > LARGEST {
            self.forgotten += 1;
            return;
        }
        self.turn += 1;
        let turn = self.turn;
        let of = match self.found.get_mut(experiment) {
            Some(of) => of,
            None => self.found.entry(experiment.to_owned()).or_default(),
        };
        of.touched = turn;
        let is_full = of.named.len() >= NAMES;
        let series = match of.named.get_mut(name) {
            Some(series) => series,
            None if is_full => {
                self.forgotten += 1;
                return;
            }
            None => {
                self.count += 1;
                of.named.entry(sanitize_line(name, NAME_LIMIT)).or_insert_with(|| Series::new(kind))
            }
        };
        // What is counted is not also read: a name means one thing.
        if series.kind == kind {
            series.put(at, value);
        }
        if self.count > MOST {
            self.forget();
        }
    }

    /// Forgets the experiment that was silent longest.
    fn forget(&mut self) {
        let oldest = self.found.iter().min_by_key(|(_, of)| of.touched).map(|(id, _)| id.clone());
        if let Some(of) = oldest.and_then(|id| self.found.remove(&id)) {
            self.count = self.found.values().map(|of| of.named.len()).sum();
            self.forgotten += u64::try_from(of.named.len()).unwrap_or(0);
        }
    }

    /// A name of an experiment over time.
    pub fn of(&self, experiment: &str, name: &str) -> Option<&Series> {
        self.found.get(experiment)?.named.get(name)
    }

    /// The names that an experiment has series of, and the series.
    pub fn all_of(&self, experiment: &str) -> impl Iterator<Item = (&str, &Series)> {
        self.found.get(experiment).into_iter().flat_map(|of| of.named.iter().map(|(name, it)| (name.as_str(), it)))
    }

    /// How many numbers and series found no place.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::contracts::Body;
    use crate::tui::app::tests::now;

    fn said(all: &mut AllSeries, body: &Value) -> Option<String> {
        all.said(&Metrics::read(&body.to_string()).unwrap(), None, now())
    }

    proptest! {
        #[test]
        fn whatever_comes_the_sum_holds_and_there_are_never_too_many_buckets(
            at in prop::collection::vec((-90_i64 * 86_400..3_600, 0_u32..100), 1..200),
        ) {
            let mut series = Series::new(Kind::Counted);
            let mut sum = 0.0;
            for (second, count) in at {
                series.put(now() + TimeDelta::seconds(second), f64::from(count));
                sum += f64::from(count);
                prop_assert!(series.values.len() <= 256);
            }
            prop_assert!((series.now() - sum).abs() < 1e-6);
            let last = series.so_far(0.0).last().unwrap().1;
            prop_assert!((last - sum).abs() < 1e-6);
            let times: Vec<_> = series.points().map(|(at, _)| at).collect();
            prop_assert!(times.is_sorted());
        }
    }

    #[test]
    fn events_are_counted_by_their_count_and_their_numbers_are_read() {
        let mut all = AllSeries::default();
        let of =
            said(&mut all, &json!({ "event": "email_sent", "experiment_id": "exp_1", "count": 40, "minutes": 3.5 }));
        assert_eq!(of.as_deref(), Some("exp_1"));
        said(&mut all, &json!({ "event": "email_sent", "experiment_id": "exp_1" }));
        said(&mut all, &json!({ "event": "run_started", "experiment_id": "exp_1", "run_id": "r" }));
        let found: Vec<(&str, Kind, f64)> = all.all_of("exp_1").map(|(name, it)| (name, it.kind(), it.now())).collect();
        assert_eq!(
            found,
            [("email_sent", Kind::Counted, 41.0), ("minutes", Kind::Read, 3.5), ("run_started", Kind::Counted, 1.0)]
        );
    }

    #[test]
    fn what_comes_again_is_not_counted_again() {
        let mut all = AllSeries::default();
        let event = Metrics::read(r#"{"event":"reply","experiment_id":"e"}"#).unwrap();
        for seq in [1, 2, 2, 1, 3] {
            all.said(&event, Some(EntryId { ms: 1_000, seq }), now());
        }
        assert_eq!(all.of("e", "reply").unwrap().now().to_string(), "3");
    }

    #[test]
    fn a_time_that_cannot_be_is_when_it_was_said_and_a_number_that_is_none_is_left_out() {
        let mut all = AllSeries::default();
        for time in ["0001-01-01T00:00:00Z", "9999-01-01T00:00:00Z"] {
            said(&mut all, &json!({ "event": "reply", "experiment_id": "e", "timestamp": time }));
        }
        assert_eq!(all.of("e", "reply").unwrap().points().count(), 1, "both are of the minute in which they were said");
        said(&mut all, &json!({ "event": "odd", "experiment_id": "e", "count": 1e300, "value": -1e300 }));
        assert_eq!(all.of("e", "odd"), None);
        assert_eq!(all.forgotten(), 2);
        said(&mut all, &json!({ "event": "less", "experiment_id": "e", "count": -5 }));
        assert_eq!(all.of("e", "less").unwrap().now().to_string(), "0");
    }

    #[test]
    fn who_was_silent_longest_is_forgotten_and_counted() {
        let mut all = AllSeries::default();
        for at in 0..6_000 {
            said(&mut all, &json!({ "event": format!("e{}", at % 50), "experiment_id": format!("exp_{}", at / 50) }));
        }
        assert!(all.count <= MOST && all.found.len() <= 100, "{} of {}", all.count, all.found.len());
        assert!(all.of("exp_119", "e0").is_some() && all.of("exp_0", "e0").is_none());
        assert!(all.all_of("exp_119").count() == NAMES && all.forgotten() > 0);
    }
}
