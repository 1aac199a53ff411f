//! A chain: everything that came of one message, and what belongs to it.
//!
//! Owns which messages are of a chain: those with its trace; those that one of them caused; and those about an approval or an
//! experiment that it brought up (a person's verdict, the numbers of a run, an alert), with what came of these. Reading the streams
//! and hearing what comes go through the same [`Chain::take`]. Must never hold more than [`MOST`] messages: what is beyond is counted.

#[cfg(test)]
pub(crate) mod tests;
pub mod tree;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use super::Row;
use crate::bus::{Entry, Key, State};
use crate::contracts::{ChannelName, MessageId, TraceId, keys};
use tree::Tree;

/// Messages of a chain that are kept.
pub const MOST: usize = 20_000;
/// Rounds of a decision on one message that are looked for.
const ROUNDS: u32 = 3;

/// Everything that came of one message, as far as it is known.
#[derive(Debug, Clone)]
pub struct Chain {
    trace: TraceId,
    rows: Vec<Arc<Row>>,
    known: HashMap<MessageId, usize>,
    /// The approvals and experiments that it brought up, and the message that each of them hangs on.
    subjects: BTreeMap<String, MessageId>,
    wanted: BTreeSet<Key>,
    documents: BTreeMap<Key, State>,
    /// What was not looked at, in words; harmless.
    cut: Option<String>,
    /// Whether the streams were read; until then it is what the room happened to keep.
    is_read: bool,
    beyond: usize,
    tree: OnceLock<Tree>,
}

/// What a body says of whom it is about.
#[derive(Debug, Default, serde::Deserialize)]
struct About {
    #[serde(default, rename = "approval_id")]
    approval: Option<String>,
    #[serde(default, rename = "experiment_id")]
    experiment: Option<String>,
    #[serde(default, rename = "run_id")]
    run: Option<String>,
}

impl About {
    fn of(row: &Row) -> Self {
        serde_json::from_str(&row.body).unwrap_or_default()
    }

    /// The approvals and experiments that a message is about.
    fn subjects(self, row: &Row) -> impl Iterator<Item = String> + use<> {
        let subject = row.envelope.as_ref().and_then(|envelope| envelope.subject.clone());
        let named = subject.filter(|subject| subject.starts_with("apr_") || subject.starts_with("exp"));
        [named, self.approval, self.experiment].into_iter().flatten().filter(|it| keys::check_id(it).is_ok())
    }
}

impl Chain {
    /// A chain of which nothing is known yet.
    pub fn of(trace: TraceId) -> Self {
        let mut chain = Self {
            trace,
            rows: Vec::new(),
            known: HashMap::new(),
            subjects: BTreeMap::new(),
            wanted: BTreeSet::new(),
            documents: BTreeMap::new(),
            cut: None,
            is_read: false,
            beyond: 0,
            tree: OnceLock::new(),
        };
        chain.want(Key::new(format!("budgets:trace:{trace}")));
        chain
    }

    /// Which.
    pub fn trace(&self) -> TraceId {
        self.trace
    }

    /// Its messages, in the order in which they were taken.
    pub fn rows(&self) -> &[Arc<Row>] {
        &self.rows
    }

    /// The documents that belong to it, as they stand.
    pub fn documents(&self) -> &BTreeMap<Key, State> {
        &self.documents
    }

    /// The documents that may belong to it.
    pub fn wanted(&self) -> &BTreeSet<Key> {
        &self.wanted
    }

    /// What was not looked at, in words; harmless.
    pub fn cut(&self) -> Option<&str> {
        self.cut.as_deref()
    }

    /// Whether the streams were read.
    pub fn is_read(&self) -> bool {
        self.is_read
    }

    /// How many messages were too many to be kept.
    pub fn beyond(&self) -> usize {
        self.beyond
    }

    /// The streams were read; what was not looked at, in words.
    pub fn read(&mut self, cut: Option<String>) {
        self.is_read = true;
        self.cut = cut;
        self.tree.take();
    }

    /// It as a tree; made when it is first asked for after a change.
    pub fn tree(&self) -> &Tree {
        self.tree.get_or_init(|| Tree::of(self))
    }

    fn want(&mut self, key: Key) {
        self.wanted.insert(key);
    }

