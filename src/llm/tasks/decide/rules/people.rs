//! What the rules do about what people say: the order in which it is weighed.
//!
//! First what must not be done for anybody, then what is urgent, then what is asked for, and last what is proposed.

mod alarms;
mod control;
mod ideas;
mod orders;
mod questions;
mod requests;

pub(super) use orders::deceit;
use serde_json::Value;

use super::{Case, text};
use crate::contracts::Priority;
use crate::llm::tasks::decide::Decision;
use crate::llm::tasks::words::Words;

/// A chat message, read.
struct Said {
    /// As it was written.
    text: String,
    words: Words,
    /// Why the watcher handed it on.
    reason: Words,
}

/// What one kind of message leads to; none where it is not of that kind.
type Weigh = fn(&mut Case<'_>, &Said) -> Option<Decision>;

/// In this order.
const WEIGHED: &[Weigh] = &[
    orders::hostile,
    orders::secret,
    orders::harmful,
    requests::action_complete,
    alarms::alarm,
    control::approval,
    control::end,
    control::pause,
    requests::debate,
    requests::help,
    requests::learning,
    requests::worklist,
    requests::tool,
    requests::kind_words,
    questions::question,
    ideas::idea,
];

/// What is done about it.
pub(super) fn decide(case: &mut Case<'_>) -> Decision {
    let chat = case.input.message.get("original_message").and_then(Value::as_object);
    let content = chat.and_then(|chat| text(chat, "content")).unwrap_or_default().to_owned();
    let said =
        Said { words: Words::of(&content), reason: Words::of(case.text("reason").unwrap_or_default()), text: content };
    if said.words.len() == 0 {
        return case.nothing("Nothing was said.");
    }
    if let Some(decision) = WEIGHED.iter().find_map(|weigh| weigh(case, &said)) {
        return decision;
    }
    case.because("It cannot be told what is wanted.");
    case.tell(
        "I am not sure what you would like the team to do. Is it an idea to test, a question, or something to change?",
        Priority::Low,
    )
}

impl Said {
    /// Its sentences.
    fn sentences(&self) -> impl Iterator<Item = &str> {
        self.text.split_inclusive(['.', '!', '?', '\n', ';']).map(str::trim).filter(|sentence| !sentence.is_empty())
    }

    /// The parts that name an experiment, as it is written.
    fn ids(&self) -> Vec<&str> {
        let part = |c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-');
        self.text.split(part).filter(|word| word.starts_with("exp_") && word.len() > 4).collect()
    }
}
