//! Decisions of the orchestrator, read from their documents.
//!
//! Each is read again only when its document changes. Must never hide one: what cannot be read is counted.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::documents::Documents;
use crate::bus::Key;
use crate::services::orchestrator::record::Record;

const PREFIX: &str = "decisions:";

/// All decisions that are kept.
#[derive(Debug, Clone, Default)]
pub struct Decisions {
    all: BTreeMap<String, Record>,
    /// Names, the newest decision first.
    order: Vec<String>,
    unread: BTreeSet<String>,
    /// What the decisions about each experiment cost.
    spent: BTreeMap<String, u64>,
}

impl Decisions {
    pub(super) fn look(&mut self, documents: &Documents, changed: &[Key]) {
        let mut is_changed = false;
        for id in changed.iter().filter_map(|key| key.as_str().strip_prefix(PREFIX)) {
            is_changed = true;
            self.all.remove(id);
            self.unread.remove(id);
            let Some(state) = documents.get(&format!("{PREFIX}{id}")) else { continue };
            match state.document().and_then(|document| Record::read(id, document)) {
                Some(record) => drop(self.all.insert(id.to_owned(), record)),
                None => drop(self.unread.insert(id.to_owned())),
            }
        }
        if is_changed {
            let mut order: Vec<_> = self.all.values().map(|record| (Reverse(record.at), record.id.clone())).collect();
            order.sort_unstable();
            self.order = order.into_iter().map(|(_, id)| id).collect();
            self.spent.clear();
            for record in self.all.values() {
                if let Some(experiment) = &record.experiment_id {
                    let spent = self.spent.entry(experiment.clone()).or_default();
                    *spent = spent.saturating_add(record.nano_usd);
                }
            }
        }
    }

    /// All of them, the newest first.
    pub fn all(&self) -> impl Iterator<Item = &Record> {
        self.order.iter().filter_map(|id| self.all.get(id))
    }

    /// One of them.
    pub fn get(&self, id: &str) -> Option<&Record> {
        self.all.get(id)
    }

    /// Documents that are no decision as this version writes them.
    pub fn unread(&self) -> impl Iterator<Item = &str> {
        self.unread.iter().map(String::as_str)
    }

    /// What the decisions about an experiment cost, in billionths of a dollar; none where there are none.
    pub fn spent_on(&self, experiment: &str) -> Option<u64> {
        self.spent.get(experiment).copied()
    }
}
