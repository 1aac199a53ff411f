//! Alerts: what was said on `fullsend:alerts`, what their documents say, and what was measured when a metric crossed its line.
//!
//! A document and what was said are one alert; the later of both says how it stands. Must never show one as over that was triggered
//! again.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::documents::Documents;
use crate::bus::{Document, Key};
use crate::contracts::envelope::read_time;
use crate::contracts::messages::{self, AlertTriggered, Direction, MetricAlert};
use crate::contracts::untrusted::sanitize_line;

/// Alerts that are kept of those that were only said, and measurements.
const MOST: usize = 1_000;
const WORDS_LIMIT: usize = 400;
const NAME_LIMIT: usize = 120;
const PREFIX: &str = "alerts:";

/// How an alert stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Nobody has seen it.
    #[default]
    Triggered,
    /// Somebody has seen it.
    Acknowledged,
    /// It is over.
    Resolved,
}

impl Standing {
    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Triggered => "triggered",
            Self::Acknowledged => "seen",
            Self::Resolved => "over",
        }
    }
}

/// An alert. Its texts are harmless, but for [`Alert::id`] and [`Alert::experiment`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Alert {
    /// Names it. Raw.
    pub id: String,
    /// How it stands.
    pub standing: Standing,
    /// How bad it is, in its own word.
    pub severity: String,
    /// What happened.
    pub message: String,
    /// The experiment that it is about. Raw.
    pub experiment: Option<String>,
    /// The criterion that was crossed.
    pub criterion: Option<String>,
    /// The metric that crossed it.
    pub metric: Option<String>,
    /// Its value.
    pub value: Option<f64>,
    /// The line.
    pub threshold: Option<f64>,
    /// Whether it is good news or bad.
    pub direction: Option<Direction>,
    /// How many observations the value rests on.
    pub sample: Option<u64>,
    /// How sure it is, from 0 to 1.
    pub confidence: Option<f64>,
    /// What to do about it.
    pub advice: Option<String>,
    /// Since when.
    pub since: Option<DateTime<Utc>>,
    /// Who saw it.
    pub seen_by: Option<String>,
    /// It stays quiet until then.
    pub quiet_until: Option<DateTime<Utc>>,
    /// Who or what ended it, how.
    pub ended: Option<String>,
    /// When it last changed.
    pub changed: Option<DateTime<Utc>>,
}

impl Alert {
    /// How bad it is, for sorting: critical 3, high 2, warning 1.
    pub fn rank(&self) -> u8 {
        match self.severity.as_str() {
            "critical" => 3,
            "high" => 2,
            "warning" | "medium" | "warn" => 1,
            _ => 0,
        }
    }

    /// Whether it is not over.
    pub fn is_open(&self) -> bool {
        self.standing != Standing::Resolved
    }

    fn triggered(&mut self, said: AlertTriggered, at: DateTime<Utc>) {
        let clean = |text: String| sanitize_line(&text, WORDS_LIMIT);
        *self = Self {
            severity: format!("{:?}", said.severity).to_lowercase(),
            message: clean(said.message),
            experiment: said.experiment_id,
            criterion: said.criterion.map(clean),
            metric: said.metric.map(clean),
            value: said.value,
            threshold: said.threshold,
            advice: said.fix.map(clean),
            // What is said again while it lasts is the same.
            since: self.since.filter(|_| self.is_open()).or(Some(at)),
            changed: Some(at),
            id: std::mem::take(&mut self.id),
            ..Self::default()
        };
    }

    /// What the document says besides; how it stands, where that is the later word.
    fn with(mut self, document: &Document) -> Self {
        let text = |field: &str| document.get(field).map(|text| sanitize_line(text, WORDS_LIMIT));
        let number = |field: &str| document.get(field)?.parse().ok().filter(|number: &f64| number.is_finite());
        let time = |field: &str| document.get(field).and_then(read_time);
        let fill = |into: &mut Option<String>, field: &str| *into = text(field).or(into.take());
        if let Some(severity) = text("severity") {
            self.severity = severity;
        }
        if let Some(message) = text("message") {
            self.message = message;
        }
        self.experiment = document.get("experiment_id").map(str::to_owned).or(self.experiment);
        fill(&mut self.criterion, "criterion");
        fill(&mut self.metric, "metric");
        fill(&mut self.advice, "fix");
        fill(&mut self.advice, "recommendation");
        self.value = number("value").or(self.value);
        self.threshold = number("threshold").or(self.threshold);
        self.confidence = number("confidence").or(self.confidence);
        self.sample = document.get("sample_size").and_then(|it| it.parse().ok()).or(self.sample);
        self.direction = match document.get("direction") {
            Some("success") => Some(Direction::Success),
            Some("failure") => Some(Direction::Failure),
            _ => self.direction,
        };
        let changed = ["resolved_at", "acknowledged_at", "triggered_at"].into_iter().filter_map(time).max();
        if changed.is_none() || changed >= self.changed {
            self.standing = match document.get("state") {
                Some("resolved" | "ok") => Standing::Resolved,
                Some("acknowledged") => Standing::Acknowledged,
                _ => Standing::Triggered,
            };
            self.since = time("triggered_at").or(time("since")).or(self.since);
            self.changed = changed.or(self.changed);
            self.seen_by = text("acknowledged_by").or(self.seen_by);
            self.quiet_until = time("quiet_until").or(self.quiet_until);
            let by = text("resolved_by").map(|by| format!("by {by}"));
            let ended = [by, text("resolution")].into_iter().flatten().collect::<Vec<_>>().join(": ");
            self.ended = Some(ended).filter(|text| !text.is_empty()).or(self.ended);
        }
        self
    }
}

