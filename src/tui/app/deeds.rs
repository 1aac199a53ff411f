//! What the room does on the bus that is more than saying something: notes, and what became of dead letters.
//!
//! Owns what is wanted and what comes back; `run/effects` carries it out. Must never write by itself.

use super::{Effect, Model};
use crate::bus::{EntryId, Key, State};
use crate::contracts::notes::NoteName;
use crate::memory::Written;
use crate::memory::history::Version;
use crate::tui::layers::Layer;
use crate::tui::store::Item;
use crate::tui::theme::Role;

/// Something to be done with a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoteDeed {
    /// Write this text, which was made from version `base`.
    Write {
        /// The text.
        text: String,
        /// The version.
        base: u64,
    },
    /// Bring a version's text back.
    Revert(u64),
    /// List the versions.
    Versions,
    /// Compare a version with the one before it.
    Compare(u64),
}

/// What became of it; reasons are harmless.
#[derive(Debug, Clone, PartialEq)]
pub enum NoteOutcome {
    /// It was written, or why not; and the document as it stands now, where it could be read.
    Written(Result<Written, String>, Option<State>),
    /// The versions, the newest first.
    Versions(Result<Vec<Version>, String>),
    /// What this version changed, as a unified diff. Raw.
    Compared(u64, Result<String, String>),
}

/// Something to be done with a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LetterDeed {
    /// Say it again on its channel.
    Replay,
    /// Mark it as done with.
    Drop,
}

/// Something became of a note.
pub(super) fn note(model: &mut Model, name: NoteName, outcome: &NoteOutcome) -> Vec<Effect> {
    if let NoteOutcome::Written(_, Some(state)) = outcome {
        // Not only when the feed looks again.
        model.store.apply(Item::Document { key: Key::new(format!("notes:{name}")), state: Some(state.clone()) });
    }
    let told = match outcome {
        NoteOutcome::Written(Ok(Written::Version { version, is_merged }), _) => {
            let merged = if *is_merged { ", merged with what the team wrote meanwhile" } else { "" };
            Some((Role::Ok, format!("{name} is at version {version}{merged}")))
        }
        NoteOutcome::Written(Ok(Written::Same), _) => Some((Role::Text, format!("the {name} says that already"))),
        NoteOutcome::Written(Ok(Written::Conflict(_)), _) => {
            Some((Role::Warn, format!("the {name} was changed in the same place meanwhile: choose")))
        }
        NoteOutcome::Written(Err(why), _) => Some((Role::Danger, format!("the {name} was not written: {why}"))),
        NoteOutcome::Versions(_) | NoteOutcome::Compared(..) => None,
    };
    if let Some((role, words)) = told {
        model.tell(role, words);
    }
    let mut layers = std::mem::take(&mut model.layers);
    let mut effects = Vec::new();
    layers.retain_mut(|layer| match layer {
        Layer::Note(edit) if edit.name() == name => edit.happened(model, outcome),
        Layer::History(history) if history.name() == name => {
            effects.extend(history.happened(outcome));
            true
        }
        _ => true,
    });
    model.layers = layers;
    effects
}

/// Something became of a dead letter: `mark` is its document now.
pub(super) fn letter(model: &mut Model, id: EntryId, told: Result<String, String>, mark: Option<State>) {
    if let Some(state) = mark {
        model.store.apply(Item::Document { key: Key::new(format!("dead_letters:{id}")), state: Some(state) });
    }
    match told {
        Ok(told) => model.tell(Role::Ok, format!("{id}: {told}")),
        Err(why) => model.tell(Role::Danger, format!("{id}: {why}")),
    }
}
