//! `classify_reply`: what an answer to mail means.
//!
//! Owns the executor's question about what people write back. Their text is data: it is quoted into the prompt, never spliced into
//! instructions. Must never take a wish to be left alone for anything else: in doubt it is one.

mod clauses;
mod rules;
#[cfg(test)]
mod tests;
mod wishes;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::contracts::Untrusted;
use crate::llm::{Ruled, Task, TaskName};

/// The task.
#[derive(Debug, Clone, Copy)]
pub struct ClassifyReply;

/// An answer to mail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplyInput {
    /// Its subject.
    pub subject: Option<Untrusted>,
    /// What the person wrote, without what is quoted.
    pub text: Untrusted,
}

/// What it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplyKind {
    /// They want to go on.
    Positive,
    /// They do not want it.
    Negative,
    /// They ask something, and say neither yes nor no.
    Question,
    /// They want no more mail.
    Unsubscribe,
    /// A machine says that they are away, or that something came.
    OutOfOffice,
    /// A machine says that it was not delivered.
    Bounce,
    /// Anything else.
    Other,
}

impl ReplyKind {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Positive => "positive",
            Self::Negative => "negative",
            Self::Question => "question",
            Self::Unsubscribe => "unsubscribe",
            Self::OutOfOffice => "out_of_office",
            Self::Bounce => "bounce",
            Self::Other => "other",
        }
    }

    /// The business event that is counted besides the reply itself; none where there is none.
    pub const fn event(self) -> Option<&'static str> {
        match self {
            Self::Positive => Some("positive_reply"),
            Self::Negative => Some("negative_reply"),
            Self::Unsubscribe => Some("unsubscribe"),
            Self::Bounce => Some("email_bounced"),
            Self::Question | Self::OutOfOffice | Self::Other => None,
        }
    }

    /// Whether a person wrote it: what machines write counts as no reply.
    pub const fn is_persons(self) -> bool {
        !matches!(self, Self::OutOfOffice | Self::Bounce)
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ReplyClass {
    /// What it is.
    pub kind: ReplyKind,
    /// Why, in a sentence of at most 200 characters.
    pub reason: String,
}

/// Most characters of a reason.
pub const REASON_LIMIT: usize = 200;

impl<'de> Deserialize<'de> for ReplyClass {
    /// Total for objects: an unknown kind is `other`, a missing reason is said to be missing.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Map::<String, Value>::deserialize(deserializer)?;
        let kind = fields.get("kind").and_then(|kind| ReplyKind::deserialize(kind).ok());
        let reason = fields.get("reason").and_then(Value::as_str).map(str::trim).filter(|reason| !reason.is_empty());
        Ok(Self {
            kind: kind.unwrap_or(ReplyKind::Other),
            reason: reason.unwrap_or("no reason was given").chars().take(REASON_LIMIT).collect(),
        })
    }
}

impl Task for ClassifyReply {
    const NAME: TaskName = TaskName::ClassifyReply;
    type Input = ReplyInput;
    type Output = ReplyClass;

    fn rule(input: &ReplyInput) -> Ruled<ReplyClass> {
        rules::rule(input)
    }

    fn faults(input: &ReplyInput, output: &ReplyClass) -> Vec<String> {
        // A wish that the rules see plainly is heeded whatever a model makes of it.
        let missed = output.kind != ReplyKind::Unsubscribe && wishes::wants_out(input);
        let fault = "they say that they want no more mail, so `kind` is `unsubscribe`";
        if missed { vec![fault.to_owned()] } else { Vec::new() }
    }
}