/// All alerts.
#[derive(Debug, Clone, Default)]
pub struct Alerts {
    said: BTreeMap<String, Alert>,
    measured: BTreeMap<(String, String), MetricAlert>,
    all: Vec<Alert>,
    is_stale: bool,
    forgotten: u64,
}

impl Alerts {
    /// Takes in what was said of an alert.
    pub(super) fn said(&mut self, said: messages::Alerts, at: DateTime<Utc>) {
        self.is_stale = true;
        match said {
            messages::Alerts::Triggered(said) => {
                let id = said.alert_id.clone();
                self.make_room(&id);
                let alert = self.said.entry(id.clone()).or_default();
                alert.id = id;
                alert.triggered(said, at);
            }
            messages::Alerts::Acknowledged(said) => {
                if let Some(alert) = self.said.get_mut(&said.alert_id).filter(|alert| alert.is_open()) {
                    alert.standing = Standing::Acknowledged;
                    alert.seen_by = Some(sanitize_line(&said.by, NAME_LIMIT));
                    alert.quiet_until = said.until;
                    alert.changed = Some(at);
                }
            }
            messages::Alerts::Resolved(said) => {
                if let Some(alert) = self.said.get_mut(&said.alert_id) {
                    let reason = said.reason.map(|why| format!(": {}", sanitize_line(&why, WORDS_LIMIT)));
                    let by = sanitize_line(&said.by, NAME_LIMIT);
                    alert.standing = Standing::Resolved;
                    alert.ended = Some(format!("by {by}{}", reason.unwrap_or_default()));
                    alert.changed = Some(at);
                }
            }
        }
    }

    /// Takes in how sure it was when a metric crossed its line.
    pub(super) fn measured(&mut self, said: MetricAlert) {
        let name = said.metric.clone().or_else(|| said.criterion.clone()).unwrap_or_default();
        if self.measured.len() < MOST || self.measured.contains_key(&(said.experiment_id.clone(), name.clone())) {
            self.measured.insert((said.experiment_id.clone(), name), said);
            self.is_stale = true;
        } else {
            self.forgotten += 1;
        }
    }

    fn make_room(&mut self, id: &str) {
        if self.said.len() >= MOST && !self.said.contains_key(id) {
            let oldest = self.said.values().min_by_key(|it| (it.is_open(), it.changed)).map(|it| it.id.clone());
            if let Some(oldest) = oldest {
                self.said.remove(&oldest);
                self.forgotten += 1;
            }
        }
    }

    pub(super) fn look(&mut self, documents: &Documents, changed: &[Key]) {
        if changed.iter().any(|key| key.as_str().starts_with(PREFIX)) {
            self.is_stale = true;
            self.tick(documents);
        }
    }

    /// Puts together what was said and what is written, where either has changed.
    pub(super) fn tick(&mut self, documents: &Documents) {
        if !std::mem::take(&mut self.is_stale) {
            return;
        }
        let mut all: BTreeMap<&str, Alert> = self.said.iter().map(|(id, it)| (id.as_str(), it.clone())).collect();
        for (key, state) in documents.of(PREFIX) {
            if let (Some(id), Some(document)) = (key.as_str().strip_prefix(PREFIX), state.document()) {
                let before = all.remove(id).unwrap_or_else(|| Alert {
                    id: id.to_owned(),
                    severity: "info".to_owned(),
                    message: sanitize_line(id, WORDS_LIMIT),
                    ..Alert::default()
                });
                all.insert(id, before.with(document));
            }
        }
        let mut all: Vec<Alert> = all.into_values().map(|alert| self.sure(alert)).collect();
        all.sort_by_cached_key(|it| {
            let worst = if it.is_open() { it.rank() } else { 0 };
            (it.standing, Reverse(worst), Reverse(it.changed), it.id.clone())
        });
        self.all = all;
    }

    /// The alert with how sure it is, where that was said to the orchestrator only.
    fn sure(&self, mut alert: Alert) -> Alert {
        let name = alert.metric.as_ref().or(alert.criterion.as_ref());
        let key = alert.experiment.clone().zip(name.cloned());
        if let Some(said) = key.and_then(|key| self.measured.get(&key)) {
            alert.sample = alert.sample.or(said.sample_size);
            alert.confidence = alert.confidence.or(said.confidence);
            alert.direction = alert.direction.or(said.direction);
            alert.value = alert.value.or(said.value);
            alert.threshold = alert.threshold.or(said.threshold);
            let advice = said.recommendation.as_deref().map(|text| sanitize_line(text, WORDS_LIMIT));
            alert.advice = alert.advice.or(advice);
        }
        alert
    }

    /// All of them: those that nobody has seen first, the worst first; then those that are over.
    pub fn all(&self) -> &[Alert] {
        &self.all
    }

    /// Those that are not over.
    pub fn open(&self) -> &[Alert] {
        let end = self.all.partition_point(Alert::is_open);
        self.all.get(..end).unwrap_or_default()
    }

    /// How many of them nobody has seen.
    pub fn unseen(&self) -> usize {
        self.all.partition_point(|alert| alert.standing == Standing::Triggered)
    }

    /// The worst that is open about an experiment.
    pub fn of(&self, experiment: &str) -> Option<&Alert> {
        self.open().iter().filter(|it| it.experiment.as_deref() == Some(experiment)).max_by_key(|it| it.rank())
    }

    /// What was measured of an experiment when a metric crossed its line.
    pub fn measure(&self, experiment: &str, metric: &str) -> Option<&MetricAlert> {
        self.measured.get(&(experiment.to_owned(), metric.to_owned()))
    }
}
