//! The gate: the only door to an effect that needs a yes, and the only hand that carries out orders.
//!
//! Owns what becomes of proposals, verdicts and orders. What was approved is committed whole, exactly as it was shown, in its
//! proposer's name and by its proposer's grants, together with the approval's document and its link of the audit chain; or it is
//! superseded, where what it rested on has changed. The first verdict counts. Must never take words from outside for a yes, and never
//! do anything that is not recorded in the same commit.

mod copy;
mod deadlines;
mod intents;
pub mod mode;
mod notifier;
mod orders;
mod proposals;
mod steps;
#[cfg(test)]
mod tests;
mod unit;
mod verdicts;

use std::time::Duration;

pub use copy::{AuditCopy, copy_file};
pub use notifier::{Notifier, terminal};
pub(crate) use unit::{chain, head};

use crate::approvals::policy::Limits;
use crate::bus::{BusError, Context, Effects, Failure, Handler, Received};
use crate::config::Mode;
use crate::contracts::channel::grants;
use crate::contracts::messages::RiskClass;
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::{ChannelName, ShapeError};
use crate::memory::{ChangeError, MergeConflict, NoteError};

/// Characters of a person's or a model's words that are repeated.
const WORDS_LIMIT: usize = 400;
/// Characters of a name that is repeated.
const NAME_LIMIT: usize = 80;

/// How the gate decides what to ask.
#[derive(Debug, Clone, Copy)]
pub struct GateOptions {
    /// What goes without asking.
    pub mode: Mode,
    /// The limits of that.
    pub limits: Limits,
    /// No answer after this means no.
    pub deadline: Duration,
    /// The same for class 3.
    pub outward_deadline: Duration,
}

impl GateOptions {
    fn deadline_of(&self, class: RiskClass) -> Duration {
        if class == RiskClass::Outward { self.outward_deadline } else { self.deadline }
    }
}

/// The service.
#[derive(Debug, Clone)]
pub struct Gate {
    options: GateOptions,
}

impl Gate {
    /// A gate that asks as the options say.
    pub fn new(options: GateOptions) -> Self {
        Self { options }
    }
}

impl Handler for Gate {
    type Grant = grants::Gate;

    fn channels(&self) -> &[ChannelName] {
        &[ChannelName::Proposals, ChannelName::ApprovalVerdicts, ChannelName::Control]
    }

    // One at a time: each links a record to the one before.
    async fn handle(&self, message: Received, cx: Context<grants::Gate>) -> Result<Effects<grants::Gate>, Failure> {
        let unit = match message.entry.channel {
            ChannelName::Proposals => proposals::handle(self.options, &message, &cx).await?,
            ChannelName::ApprovalVerdicts => verdicts::handle(self.options, &message, &cx).await?,
            _ => orders::handle(self.options, &message, &cx).await?,
        };
        let mut effects = cx.effects();
        // The gate alone says what others proposed, in their names: `approvals::check` holds it to the table.
        effects.extend(unit.into_ops());
        Ok(effects)
    }
}

/// Who gave an answer or an order, where and why; harmless.
#[derive(Debug, Clone)]
struct Who {
    by: String,
    surface: Option<String>,
    reason: Option<String>,
}

impl Who {
    /// As a message says of itself; where it names nobody, whoever said it.
    fn said(by: Option<&str>, surface: &str, reason: Option<&str>) -> Self {
        let clean = |text: &str, limit| Some(sanitize_line(text.trim(), limit)).filter(|text| !text.is_empty());
        Self {
            by: by.and_then(|by| clean(by, NAME_LIMIT)).unwrap_or_else(|| sanitize_line(surface, NAME_LIMIT)),
            surface: clean(surface, NAME_LIMIT),
            reason: reason.and_then(|reason| clean(reason, WORDS_LIMIT)),
        }
    }

    /// The gate itself.
    fn gate(reason: impl Into<String>) -> Self {
        Self { by: "gate".to_owned(), surface: None, reason: Some(reason.into()) }
    }

    /// What the policy lets go.
    fn policy(policy: String) -> Self {
        Self { by: policy, surface: Some("policy".to_owned()), reason: None }
    }
}

/// Why something was not done.
#[derive(Debug)]
enum Undone {
    /// It cannot be done as things are: whoever wanted it is told.
    Impossible(String),
    /// A note changed in the same place meanwhile: somebody must choose.
    Conflict(Box<MergeConflict>),
    /// The handler failed.
    Failed(Failure),
}

impl From<BusError> for Undone {
    fn from(err: BusError) -> Self {
        Self::Failed(err.into())
    }
}

impl From<ChangeError> for Undone {
    fn from(err: ChangeError) -> Self {
        match err {
            ChangeError::Bus(err) => err.into(),
            ChangeError::Note(NoteError::Conflict(conflict)) => Self::Conflict(Box::new(conflict)),
            ChangeError::Note(err) => Self::Impossible(err.to_string()),
        }
    }
}

impl From<ShapeError> for Undone {
    fn from(err: ShapeError) -> Self {
        Self::Failed(err.into())
    }
}

impl From<Failure> for Undone {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}
