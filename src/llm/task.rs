//! Tasks: one question each, with the shape of its answer and a rule of thumb.
//!
//! Owns what a task is. Must never know a provider.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

macro_rules! tasks {
    ($( $(#[$doc:meta])* $name:ident = $text:literal ;)+) => {
        /// The questions that the system asks.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum TaskName { $( $(#[$doc])* $name, )+ }

        impl TaskName {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// As it is written in settings, prompts and costs.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$name => $text, )+ }
            }
        }
    };
}

tasks! {
    /// What is to be done with a chat message.
    Classify = "classify";
    /// What an answer to mail means.
    ClassifyReply = "classify_reply";
    /// An answer to a chat message.
    Respond = "respond";
    /// What the team does about a message.
    Decide = "decide";
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One question: what goes in, what comes out, and what a rule of thumb answers.
pub trait Task: Send + Sync + 'static {
    /// Its name: of its prompt (`assets/prompts/NAME.*`), its settings and its costs.
    const NAME: TaskName;

    /// What is asked about. It is what the prompt's template sees.
    type Input: Serialize + Send + Sync;

    /// The answer. Reading it is generous, its schema is what a model is held to.
    type Output: DeserializeOwned + Serialize + JsonSchema + Send;

    /// The answer without a model: deterministic, with reasons that a person can follow.
    fn rule(input: &Self::Input) -> Ruled<Self::Output>;

    /// What is wrong with an answer that its schema cannot say (an experiment that does not exist), each in words that a model
    /// can act on. Empty where nothing is.
    fn faults(input: &Self::Input, output: &Self::Output) -> Vec<String>;
}

/// What a rule of thumb answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Ruled<O> {
    /// The answer.
    pub output: O,
    /// Why, a sentence each, in the order in which they were weighed.
    pub reasons: Vec<String>,
}
