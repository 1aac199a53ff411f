//! The sender: says things outside a handler, where no acknowledgement makes a repetition harmless.
//!
//! Owns the retry of sends: every send has an idempotency key, so that an unanswered one is tried again without being said twice.
//! Used by verbs, the screen and the bridge. Must never be given to a handler, whose effects are committed for it.

#[cfg(test)]
mod tests;

use std::marker::PhantomData;
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::commit::{Commit, Op, Outcome, Outgoing};
use super::effects::{Draft, Origin};
use super::{BusError, EntryId, SharedBus};
use crate::contracts::{Body, Channel, Grant, Says, ShapeError};

/// Why something could not be said.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SendError {
    /// The message itself is wrong.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The bus did not take it.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// It was taken, but not applied.
    #[error("not said: {0}")]
    NotApplied(String),
}

/// Says things in the name of `G`.
#[derive(Clone)]
pub struct Sender<G> {
    bus: SharedBus,
    origin: Origin,
    patience: Duration,
    speaks_as: PhantomData<fn() -> G>,
}

impl<G> std::fmt::Debug for Sender<G> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl<G: Grant> Sender<G> {
    /// Speaks over `bus`; an unreachable bus is tried again for `patience`.
    pub fn new(bus: SharedBus, origin: Origin, patience: Duration) -> Self {
        Self { bus, origin, patience, speaks_as: PhantomData }
    }

    /// Says a message once, however often the bus must be asked.
    ///
    /// # Errors
    /// Where the body is too large, or the bus takes it not within the patience.
    pub async fn send<M: Body>(
        &self,
        channel: Channel<M>,
        draft: impl Into<Draft<M>> + Send,
    ) -> Result<EntryId, SendError>
    where
        G: Says<M>,
    {
        let message = self.origin.compose::<G, M>(channel, draft)?;
        self.send_composed(message).await
    }

    /// Says a message that is already composed; its own id is the idempotency key.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub async fn send_composed(&self, message: Outgoing) -> Result<EntryId, SendError> {
        let once = message.envelope.id.to_string();
        self.send_once(once, message).await
    }

    /// Says a message unless `once` was said in the last day; then it returns the entry of that time.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub async fn send_once(&self, once: String, message: Outgoing) -> Result<EntryId, SendError> {
        let unit = Commit { once: Some(once), ..Commit::of(vec![Op::Append(message)]) };
        said(commit_patiently(&self.bus, unit, self.patience).await?)
    }
}

/// Commits one unit, which must have an idempotency key; a bus that is away is tried again for `patience`.
///
/// # Errors
/// Where the bus takes it not within the patience.
pub async fn commit_patiently(bus: &SharedBus, unit: Commit, patience: Duration) -> Result<Outcome, BusError> {
    let deadline = Instant::now() + patience;
    let mut backoff = Backoff::quick();
    loop {
        match bus.commit(vec![unit.clone()]).await {
            Ok(outcomes) => {
                let outcome = outcomes.into_iter().next();
                return outcome.ok_or_else(|| BusError::Protocol("a commit without an outcome".to_owned()));
            }
            Err(err) if err.is_passing() && Instant::now() < deadline => {
                tracing::debug!(%err, "a send is tried again");
                tokio::time::sleep(backoff.next_delay()).await;
            }
            Err(err) => return Err(err),
        }
    }
}

fn said(outcome: Outcome) -> Result<EntryId, SendError> {
    match outcome {
        Outcome::Committed(ids) | Outcome::Duplicate(ids) => {
            ids.first().copied().ok_or_else(|| BusError::Protocol("an append without an entry id".to_owned()).into())
        }
        Outcome::Refused(refusal) => Err(SendError::NotApplied(refusal.to_string())),
        other => Err(SendError::NotApplied(format!("{other:?}"))),
    }
}
