//! The pen: whoever holds it writes a run's document, and nobody else.
//!
//! A run that is long writes while it runs. Each write rests on the version before it and on the run being still this holder's, so that one
//! who stood still and was taken over from writes nothing any more; and each has a key of its own, so that an answer that was lost does not
//! repeat it. A bus that is away is waited for. Must never be held by two.

use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::document;
use crate::bus::backoff::Backoff;
use crate::bus::{BusError, Commit, Expect, Key, Op, Outcome, SharedBus, Ttl};
use crate::contracts::untrusted::sanitize_line;

/// How long a bus that is away is waited for by a run that was asked to stop.
const PATIENCE: Duration = Duration::from_secs(4);

/// The field that says whose a run is.
pub(super) const HOLDER: &str = "holder";

/// Why nothing was written.
#[derive(Debug, Error)]
pub(super) enum Unwritten {
    /// The run is somebody else's now, or the bus stayed away while the program stopped.
    #[error("the run is no longer this executor's")]
    Lost,
    /// Another document is not what it was.
    #[error("`{0}` changed meanwhile")]
    Changed(Key),
    /// A counter would go above its ceiling.
    #[error("`{0}` is at its limit")]
    Ceiling(Key),
    /// It can never be written.
    #[error("{0}")]
    Refused(String),
}

/// What writes a run's document.
pub(super) struct Pen {
    bus: SharedBus,
    key: String,
    version: u64,
    holder: String,
    writes: u64,
    stop: CancellationToken,
}

impl Pen {
    /// Takes the run: `version` is that of the document as it was read, `holder` names this holder and no other.
    pub(super) fn new(bus: &SharedBus, key: &str, version: u64, holder: String, stop: CancellationToken) -> Self {
        Self { bus: SharedBus::clone(bus), key: key.to_owned(), version, holder, writes: 0, stop }
    }

    /// Who holds it.
    pub(super) fn holder(&self) -> &str {
        &self.holder
    }

    /// The document's version, as far as it is known.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Changes the run's document, and with it whatever else.
    pub(super) async fn write(&mut self, fields: Vec<(String, Option<String>)>, ops: Vec<Op>) -> Result<(), Unwritten> {
        self.write_as(fields, ops, true).await
    }

    /// The same, of a document that is not held yet: it must be at the version that it was read at.
    pub(super) async fn take(&mut self, fields: Vec<(String, Option<String>)>, ops: Vec<Op>) -> Result<(), Unwritten> {
        self.write_as(fields, ops, false).await
    }

    async fn write_as(
        &mut self,
        mut fields: Vec<(String, Option<String>)>,
        ops: Vec<Op>,
        held: bool,
    ) -> Result<(), Unwritten> {
        fields.push((HOLDER.to_owned(), Some(self.holder.clone())));
        loop {
            let change = Op::Change {
                key: Key::new(self.key.as_str()),
                expect: Expect::Version(self.version),
                fields: fields.clone(),
                ttl: Ttl::Keep,
            };
            let ops = std::iter::once(change).chain(ops.iter().cloned()).collect();
            match self.commit(ops).await? {
                Outcome::Conflict { key, .. } if held && key.as_str() == self.key => self.look_again().await?,
                outcome => {
                    settled(outcome)?;
                    self.version += 1;
                    return Ok(());
                }
            }
        }
    }

    /// Changes other documents, all or none, as long as the run is still this holder's: what one who was taken over from must not do.
    pub(super) async fn act(&mut self, ops: Vec<Op>) -> Result<(), Unwritten> {
        self.write(Vec::new(), ops).await
    }

    /// Changes other documents than the run's, all or none: what is true whoever holds the run.
    pub(super) async fn apply(&mut self, ops: Vec<Op>) -> Result<(), Unwritten> {
        settled(self.commit(ops).await?)
    }

    /// Somebody else wrote: a wish to stop, or one who took the run over.
    pub(super) async fn look_again(&mut self) -> Result<(), Unwritten> {
        let mut patience = Patience::new(&self.stop);
        loop {
            match document(&self.bus, &self.key).await {
                Ok(Some(run)) if run.get(HOLDER) == Some(self.holder.as_str()) => {
                    self.version = run.version;
                    return Ok(());
                }
                Ok(_) => return Err(Unwritten::Lost),
                Err(err) => patience.wait(&err).await?,
            }
        }
    }

    /// Reads what the run depends on, for as long as the bus is away.
    pub(super) async fn look<T, F>(&self, mut read: impl FnMut() -> F) -> Result<T, Unwritten>
    where
        F: Future<Output = Result<T, BusError>>,
    {
        let mut patience = Patience::new(&self.stop);
        loop {
            match read().await {
                Ok(found) => return Ok(found),
                Err(err) => patience.wait(&err).await?,
            }
        }
    }

    async fn commit(&mut self, ops: Vec<Op>) -> Result<Outcome, Unwritten> {
        self.writes += 1;
        let once = Some(format!("{}:{}:{}", self.key, self.holder, self.writes));
        let outcomes = commit_all(&self.bus, vec![Commit { once, ..Commit::of(ops) }], &self.stop).await?;
        outcomes.into_iter().next().ok_or_else(|| Unwritten::Refused("the bus gave no answer".to_owned()))
    }
}

/// Commits units that each have a key of their own, which makes it safe to say them again where it is not known what became of them.
pub(super) async fn commit_all(
    bus: &SharedBus,
    units: Vec<Commit>,
    stop: &CancellationToken,
) -> Result<Vec<Outcome>, Unwritten> {
    let mut patience = Patience::new(stop);
    loop {
        match bus.commit(units.clone()).await {
            Ok(outcomes) => return Ok(outcomes),
            Err(err) => patience.wait(&err).await?,
        }
    }
}

/// Waiting for a bus that is away: for as long as it takes, and not for long once the program stops.
struct Patience<'a> {
    backoff: Backoff,
    stop: &'a CancellationToken,
    stopped: Option<Instant>,
}

impl<'a> Patience<'a> {
    fn new(stop: &'a CancellationToken) -> Self {
        Self { backoff: Backoff::quick(), stop, stopped: None }
    }

    async fn wait(&mut self, err: &BusError) -> Result<(), Unwritten> {
        if !err.is_passing() {
            return Err(Unwritten::Refused(sanitize_line(&err.to_string(), 300)));
        }
        tracing::warn!(%err, "a run waits for the bus");
        if self.stop.is_cancelled() && self.stopped.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
            return Err(Unwritten::Lost);
        }
        tokio::time::sleep(self.backoff.next_delay()).await;
        Ok(())
    }
}

/// That it happened, now or before; or why not.
pub(super) fn settled(outcome: Outcome) -> Result<(), Unwritten> {
    match outcome {
        Outcome::Committed(_) | Outcome::Duplicate(_) => Ok(()),
        Outcome::Conflict { key, .. } => Err(Unwritten::Changed(key)),
        Outcome::Ceiling { key, .. } => Err(Unwritten::Ceiling(key)),
        Outcome::NotPending | Outcome::Fenced => Err(Unwritten::Lost),
        Outcome::Refused(refusal) => Err(Unwritten::Refused(sanitize_line(&refusal.to_string(), 300))),
    }
}
