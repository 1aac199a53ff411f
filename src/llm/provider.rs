//! The port: somebody who answers one request, and what can go wrong.
//!
//! Owns the words that all providers share. A provider makes one attempt; retries, breakers, money and what viewers see are the
//! mind's. Must never know a task, and no error may hold a key.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use thiserror::Error;

use super::ledger::{PROMPT_OVERHEAD, Usage, estimate_tokens};
use super::live::Live;
use crate::config::ProviderName;
use crate::contracts::messages::LlmPart;
use crate::contracts::untrusted::sanitize_line;
use crate::telemetry::redact;

/// Characters of an error that are kept.
const ERROR_LIMIT: usize = 400;

/// Somebody who answers.
#[async_trait]
pub trait Provider: fmt::Debug + Send + Sync {
    /// Who it is.
    fn name(&self) -> ProviderName;

    /// Makes one attempt. What arrives is told to `progress` as it arrives, so that it is known even where the call is dropped.
    ///
    /// # Errors
    /// Where there is no whole answer.
    async fn call(&self, request: &Request, progress: &mut Progress) -> Result<Answer, ProviderError>;
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Request {
    /// Whom.
    pub model: String,
    /// Instructions: the same for every message of a task, so that a provider can keep them in its cache.
    pub system: Arc<str>,
    /// What was said so far; the last turn is the user's.
    pub turns: Vec<Turn>,
    /// The JSON Schema of the answer, see [`super::schema`].
    pub schema: Arc<Value>,
    /// Most tokens of the answer, thinking included.
    pub max_tokens: u32,
    /// Tokens to think for; none for as little as the model can.
    pub thinking: Option<u32>,
}

impl Request {
    /// How long the prompt is, in bytes: instructions, turns and schema.
    pub fn prompt_bytes(&self) -> u64 {
        let turns: usize = self.turns.iter().map(Turn::len).sum();
        (self.system.len() + turns + self.schema.to_string().len()) as u64
    }
}

/// What one side said.
#[derive(Debug, Clone)]
pub enum Turn {
    /// We.
    User(String),
    /// The model, as its provider keeps it: [`Answer::raw`].
    Model(Box<RawValue>),
}

impl Turn {
    fn len(&self) -> usize {
        match self {
            Self::User(text) => text.len(),
            Self::Model(raw) => raw.get().len(),
        }
    }
}

/// A whole answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answer {
    /// What it says.
    pub text: String,
    /// How it was come to, as far as the model shows it.
    pub reasoning: String,
    /// The model's turn as the provider wants it back, byte for byte as it came.
    pub raw: Box<RawValue>,
}

/// What is known of a call under way; also where it is dropped.
#[derive(Debug, Default)]
pub struct Progress {
    /// The last that the provider said of what is used.
    usage: Usage,
    /// Whether that was its final word.
    is_final: bool,
    /// Whether the provider may have begun to work: what it did is paid, whether we hear of it or not.
    pub began: bool,
    /// Bytes of text and reasoning that came.
    received: u64,
    /// Whether anything was heard of it at all.
    heard: Arc<AtomicBool>,
    /// Whoever looks on.
    live: Option<Live>,
}

impl Progress {
    /// Of a call that viewers see.
    pub fn seen_by(live: Option<Live>) -> Self {
        Self { live, ..Self::default() }
    }

    /// A piece of the answer came.
    pub fn piece(&mut self, part: LlmPart, text: &str) {
        if text.is_empty() {
            return;
        }
        self.received += text.len() as u64;
        self.alive();
        if let Some(live) = &self.live {
            live.piece(part, text);
        }
    }

    /// The provider says what is used so far, or (`is_final`) in all.
    pub fn used(&mut self, usage: impl Into<Usage>, is_final: bool) {
        self.usage = usage.into();
        self.is_final = is_final;
        self.alive();
    }

    /// The provider has begun to answer.
    pub fn alive(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    /// Whether anything was heard of it, for whoever waits while the call holds this.
    pub fn heard(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.heard)
    }

    /// Bytes of text and reasoning that came.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// What was used, and whether that is an estimate: the call was cut off, or the provider did not count. None where nothing is
    /// billed.
    pub fn spent(&self, request: &Request) -> Option<(Usage, bool)> {
        if self.is_final {
            return Some((self.usage, false));
        }
        if !self.began {
            return None;
        }
        let mut usage = self.usage;
        if usage.input() == 0 {
            usage.tokens.uncached = estimate_tokens(request.prompt_bytes()) + PROMPT_OVERHEAD;
        }
        let output = estimate_tokens(self.received).min(u64::from(request.max_tokens));
        usage.tokens.output = usage.tokens.output.max(output);
        Some((usage, true))
    }

    /// Whoever looks on, to be told of the end.
    pub(super) fn into_live(self) -> Option<Live> {
        self.live
    }
}

/// Why there is no answer, by what can be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Nobody is there.
    Unreachable,
    /// It did not answer, or fell silent.
    Silent,
    /// The answer broke off.
    CutOff,
    /// It asks to come back later.
    RateLimited,
    /// It has too much to do.
    Overloaded,
    /// It failed.
    Server,
    /// A limit of money, or of a day, is reached: no use before somebody acts or the period ends.
    Exhausted,
    /// The key is not taken.
    Key,
    /// The account cannot pay.
    Billing,
    /// The model is not there.
    NoModel,
    /// The request is not taken.
    Request,
    /// The request is too large.
    TooLarge,
    /// The model refuses, or a filter stops it.
    Refused,
    /// The answer ended before its end: `max_tokens`, or the context is full.
    Truncated,
    /// What came is not what the protocol says.
    Malformed,
    /// More came than an answer can be.
    TooLong,
}

impl Fault {
    /// Whether the same request may succeed a little later.
    pub fn is_passing(self) -> bool {
        matches!(
            self,
            Self::Unreachable
                | Self::Silent
                | Self::CutOff
                | Self::RateLimited
                | Self::Overloaded
                | Self::Server
                | Self::Malformed
        )
    }

    /// Whether no request can succeed until a person acts.
    pub fn is_lasting(self) -> bool {
        matches!(self, Self::Exhausted | Self::Key | Self::Billing | Self::NoModel)
    }

    /// Whether an answer came, and a person should look at why it cannot be used.
    pub fn wants_a_look(self) -> bool {
        matches!(self, Self::Refused | Self::Truncated | Self::TooLong)
    }
}

/// An attempt without an answer.
#[derive(Debug, Clone, Error)]
#[error("{what}")]
pub struct ProviderError {
    /// What can be done about it.
    pub fault: Fault,
    /// What happened, and what to do: one harmless line without secrets.
    pub what: String,
    /// Not before this has passed.
    pub retry_after: Option<Duration>,
    /// What the server says about another attempt (`x-should-retry`).
    pub should_retry: Option<bool>,
}

impl ProviderError {
    /// A fault, told in one line.
    pub fn new(fault: Fault, what: impl AsRef<str>) -> Self {
        let what = sanitize_line(&redact(what.as_ref()), ERROR_LIMIT);
        Self { fault, what, retry_after: None, should_retry: None }
    }
}
