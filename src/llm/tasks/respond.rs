//! `respond`: an answer to a chat message, of one or two sentences, from the state that it is given.
//!
//! Owns the watcher's second question. The numbers in an answer come from the state in the input, never from the model.

pub(super) mod rules;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::words::Words;
use crate::contracts::Untrusted;
use crate::llm::{Ruled, Task, TaskName};

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

/// Most characters of a reply.
pub const REPLY_LIMIT: usize = 600;

impl Respond {
    /// Whether it asks how things stand: then the answer comes from state, and no model is asked.
    pub fn asks_for_status(content: &Untrusted) -> bool {
        rules::is_status_question(&Words::of(content.raw()), content.raw())
    }

    /// How things stand, in one or two sentences.
    pub fn status_in_words(status: &Status) -> String {
        rules::status_in_words(status)
    }
}

impl Task for Respond {
    const NAME: TaskName = TaskName::Respond;
    type Input = RespondInput;
    type Output = Reply;

    fn rule(input: &RespondInput) -> Ruled<Reply> {
        rules::rule(input)
    }

    fn faults(input: &RespondInput, output: &Reply) -> Vec<String> {
        let mut faults = Vec::new();
        if output.content.trim().is_empty() {
            faults.push("`content` is empty".to_owned());
        }
        if output.content.chars().count() > REPLY_LIMIT {
            faults.push(format!("`content` is too long; at most {REPLY_LIMIT} characters"));
        }
        let known = serde_json::to_string(&input.status).unwrap_or_default();
        let known: Vec<&str> = known.split(|c: char| !c.is_ascii_digit()).collect();
        let digits = output.content.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty());
        faults.extend(
            digits
                .filter(|digits| !known.contains(digits))
                .map(|digits| format!("{digits} is not in the status; a reply has no numbers but those")),
        );
        faults
    }
}