    /// A document as it stands now; none where it is gone. One that does not belong to it is passed over.
    pub fn document(&mut self, key: &Key, state: Option<&State>) {
        if !self.wanted.contains(key) || self.documents.get(key) == state {
            return;
        }
        match state {
            Some(state) => self.documents.insert(key.clone(), state.clone()),
            None => self.documents.remove(key),
        };
        self.tree.take();
    }

    /// Takes a message in, if it belongs to the chain. True where that is news.
    pub fn take(&mut self, row: &Arc<Row>) -> bool {
        let Some(envelope) = &row.envelope else { return false };
        // Pieces of an answer are in its end; that a call began says nothing that its end does not.
        if matches!(envelope.kind.as_ref(), "llm_delta" | "llm_start" | "heartbeat")
            || self.known.contains_key(&envelope.id)
        {
            return false;
        }
        let is_own = envelope.trace == self.trace || envelope.cause.is_some_and(|it| self.known.contains_key(&it));
        if !is_own && !self.names(envelope.subject.as_deref().unwrap_or_default()) && !self.names(&row.body) {
            return false;
        }
        let about = About::of(row);
        let run = about.run.clone();
        let subjects: Vec<String> = about.subjects(row).collect();
        if !is_own && !subjects.iter().any(|it| self.subjects.contains_key(it)) {
            return false;
        }
        if self.rows.len() >= MOST {
            self.beyond += 1;
            self.tree.take();
            return false;
        }
        self.known.insert(envelope.id, self.rows.len());
        if is_own {
            // What is asked, or published, is what answers and numbers hang on.
            let is_anchor =
                matches!(envelope.kind.as_ref(), "approval_created" | "experiment_created" | "experiment_ready");
            for subject in subjects {
                if is_anchor || !self.subjects.contains_key(&subject) {
                    self.subjects.insert(subject, envelope.id);
                }
            }
        }
        self.want_documents(row, run);
        self.rows.push(Arc::clone(row));
        self.tree.take();
        true
    }

    /// The documents that a message may have: what was decided on it, and what it is about.
    fn want_documents(&mut self, row: &Row, run: Option<String>) {
        let Some(envelope) = &row.envelope else { return };
        if matches!(row.channel, ChannelName::ToOrchestrator | ChannelName::ExperimentResults) {
            let ids = [Some(envelope.id.to_string()), run.map(|run| format!("run_{run}"))];
            for id in ids.into_iter().flatten() {
                let rounds = (2..=ROUNDS).map(|round| format!("{id}.{round}"));
                for id in std::iter::once(id.clone()).chain(rounds) {
                    self.wanted.extend(keys::decision(&id).ok().map(Key::new));
                }
            }
        }
        for subject in self.subjects.keys() {
            let key = if subject.starts_with("apr_") { keys::approval(subject) } else { keys::experiment(subject) };
            self.wanted.extend(key.ok().map(Key::new));
        }
    }

    /// What a message hangs on that is only about something of the chain.
    fn anchor(&self, row: &Row) -> Option<(String, MessageId)> {
        let about = About::of(row).subjects(row);
        about.into_iter().find_map(|subject| self.subjects.get(&subject).map(|id| (subject.clone(), *id)))
    }

    /// Whether an entry may belong to the chain: a look that is cheap enough for every entry of a stream. Never wrong about one that
    /// does.
    pub fn may_want(&self, entry: &Entry) -> bool {
        if entry.e.is_empty() {
            // A bare body is the beginning of its own chain, if anything.
            return self.rows.is_empty() || self.names(&entry.b);
        }
        let (trace, cause) = (quick::<TraceId>(&entry.e, "\"trace\":\""), quick::<MessageId>(&entry.e, "\"cause\":\""));
        match trace {
            Some(trace) => {
                trace == self.trace
                    || cause.is_some_and(|it| self.known.contains_key(&it))
                    || self.names(&entry.e)
                    || self.names(&entry.b)
            }
            // Somebody else wrote it, in a way of theirs.
            None => true,
        }
    }

    fn names(&self, text: &str) -> bool {
        self.subjects.keys().any(|subject| text.contains(subject.as_str()))
    }
}

/// An id in an envelope as we write it, without reading all of it.
fn quick<T: FromStr>(envelope: &str, name: &str) -> Option<T> {
    let at = envelope.find(name)? + name.len();
    envelope.get(at..at + 36)?.parse().ok()
}
