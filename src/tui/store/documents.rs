//! Documents by key, and what the screens read out of them.
//!
//! Must never fail on a document that somebody else wrote: what cannot be read is shown as it is, or not at all.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::approvals::{ApprovalState, Record};
use crate::bus::{Document, Key, State};
use crate::contracts::envelope::read_time;
use crate::contracts::keys;
use crate::contracts::messages::Intent;
use crate::contracts::untrusted::sanitize_line;

/// Documents of one prefix that are kept.
pub const MOST: usize = 2_000;

/// State as it was last read.
#[derive(Debug, Clone, Default)]
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

    /// The experiment that it is about; raw. None where it is about none, or about several.
    pub fn experiment(&self) -> Option<&str> {
        let proposal = &self.record.proposal;
        let named = proposal.details.get("experiment_id").and_then(serde_json::Value::as_str);
        named.or_else(|| {
            let steps = proposal.intents.iter().filter_map(|intent| match intent {
                Intent::Step { experiment_id, .. } => Some(experiment_id.as_str()),
                Intent::Set { key, .. } => key.strip_prefix("experiments:"),
                _ => None,
            });
            let steps: BTreeSet<&str> = steps.collect();
            if steps.len() == 1 { steps.first().copied() } else { None }
        })
    }
}

impl Documents {
    /// A document as it stands now. Returns what changed.
    pub(super) fn put(&mut self, key: Key, state: Option<State>) -> Vec<Key> {
        let is_approval = key.as_str().starts_with("approvals:");
        match state {
            Some(state) => self.found.insert(key.clone(), state),
            None => self.found.remove(&key),
        };
        if is_approval {
            self.look_for_needs();
        }
        vec![key]
    }

    /// All documents of a prefix. Returns what changed.
    pub(super) fn replace(&mut self, prefix: &str, found: Vec<(Key, State)>, left_out: usize) -> Vec<Key> {
        let keys: Vec<Key> = self.of(prefix).map(|(key, _)| key.clone()).collect();
        let mut before: BTreeMap<Key, State> =
            keys.into_iter().filter_map(|key| self.found.remove_entry(&key)).collect();
        let mut changed = Vec::new();
        for (key, state) in found.into_iter().take(MOST) {
            if before.remove(&key).as_ref() != Some(&state) {
                changed.push(key.clone());
            }
            self.found.insert(key, state);
        }
        changed.extend(before.into_keys());
        self.left_out.insert(prefix.to_owned(), left_out);
        if prefix == "approvals:" && !changed.is_empty() {
            self.look_for_needs();
        }
        changed
    }

    /// Whether any prefix was read.
    pub(super) fn is_read(&self) -> bool {
        !self.left_out.is_empty()
    }

    /// So many of a prefix are not kept.
    pub(super) fn leave_out(&mut self, prefix: String, count: usize) {
        self.left_out.insert(prefix, count);
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
    pub fn knows(&self, key: &str) -> bool {
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
