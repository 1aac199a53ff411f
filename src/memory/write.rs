//! Writing a note by hand: a person's text becomes the next version, merged with what others wrote meanwhile.
//!
//! Owns how the verbs and the control room write. Must never throw a text away: what cannot be merged comes back as a conflict.

use thiserror::Error;

use super::MergeConflict;
use super::history::{self, HistoryError};
use super::note::{self, Author, NoteEdit, NoteError, NoteState};
use crate::bus::{BusError, Commit, Outcome, Refusal, SharedBus};
use crate::contracts::notes::{NoteChange, NoteName};

/// So often a change is made again because somebody else wrote at the same moment.
const TRIES: usize = 20;

/// What became of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// It is a version now.
    Version {
        /// Its number.
        version: u64,
        /// Whether it holds what others wrote meanwhile.
        is_merged: bool,
    },
    /// The note said that already.
    Same,
    /// Both changed the same place: somebody must choose.
    Conflict(Box<MergeConflict>),
}

/// Why a text was not written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// It cannot be.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The version that should come back is not there.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The bus cannot be used.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// Something else stands where the note belongs.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Others were quicker each time.
    #[error("the {0} is being written all the time; nothing was changed. Try again")]
    Busy(NoteName),
}

/// Writes a text that was made from version `base`.
///
/// # Errors
/// Where it cannot be written. A conflict is none.
pub async fn write(
    bus: &SharedBus,
    author: &Author,
    name: NoteName,
    text: &str,
    base: u64,
    reason: &str,
) -> Result<Written, WriteError> {
    let change = NoteChange::Rewrite { text: text.to_owned(), base };
    for _ in 0..TRIES {
        let current = NoteState::read_for(bus, name, &change).await?;
        let made = note::apply(&change, &current, author.at)
            .and_then(|edit| NoteEdit::new(current.clone(), edit.text().to_owned(), reason.to_owned()));
        let edit = match made {
            Ok(edit) => edit,
            Err(NoteError::Conflict(conflict)) => return Ok(Written::Conflict(Box::new(conflict))),
            Err(err) => return Err(err.into()),
        };
        if !edit.changes() {
            return Ok(Written::Same);
        }
        let outcomes = bus.commit(vec![Commit::of(edit.ops(author))]).await?;
        match outcomes.into_iter().next() {
            Some(Outcome::Committed(_)) => {
                return Ok(Written::Version { version: edit.version(), is_merged: edit.text() != text });
            }
            Some(Outcome::Refused(refusal)) => return Err(refusal.into()),
            _ => {}
        }
    }
    Err(WriteError::Busy(name))
}

/// An earlier version's text becomes the note again, as a new version.
///
/// # Errors
/// As [`write()`], and where there is no such version.
pub async fn revert(bus: &SharedBus, author: &Author, name: NoteName, version: u64) -> Result<Written, WriteError> {
    let text = history::text(bus, name, version).await?;
    let base = NoteState::read(bus, name).await?.version;
    write(bus, author, name, &text, base, &format!("as in version {version}")).await
}
