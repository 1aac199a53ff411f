//! What a decision is made from: the notes and the state of experiments, tools and metrics, as they stood at one moment.
//!
//! Owns the shape and the digest. Must never contain a secret.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What the team knows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TeamContext {
    /// What is being sold.
    pub product: NoteBrief,
    /// What is done now, next, later.
    pub worklist: NoteBrief,
    /// What was learned.
    pub learnings: NoteBrief,
    /// Experiments that are not archived, newest first.
    pub experiments: Vec<ExperimentBrief>,
    /// Ids of archived experiments, so that an old name is known as such.
    pub archived: Vec<String>,
    /// Names of the tools that can be used.
    pub tools: Vec<String>,
    /// What experiments taught in passing, newest first.
    pub tactical: Vec<String>,
    /// The latest runs, in a line each, newest first.
    pub recent_runs: Vec<String>,
    /// Whether everything is held.
    pub held: bool,
    /// What is missing, or could not be read, in a sentence each. For people; no model sees it.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

impl TeamContext {
    /// What it was made from, in a line: the versions of the notes, and a digest of all the rest. The same context has the same line.
    pub fn digest(&self) -> String {
        let mut rest = Sha256::new();
        let mut part = |text: &str| {
            rest.update(text.len().to_le_bytes());
            rest.update(text);
        };
        for experiment in &self.experiments {
            part(&experiment.id);
            part(&experiment.version.to_string());
            part(&experiment.state);
            for (name, value) in &experiment.metrics {
                part(name);
                part(&value.to_bits().to_string());
            }
        }
        for list in [&self.archived, &self.tools, &self.tactical, &self.recent_runs] {
            part(&list.len().to_string());
            for text in list {
                part(text);
            }
        }
        part(if self.held { "held" } else { "" });
        let mut line = String::new();
        for (name, note) in [("product", &self.product), ("worklist", &self.worklist), ("learnings", &self.learnings)] {
            let _ = write!(line, "{name}:{} ", note.version);
        }
        line.push_str("state:");
        rest.finalize().iter().take(6).for_each(|byte| {
            let _ = write!(line, "{byte:02x}");
        });
        line
    }
}

/// A note as a decision sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NoteBrief {
    /// Its text.
    pub text: String,
    /// Its version; 0 where there is none.
    pub version: u64,
}

/// An experiment as a decision sees it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExperimentBrief {
    /// Its id.
    pub id: String,
    /// Where it stands, as its document says.
    pub state: String,
    /// What it tests.
    pub hypothesis: String,
    /// The tool that it uses.
    pub tool: Option<String>,
    /// Its latest numbers.
    pub metrics: BTreeMap<String, f64>,
    /// The document's version.
    pub version: u64,
}
