//! `respond`: an answer to a chat message, of one or two sentences, from the state that it is given.
//!
//! Owns the watcher's second question. The numbers in an answer come from the state in the input, never from the model.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::Untrusted;

/// The task.
#[derive(Debug, Clone, Copy)]
pub struct Respond;

/// What an answer rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RespondInput {
    /// Who asked.
    pub username: Option<Untrusted>,
    /// What they wrote.
    pub content: Untrusted,
    /// How things stand.
    pub status: Status,
}

/// How things stand: counted, not guessed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Whether everything is held; none where nobody has said so yet.
    pub held: Option<bool>,
    /// Experiments that are not archived.
    pub experiments: u64,
    /// Of those, running now.
    pub running: u64,
    /// Approvals that wait for a person.
    pub waiting: u64,
    /// The latest runs, in a line each, newest first; at most three.
    pub recent_runs: Vec<String>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Reply {
    /// What to say.
    pub content: String,
}
