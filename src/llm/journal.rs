//! The journal: what models answered to a message, kept before anybody acts on it, so that a crash does not pay again.
//!
//! Owns `journal:{message}`: a field `{task}:{n}` for each answer to the task, in the order in which they came. Must never stop an
//! answer: one that cannot be kept is used all the same.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::provider::Answer;
use super::task::TaskName;
use crate::bus::sender::commit_patiently;
use crate::bus::{BusError, Commit, Expect, Key, Op, SharedBus, Ttl};
use crate::contracts::messages::Tokens;
use crate::contracts::{MessageId, keys};

/// How long an answer is kept.
const TTL: Duration = Duration::from_hours(24);

/// How long a bus that is away is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// An answer that was paid for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Who answered.
    pub(super) provider: String,
    /// Which model.
    pub(super) model: String,
    /// What it used.
    pub(super) tokens: Tokens,
    /// What it cost, in billionths of a dollar.
    pub(super) nano_usd: u64,
    /// The answer, with the provider's own form of it.
    pub(super) answer: Answer,
}

/// The answers to one message.
#[derive(Clone)]
pub(super) struct Journal {
    bus: SharedBus,
    key: Key,
    task: TaskName,
}

impl Journal {
    /// That of a message and a task.
    pub(super) fn of(bus: &SharedBus, message: MessageId, task: TaskName) -> Option<Self> {
        let key = Key::new(keys::journal(&message.to_string()).ok()?);
        Some(Self { bus: SharedBus::clone(bus), key, task })
    }

    /// All answers so far, in order.
    pub(super) async fn read(&self) -> Vec<Entry> {
        let state = match self.bus.get(&self.key).await {
            Ok(state) => state,
            Err(err) => {
                tracing::warn!(key = %self.key, %err, "the journal cannot be read; the model is asked again");
                return Vec::new();
            }
        };
        let Some(document) = state.as_ref().and_then(|state| state.document()) else { return Vec::new() };
        let texts = (0..).map_while(|n| document.get(&self.field(n)));
        texts.map_while(|text| serde_json::from_str(text).ok()).collect()
    }

    /// Keeps the answer number `n`.
    pub(super) async fn write(&self, n: usize, entry: &Entry) {
        if let Err(err) = self.try_write(n, entry).await {
            tracing::warn!(key = %self.key, %err, "an answer could not be journalled; a crash now would pay for it again");
        }
    }

    async fn try_write(&self, n: usize, entry: &Entry) -> Result<(), BusError> {
        let field = self.field(n);
        let text = serde_json::to_string(entry).map_err(|err| BusError::Protocol(err.to_string()))?;
        let once = format!("{}:{field}", self.key);
        let op = Op::Change {
            key: self.key.clone(),
            expect: Expect::Any,
            fields: vec![(field, Some(text))],
            ttl: Ttl::Set(TTL),
        };
        let unit = Commit { once: Some(once), ..Commit::of(vec![op]) };
        let outcome = commit_patiently(&self.bus, unit, PATIENCE).await?;
        if outcome.is_done() { Ok(()) } else { Err(BusError::Protocol(format!("{outcome:?}"))) }
    }

    fn field(&self, n: usize) -> String {
        format!("{}:{n}", self.task)
    }
}
