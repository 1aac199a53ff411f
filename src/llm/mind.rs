//! The mind: asks a task's question down its chain of providers, until one answers.
//!
//! Owns the way from a question to an answer that can be acted on: prompt, providers in order, retries, one repair, the journal, what it
//! cost, and what viewers see of it. Must never act on the answer.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio_util::sync::CancellationToken;

use super::task::{Ruled, Task};
use crate::bus::SharedBus;
use crate::config::LlmConfig;
use crate::contracts::messages::Tokens;
use crate::contracts::{Clock, Ids, MessageId, ServiceName, TraceId, Trust};

/// Who asks, and because of what. The journal, the ledger and what viewers see hang on it.
#[derive(Debug, Clone)]
pub struct Asking {
    /// The service that asks.
    pub service: ServiceName,
    /// The message that is being handled; none for a verb.
    pub message: Option<MessageId>,
    /// Its chain.
    pub trace: Option<TraceId>,
    /// How far what is asked about can be trusted.
    pub trust: Trust,
    /// Cancelled when the service is asked to stop: the call ends, and is counted as an estimate.
    pub stop: CancellationToken,
}

/// An answer that can be acted on.
#[derive(Debug, Clone)]
pub struct Answered<O> {
    /// The answer.
    pub output: O,
    /// How it was come to: a model's reasoning as far as it shows it, or the reasons of the rules, a sentence a line.
    pub reasoning: String,
    /// Who answered: `rules`, `anthropic`, `gemini`, `openai`.
    pub provider: &'static str,
    /// Which model; `rules` for the rules.
    pub model: String,
    /// What the call used, all attempts together.
    pub tokens: Tokens,
    /// What it cost, in billionths of a dollar, all attempts together.
    pub nano_usd: u64,
    /// How long it took.
    pub took: Duration,
    /// Why those before it in the chain did not answer, a sentence each. Empty where the first one did.
    pub fell_back: Vec<String>,
    /// Whether it had to be repaired, or came from the rules because a model's answer could not be used: a person should look.
    pub flagged: bool,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum NoAnswer {
    /// The service is being stopped; ask again later.
    #[error("the call was cut off because the program stops")]
    Stopped,
    /// No provider of the chain answered in time.
    #[error("no answer after {0:?}")]
    TimedOut(Duration),
    /// The chain has no provider that could answer.
    #[error("no provider answered `{task}`: {}", why.join("; "))]
    NoProvider {
        /// The question.
        task: &'static str,
        /// What each said.
        why: Vec<String>,
    },
}

/// What a mind is made of.
#[derive(Clone)]
pub struct MindParts {
    /// Who is asked, in which order.
    pub config: LlmConfig,
    /// The folder whose `prompts/` override ours.
    pub context: PathBuf,
    /// Where answers are journalled and told; without one, for verbs and tests, they are neither.
    pub bus: Option<SharedBus>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<Ids>,
}

/// Asks questions. Cheap to clone: clones share breakers and connections. The default asks the rules only.
#[derive(Debug, Clone, Default)]
pub struct Mind {}

impl Mind {
    /// A mind that asks as the settings say.
    ///
    /// # Errors
    /// Where a prompt of the context folder cannot be used, or there can be no HTTP client.
    pub fn new(_parts: MindParts) -> color_eyre::Result<Self> {
        Ok(Self {})
    }

    /// Asks, and waits for an answer.
    ///
    /// # Errors
    /// Where nobody answers; with `rules` in the chain only because of [`NoAnswer::Stopped`] and [`NoAnswer::TimedOut`].
    #[expect(clippy::unused_async, reason = "providers that wait come next")]
    pub async fn ask<T: Task>(&self, asking: &Asking, input: &T::Input) -> Result<Answered<T::Output>, NoAnswer> {
        if asking.stop.is_cancelled() {
            return Err(NoAnswer::Stopped);
        }
        Ok(Answered::by_rules(T::rule(input)))
    }
}

impl<O> Answered<O> {
    /// What the rules answer.
    pub fn by_rules(ruled: Ruled<O>) -> Self {
        Self {
            output: ruled.output,
            reasoning: ruled.reasons.join("\n"),
            provider: "rules",
            model: "rules".to_owned(),
            tokens: Tokens::default(),
            nano_usd: 0,
            took: Duration::ZERO,
            fell_back: Vec::new(),
            flagged: false,
        }
    }
}
