//! What a decision is made from: the notes and the state of experiments, tools and metrics, as they stood at one moment.
//!
//! Owns the shape and the digest. Must never contain a secret.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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
