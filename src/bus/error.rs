//! What can go wrong between us and a store.
//!
//! Owns the kinds that callers match on. Every text says what happened, to what, and what to do next.

use thiserror::Error;

use super::entry::EntryId;
use crate::contracts::ChannelName;

/// What went wrong with the bus.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BusError {
    /// The store cannot be reached now; whatever was asked has not happened.
    #[error("the bus cannot be reached: {0}")]
    Unreachable(String),
    /// The connection broke or timed out while an answer was awaited: it may have happened, or not.
    #[error("the bus did not answer: {0}")]
    NoAnswer(String),
    /// The store is there and does not take writes (disk full, memory full, read-only); nothing of it has happened.
    #[error("the bus takes no writes: {reason}. {fix}")]
    ReadOnly {
        /// What the store says.
        reason: String,
        /// What to do about it.
        fix: String,
    },
    /// A key of ours holds something else.
    #[error("`{key}` holds a {found}, a {wanted} belongs there. Look at it, then rename or delete it")]
    ForeignType {
        /// The key.
        key: String,
        /// What is there.
        found: String,
        /// What should be there.
        wanted: &'static str,
    },
    /// The group is gone.
    #[error("the group `{group}` of {channel} is gone: somebody deleted it, or the server lost its data")]
    NoGroup {
        /// The channel.
        channel: ChannelName,
        /// The group.
        group: String,
    },
    /// The store is of a kind, version or schema that cannot be used.
    #[error("{0}")]
    Unsupported(String),
    /// An import wants an empty store.
    #[error(
        "the store at {0} is not empty; restore and move write only into an empty one. Choose another `--home`, database or prefix"
    )]
    NotEmpty(String),
    /// Records of an import that do not fit.
    #[error("record {line} does not fit: {reason}")]
    BadRecord {
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The bus was closed by this process.
    #[error("the bus is closed")]
    Closed,
    /// The store broke a rule of its own.
    #[error("the bus answered what it should not: {0}. This is a defect; please report it")]
    Protocol(String),
}

impl BusError {
    /// Whether what was asked may have happened all the same.
    pub fn unknown_outcome(&self) -> bool {
        matches!(self, Self::NoAnswer(_))
    }

    /// Whether trying again later can help without anybody doing anything.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::NoAnswer(_) | Self::ReadOnly { .. } | Self::NoGroup { .. } => true,
            Self::ForeignType { .. }
            | Self::Unsupported(_)
            | Self::NotEmpty(_)
            | Self::BadRecord { .. }
            | Self::Closed
            | Self::Protocol(_) => false,
        }
    }

    /// The error for an id that a store gave and that is none.
    pub fn bad_id(text: &str) -> Self {
        Self::Protocol(format!(
            "`{}` as an entry id, which looks like {}",
            text.chars().take(60).collect::<String>(),
            EntryId::ZERO
        ))
    }
}
