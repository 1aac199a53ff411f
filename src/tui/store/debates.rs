//! Debates of the round table: the topics that were handed in, and what came of them.
//!
//! Must never hold more of a transcript than a person reads.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};

use super::item::Row;
use crate::bus::EntryId;
use crate::contracts::messages::{RoundtableConcluded, RoundtableTopics, ToOrchestrator};
use crate::contracts::untrusted::{LINE_LIMIT, sanitize, sanitize_line};
use crate::contracts::{Body, ChannelName, TraceId};

/// Debates that are remembered.
const MOST: usize = 100;
/// Bytes of a transcript that are kept: its end, where the conclusion is.
const TRANSCRIPT: usize = 64 * 1024;
const NAME_LIMIT: usize = 80;
const WORDS_LIMIT: usize = 2_000;

/// A debate. Its texts are harmless.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Debate {
    /// Names it.
    pub id: String,
    /// The question.
    pub prompt: String,
    /// What is known about it.
    pub context: String,
    /// What was learned until then.
    pub learnings: Vec<String>,
    /// Who handed it in.
    pub by: String,
    /// When.
    pub at: Option<DateTime<Utc>>,
    /// The chain.
    pub trace: Option<TraceId>,
    /// What came of it; none while it waits or goes on.
    pub end: Option<Conclusion>,
    /// The newest message on it.
    pub entry: Option<(ChannelName, EntryId)>,
}

/// What came of a debate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conclusion {
    /// When.
    pub at: Option<DateTime<Utc>>,
    /// Tasks, each with its owner.
    pub tasks: Vec<String>,
    /// What was said.
    pub transcript: String,
    /// How many rounds it took.
    pub rounds: Option<u64>,
    /// Why it came to nothing.
    pub error: Option<String>,
}

/// The debates.
#[derive(Debug, Clone, Default)]
pub struct Debates {
    debates: VecDeque<Debate>,
}

impl Debates {
    /// Takes in a topic, or a conclusion.
    pub(super) fn apply(&mut self, row: &Row) {
        let trace = row.envelope.as_ref().map(|envelope| envelope.trace);
        match row.channel {
            ChannelName::Roundtable => {
                let Ok(RoundtableTopics::Topic(topic)) = RoundtableTopics::read(&row.body) else { return };
                let id = topic.topic_id.as_deref().map_or_else(|| place(row), name);
                let debate = Debate {
                    id,
                    prompt: words(&topic.prompt),
                    context: topic.context.as_deref().map(words).unwrap_or_default(),
                    learnings: topic.learnings.iter().take(50).map(|text| words(text)).collect(),
                    by: row.source(),
                    at: row.at(),
                    trace,
                    end: None,
                    entry: row.entry.map(|entry| (row.channel, entry)),
                };
                self.push(debate);
            }
            ChannelName::ToOrchestrator if row.kind() == "roundtable_concluded" => {
                if let Ok(ToOrchestrator::RoundtableConcluded(concluded)) = ToOrchestrator::read(&row.body) {
                    self.end(&concluded, row, trace);
                }
            }
            _ => {}
        }
    }

    fn push(&mut self, debate: Debate) {
        if self.debates.len() >= MOST {
            self.debates.pop_front();
        }
        self.debates.push_back(debate);
    }

    fn end(&mut self, concluded: &RoundtableConcluded, row: &Row, trace: Option<TraceId>) {
        let id = concluded.topic_id.as_deref().map(name);
        let prompt = concluded.prompt.as_deref().map(words);
        let found = self.debates.iter().rposition(|it| match (&id, &prompt) {
            (Some(id), _) if it.id == *id => true,
            (None, Some(prompt)) if it.prompt == *prompt => true,
            _ => it.end.is_none() && it.trace.is_some() && it.trace == trace,
        });
        let at = found.unwrap_or_else(|| {
            // The topic was said before what is kept here.
            let id = id.unwrap_or_else(|| place(row));
            self.push(Debate { id, prompt: prompt.unwrap_or_default(), trace, ..Debate::default() });
            self.debates.len() - 1
        });
        let debate = &mut self.debates[at];
        debate.end = Some(Conclusion {
            at: row.at(),
            tasks: concluded.summary.iter().take(50).map(|task| words(task)).collect(),
            transcript: concluded.transcript.as_deref().map(newest).unwrap_or_default(),
            rounds: concluded.rounds,
            error: concluded.error.as_deref().map(words),
        });
        if let Some(entry) = row.entry {
            debate.entry = Some((row.channel, entry));
        }
    }

    /// The debates, the newest first.
    pub fn all(&self) -> impl Iterator<Item = &Debate> {
        self.debates.iter().rev()
    }
}

/// Names what has no name of its own.
fn place(row: &Row) -> String {
    row.entry.map_or_else(|| "-".to_owned(), |entry| entry.to_string())
}

fn name(text: &str) -> String {
    sanitize_line(text, NAME_LIMIT)
}

fn words(text: &str) -> String {
    sanitize_line(text, WORDS_LIMIT)
}

/// The end of a transcript.
fn newest(text: &str) -> String {
    let clean = sanitize(text, LINE_LIMIT);
    let from = clean.ceil_char_boundary(clean.len().saturating_sub(TRANSCRIPT));
    if from == 0 { clean } else { format!("…{}", &clean[from..]) }
}
