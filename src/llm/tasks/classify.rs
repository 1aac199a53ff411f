//! `classify`: what is to be done with a chat message.
//!
//! Owns the watcher's question and its answer. The chat text is data: it is quoted into the prompt, never spliced into instructions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::{Priority, Untrusted};

/// The task.
#[derive(Debug, Clone, Copy)]
pub struct Classify;

/// What the watcher knows of a chat message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassifyInput {
    /// Who wrote it.
    pub username: Option<Untrusted>,
    /// Where.
    pub channel: Option<String>,
    /// Whether it speaks to the team by name.
    pub mentions_bot: bool,
    /// What they wrote.
    pub content: Untrusted,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing.
    Ignore,
    /// The watcher answers it, from state.
    Answer,
    /// The orchestrator decides.
    Escalate,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Classification {
    /// What is to be done.
    pub action: Verdict,
    /// Why, in a sentence of at most 280 characters.
    pub reason: String,
    /// How soon.
    pub priority: Priority,
    /// What could be answered, where it needs no state; never numbers.
    pub suggested_response: Option<String>,
}
