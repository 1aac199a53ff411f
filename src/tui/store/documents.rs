//! Documents by key, and what the screens read out of them.
//!
//! Must never fail on a document that somebody else wrote: what cannot be read is shown as it is, or not at all.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::approvals::{ApprovalState, Record};
use crate::bus::{Document, Key, State};
use crate::contracts::envelope::read_time;
use crate::contracts::keys;
use crate::contracts::lifecycle::ExperimentState;
use crate::contracts::untrusted::sanitize_line;

/// Documents of one prefix that are kept.
pub const MOST: usize = 2_000;
const WORDS_LIMIT: usize = 200;

/// State as it was last read.
#[derive(Debug, Default)]
pub struct Documents {
    found: BTreeMap<Key, State>,
    left_out: BTreeMap<String, usize>,
    needs: Vec<Need>,
}

/// Something that waits for a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Need {
    /// The approval.
    pub record: Record,
}

impl Need {
    /// Names the approval.
    pub fn id(&self) -> &str {
        &self.record.proposal.approval_id
    }
}

/// An alert that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Names it.
    pub id: String,
    /// How bad it is, in its own word; harmless.
    pub severity: String,
    /// What happened; harmless.
    pub message: String,
    /// `triggered` or `acknowledged`.
    pub state: String,
}

/// An experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    /// Names it.
    pub id: String,
    /// Where it stands; none where its document does not say.
    pub state: Option<ExperimentState>,
    /// What it is about, in a line; harmless.
    pub title: String,
}

impl Documents {
    /// A document as it stands now.
    pub(super) fn put(&mut self, key: Key, state: Option<State>) {
        let is_approval = key.as_str().starts_with("approvals:");
        match state {
            Some(state) => self.found.insert(key, state),
            None => self.found.remove(&key),
        };
        if is_approval {
            self.look_for_needs();
        }
    }

    /// All documents of a prefix.
    pub(super) fn replace(&mut self, prefix: &str, found: Vec<(Key, State)>, left_out: usize) {
        self.found.retain(|key, _| !key.as_str().starts_with(prefix));
        self.found.extend(found.into_iter().take(MOST));
        self.left_out.insert(prefix.to_owned(), left_out);
        if prefix == "approvals:" {
            self.look_for_needs();
        }
    }

    fn look_for_needs(&mut self) {
        let records = self.of("approvals:").filter_map(|(_, state)| Record::read(state.document()?));
        let mut needs: Vec<Need> =
            records.filter(|it| it.state == ApprovalState::Pending).map(|record| Need { record }).collect();
        let last = DateTime::<Utc>::MAX_UTC;
        needs.sort_by(|a, b| {
            let order = |need: &Need| (need.record.expires_at.unwrap_or(last), need.record.created_at);
            order(a).cmp(&order(b)).then_with(|| a.id().cmp(b.id()))
        });
        self.needs = needs;
    }

    /// What stands under this key.
    pub fn get(&self, key: &str) -> Option<&State> {
        self.found.get(&Key::new(key))
    }

    /// The document under this key.
    pub fn document(&self, key: &str) -> Option<&Document> {
        self.get(key)?.document()
    }

