//! Notes and dead letters: what the room wants done with them, done beside the loop.
//!
//! Must never wait in the loop, and never say anything that was not made harmless.

use std::fmt::Display;
use std::sync::Arc;

use super::Loop;
use crate::bus::letters::desk::{Desk, Done};
use crate::bus::letters::mark::{self, Marks};
use crate::bus::{BusError, EntryId, Key, Origin, SharedBus, State, entry};
use crate::contracts::notes::NoteName;
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::{ChannelName, Trust};
use crate::memory::note::{self, EDITED};
use crate::memory::{self, Author, history};
use crate::tui::app::{LetterDeed, NoteDeed, NoteOutcome, Outcome};

/// Versions that are listed.
const VERSIONS: usize = 500;

fn harmless(err: impl Display) -> String {
    sanitize_line(&err.to_string(), 300)
}

async fn read(bus: &SharedBus, key: &Key) -> Option<State> {
    bus.get(key).await.ok().flatten()
}

impl Loop {
    /// The operator, as whoever says something.
    fn origin(&self) -> Origin {
        Origin::new(Arc::clone(&self.room.clock), Arc::clone(&self.room.ids), Trust::Operator)
    }

    /// Does something with a note.
    pub(in crate::tui::run) fn note(&self, name: NoteName, deed: NoteDeed) {
        // The model wants nothing where there is none.
        let Some(bus) = self.room.bus.clone() else { return };
        let author = Author::of(self.room.model.about.operator.clone(), &self.origin());
        let outcomes = self.outcomes.clone();
        tokio::spawn(async move {
            let outcome = match deed {
                NoteDeed::Write { text, base } => {
                    let written = memory::write(&bus, &author, name, &text, base, EDITED).await;
                    NoteOutcome::Written(written.map_err(harmless), read(&bus, &note::key(name)).await)
                }
                NoteDeed::Revert(version) => {
                    let written = memory::revert(&bus, &author, name, version).await;
                    NoteOutcome::Written(written.map_err(harmless), read(&bus, &note::key(name)).await)
                }
                NoteDeed::Versions => {
                    NoteOutcome::Versions(history::list(&bus, name, VERSIONS).await.map_err(harmless))
                }
                NoteDeed::Compare(version) => {
                    let diff = history::diff(&bus, name, version.saturating_sub(1), version).await;
                    NoteOutcome::Compared(version, diff.map_err(harmless))
                }
            };
            outcomes.send(Outcome::Note(name, outcome)).await.ok();
        });
    }
}

impl Loop {
    /// Does something with a dead letter.
    pub(in crate::tui::run) fn letter(&self, id: EntryId, deed: LetterDeed) {
        let room = &self.room;
        let Some(bus) = room.bus.clone() else { return };
        let desk = Desk {
            bus,
            clock: Arc::clone(&room.clock),
            ids: Arc::clone(&room.ids),
            by: room.model.about.operator.clone(),
            kept: room.beside.kept,
        };
        let outcomes = self.outcomes.clone();
        tokio::spawn(async move {
            let told = match done(&desk, id, deed).await {
                Ok(Done::Replayed { channel, entry, unfit, .. }) => {
                    let place = entry.map(|entry| entry.to_string()).unwrap_or_default();
                    let unfit = unfit.map(|err| format!("; it still does not fit: {err}")).unwrap_or_default();
                    Ok(format!("replayed on {channel} as {place}{unfit}"))
                }
                Ok(Done::Dropped) => Ok("dropped; it stays in the history".to_owned()),
                Ok(Done::Before) => Ok("nothing done: it was dealt with before".to_owned()),
                Ok(Done::Missing) => Err("it is not there any more".to_owned()),
                Ok(Done::Impossible(reason) | Done::NotApplied(reason)) => Err(format!("nothing done: {reason}")),
                Err(err) => Err(format!("nothing done: {err}")),
            };
            let told = told.map(harmless).map_err(harmless);
            let mark = read(&desk.bus, &mark::key(id)).await;
            outcomes.send(Outcome::Letter(id, told, mark)).await.ok();
        });
    }
}

async fn done(desk: &Desk, id: EntryId, deed: LetterDeed) -> Result<Done, BusError> {
    let entry = entry::find(&desk.bus, ChannelName::DeadLetter, id).await?;
    let mark = Marks::read(&desk.bus).await?.of(&desk.bus, id).await?;
    match deed {
        LetterDeed::Replay => desk.replay(id, entry.as_ref(), &mark, false).await,
        LetterDeed::Drop => desk.drop_letter(id, entry.is_some(), &mark).await,
    }
}
