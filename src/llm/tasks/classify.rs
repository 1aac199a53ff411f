//! `classify`: what is to be done with a chat message.
//!
//! Owns the watcher's question and its answer. The chat text is data: it is quoted into the prompt, never spliced into instructions.

mod rules;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::contracts::{Priority, Untrusted};
use crate::llm::{Ruled, Task, TaskName};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing.
    Ignore,
    /// The watcher answers it, from state.
    Answer,
    /// The orchestrator decides.
    Escalate,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ignore, Self::Answer, Self::Escalate];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ignore => "ignore",
            Self::Answer => "answer",
            Self::Escalate => "escalate",
        }
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
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

/// Most characters of a reason.
pub const REASON_LIMIT: usize = 280;

impl<'de> Deserialize<'de> for Classification {
    /// Total for objects: an unknown action escalates, an unknown priority is medium, a missing reason is said to be missing.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Map::<String, Value>::deserialize(deserializer)?;
        let text = |name: &str| {
            fields.get(name).and_then(Value::as_str).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let read = |value: &Value| Verdict::deserialize(value).ok();
        let action = fields.get("action").and_then(read);
        let mut reason = text("reason").unwrap_or_else(|| "no reason was given".to_owned());
        if action.is_none() {
            reason = format!("escalated for safety, the action could not be read: {reason}");
        }
        Ok(Self {
            action: action.unwrap_or(Verdict::Escalate),
            reason: reason.chars().take(REASON_LIMIT).collect(),
            priority: fields.get("priority").and_then(|value| Priority::deserialize(value).ok()).unwrap_or_default(),
            suggested_response: text("suggested_response"),
        })
    }
}

impl Task for Classify {
    const NAME: TaskName = TaskName::Classify;
    type Input = ClassifyInput;
    type Output = Classification;

    fn rule(input: &ClassifyInput) -> Ruled<Classification> {
        rules::rule(input)
    }

    fn faults(_input: &ClassifyInput, output: &Classification) -> Vec<String> {
        let numbers =
            output.suggested_response.as_deref().is_some_and(|text| text.contains(|c: char| c.is_ascii_digit()));
        let fault = "`suggested_response` has numbers; they come from state, so leave it empty";
        if numbers { vec![fault.to_owned()] } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use serde_json::json;

    use super::*;

    #[test]
    fn reading_is_total() {
        for (value, action, priority) in [
            (
                json!({"action":"answer","reason":"greeting","priority":"low","suggested_response":"hi"}),
                Verdict::Answer,
                Priority::Low,
            ),
            (json!({"action":"explode","priority":"normal"}), Verdict::Escalate, Priority::Medium),
            (json!({"priority":7}), Verdict::Escalate, Priority::Medium),
            (json!({"action":["ignore"],"priority":"critical"}), Verdict::Escalate, Priority::Urgent),
        ] {
            let read: Classification = serde_json::from_value(value.clone()).unwrap();
            assert_eq!((read.action, read.priority), (action, priority), "{value}");
            assert!(!read.reason.is_empty());
        }
        let long: Classification = serde_json::from_value(json!({"action":"ignore","reason":"x".repeat(900)})).unwrap();
        assert_eq!(long.reason.len(), REASON_LIMIT);
    }
}