    /// All that stands under keys with this prefix, by key.
    pub fn of<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a Key, &'a State)> {
        self.found.range(Key::new(prefix)..).take_while(move |(key, _)| key.as_str().starts_with(prefix))
    }

    /// How many of a prefix were too many to be read.
    pub fn left_out(&self, prefix: &str) -> usize {
        self.left_out.get(prefix).copied().unwrap_or(0)
    }

    /// An approval, whatever became of it.
    pub fn approval(&self, id: &str) -> Option<Record> {
        Record::read(self.document(&format!("approvals:{id}"))?)
    }

    /// Whether documents of this key's kind are read, so that one that is not there does not exist.
    pub fn is_read(&self, key: &str) -> bool {
        self.left_out.iter().any(|(prefix, left_out)| key.starts_with(prefix.as_str()) && *left_out == 0)
            || self.get(key).is_some()
    }

    /// Nano-dollars that a chain has cost so far; none where that is not known.
    pub fn spent_by(&self, trace: &str) -> Option<u64> {
        self.document(&format!("budgets:trace:{trace}"))?.get("spent_nano")?.parse().ok()
    }

    /// The runs of an experiment that are under way; of all of them where none is named (`""`): experiment and run.
    pub fn runs<'a>(&'a self, experiment: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.of("experiment_runs:").filter_map(move |(key, state)| {
            let (of, run) = key.as_str().strip_prefix("experiment_runs:")?.split_once(':')?;
            let is_running = state.document()?.get("status") == Some("running");
            (is_running && (experiment.is_empty() || of == experiment)).then_some((of, run))
        })
    }

    /// What waits for a person, the oldest deadline first.
    pub fn needs(&self) -> &[Need] {
        &self.needs
    }

    /// Alerts that are not over: those that nobody has seen first.
    pub fn alerts(&self) -> Vec<Alert> {
        let alert = |(key, state): (&Key, &State)| {
            let document = state.document()?;
            let text = |field| document.get(field).map(|text| sanitize_line(text, WORDS_LIMIT));
            let state = text("state").unwrap_or_else(|| "triggered".to_owned());
            let id = key.as_str().strip_prefix("alerts:")?;
            (state != "resolved").then(|| Alert {
                id: id.to_owned(),
                severity: text("severity").unwrap_or_else(|| "info".to_owned()),
                message: text("message").unwrap_or_else(|| sanitize_line(id, WORDS_LIMIT)),
                state,
            })
        };
        let mut alerts: Vec<Alert> = self.of("alerts:").filter_map(alert).collect();
        let rank = |alert: &Alert| match alert.severity.as_str() {
            "critical" => 3,
            "high" => 2,
            "warning" | "medium" | "warn" => 1,
            _ => 0,
        };
        alerts.sort_by_key(|alert| (alert.state != "triggered", Reverse(rank(alert)), alert.id.clone()));
        alerts
    }

    /// All experiments: those that do something first.
    pub fn experiments(&self) -> Vec<Experiment> {
        let experiment = |(key, state): (&Key, &State)| {
            let id = key.as_str().strip_prefix("experiments:")?;
            let document = state.document()?;
            let told = ["hypothesis", "name", "title", "description"].into_iter().find_map(|field| document.get(field));
            Some(Experiment {
                id: id.to_owned(),
                state: ExperimentState::of(|field| document.get(field)),
                title: told.map(|text| sanitize_line(text, WORDS_LIMIT)).unwrap_or_default(),
            })
        };
        let mut all: Vec<Experiment> = self.of("experiments:").filter_map(experiment).collect();
        let rank = |state: Option<ExperimentState>| match state {
            Some(ExperimentState::Running) => 0,
            Some(ExperimentState::Measuring) => 1,
            Some(ExperimentState::Ready) => 2,
            Some(ExperimentState::Draft) => 3,
            Some(ExperimentState::Paused) => 4,
            Some(ExperimentState::Failed) => 5,
            None => 6,
            Some(ExperimentState::Completed) => 7,
            Some(ExperimentState::Archived) => 8,
        };
        all.sort_by_key(|it| (rank(it.state), it.id.clone()));
        all
    }

    /// Whether everything is on hold.
    pub fn is_held(&self) -> bool {
        matches!(self.get(keys::STATUS), Some(State::String(status)) if status == "paused")
    }

    /// Who holds everything, and why, in words; harmless.
    pub fn held_by(&self) -> Option<String> {
        let hold = self.document(keys::HOLD)?;
        let by = hold.get("by").map(|by| sanitize_line(by, 40))?;
        let reason = hold.get("reason").map(|reason| format!(": {}", sanitize_line(reason, 80))).unwrap_or_default();
        Some(format!("{by}{reason}"))
    }

    /// A note's text, raw; empty where there is none.
    pub fn note(&self, name: &str) -> &str {
        self.document(&format!("notes:{name}")).and_then(|note| note.get("text")).unwrap_or_default()
    }

    /// Nano-dollars spent on the day, and the limit that the operator set for days.
    pub fn spent_on(&self, now: DateTime<Utc>) -> (u64, Option<u64>) {
        let sums = format!("budgets:day:{}", now.date_naive());
        let spent = self.document(&sums).and_then(|sums| sums.get("spent_nano")?.parse().ok()).unwrap_or(0);
        let limit = self.document("budgets:day").and_then(|ordered| {
            let is_over = ordered.get("until_nano").and_then(read_time).is_some_and(|until| until <= now);
            ordered.get(if is_over { "former_nano" } else { "limit_nano" })?.parse().ok()
        });
        (spent, limit)
    }
}
