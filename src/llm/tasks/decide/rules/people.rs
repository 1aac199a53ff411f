//! What the rules do about what people say: the order in which it is weighed.
//!
//! First what must not be done for anybody, then what is urgent, then what is asked for, and last what is proposed.

mod alarms;
mod control;
mod ideas;
mod meaning;
mod orders;
mod questions;
mod requests;
mod worklist;

pub(super) use orders::deceit;
use serde_json::Value;

use super::{Case, text};
use crate::contracts::Priority;
use crate::llm::tasks::decide::Decision;
use crate::llm::tasks::intents::{self, Intent, Reading, SURE};
use crate::llm::tasks::words::Words;

/// A chat message, read.
struct Said {
    /// As it was written.
    text: String,
    words: Words,
    /// What it reads like.
    reading: Reading<Intent>,
    /// Why the watcher handed it on.
    reason: Words,
}

/// What is less likely than this is not acted upon.
const LIKELY: f32 = 0.3;

/// What one kind of message leads to; none where it is not of that kind.
type Weigh = fn(&mut Case<'_>, &Said) -> Option<Decision>;

/// What comes before everything that a message may mean.
const MUST: &[Weigh] =
    &[orders::hostile, orders::secret, orders::harmful, requests::action_complete, control::approval];
/// What its words say, where it is not sure what it means; in this order. Each only where it can be read so: a word alone says nothing.
const WEIGHED: &[(Weigh, &[Intent])] = &[
    (alarms::alarm, &[Intent::Harm, Intent::Broken, Intent::End]),
    (control::end, &[Intent::End]),
    (control::pause, &[Intent::Pause, Intent::Resume]),
    (requests::debate, &[Intent::Debate]),
    (requests::help, &[Intent::Help]),
    (requests::learning, &[Intent::Learning, Intent::Opinion]),
    (
        worklist::worklist,
        &[Intent::Done, Intent::Unblocked, Intent::Order, Intent::Drop, Intent::Focus, Intent::Pause, Intent::End],
    ),
    (requests::tool, &[Intent::Tool]),
    (requests::kind_words, &[Intent::Thanks, Intent::Talk, Intent::Greeting, Intent::News]),
    (questions::question, &[Intent::Question, Intent::Status, Intent::Strategy, Intent::Remark]),
    (ideas::idea, &[Intent::Idea, Intent::Vague, Intent::Change]),
];
/// What reads less like something than this is not taken for it, whatever its words.
const READABLE: f32 = 0.08;

/// What is done about it.
pub(super) fn decide(case: &mut Case<'_>) -> Decision {
    let chat = case.input.message.get("original_message").and_then(Value::as_object);
    let content = chat.and_then(|chat| text(chat, "content")).unwrap_or_default().to_owned();
    let said = Said::new(content, Words::of(case.text("reason").unwrap_or_default()));
    if said.words.len() == 0 {
        return case.nothing("Nothing was said.");
    }
    let told = MUST.iter().find_map(|weigh| weigh(case, &said));
    // What one of the team hands in as an idea is one, however it reads.
    let is_handed_in = !case.is_external() && said.reason.has("command idea, idea_submit");
    let told = told.or_else(|| is_handed_in.then(|| ideas::proposed(case, &said)).flatten());
    let told = told.or_else(|| meaning::decide(case, &said, SURE));
    let told = told.or_else(|| {
        let readable = WEIGHED.iter().filter(|(_, intents)| said.reading.share_of(intents) >= READABLE);
        readable.into_iter().find_map(|(weigh, _)| weigh(case, &said))
    });
    if let Some(decision) = told.or_else(|| meaning::decide(case, &said, LIKELY)) {
        return decision;
    }
    case.because("It cannot be told what is wanted.");
    case.tell(
        "I am not sure what you would like the team to do. Is it an idea to test, a question, or something to change?",
        Priority::Low,
    )
}

impl Said {
    fn new(text: String, reason: Words) -> Self {
        let words = Words::of(&text);
        Self { reading: intents::read(&words, &text), words, reason, text }
    }

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
