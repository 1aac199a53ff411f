//! The room's memory on disk: one file for what all rooms of a home share, and one for each that is open, with what is written there.
//!
//! A room writes only what it changed itself, so that two rooms of one home do not undo each other. What was being written in a room that
//! ended is taken over by the next one. Must never be needed: a file that is missing or torn is an empty memory.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use crate::config::private_file;
use crate::tui::app::{Kept, RECALLED};

/// What all rooms of a home share.
const SHARED: &str = "room.json";
/// Rooms that are open in one home and keep apart what is written in them.
const ROOMS: usize = 16;

/// Where a room keeps what it should know at its next start.
#[derive(Debug)]
pub struct Memory {
    home: PathBuf,
    /// As this room read or wrote it last: what differs from it was changed here.
    base: Kept,
    /// Its own place; none where there is no more, or files cannot be locked here.
    own: Option<Place>,
}

/// A room's own place, while it holds the lock on it.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    _lock: Flock<File>,
}

impl Place {
    /// The place with this number; none where another room has it.
    fn take(home: &Path, number: usize) -> Option<Self> {
        let lock = lock(&home.join(format!("room.{number}.lock")), FlockArg::LockExclusiveNonblock).ok()?;
        Some(Self { path: home.join(format!("room.{number}.json")), _lock: lock })
    }
}

impl Memory {
    /// Takes a place in this home, and reads what is remembered.
    pub fn open(home: &Path) -> (Self, Kept) {
        let shared: Kept = read(&home.join(SHARED));
        let mut kept = shared.clone();
        let mut own = None;
        for number in 0..ROOMS {
            if own.is_some() && !home.join(format!("room.{number}.json")).exists() {
                continue;
            }
            let Some(place) = Place::take(home, number) else { continue };
            // Of a room that is gone, or of this one when it was open last.
            let left: Kept = read(&place.path);
            take_over(&mut kept, left);
            if own.is_none() {
                own = Some(place);
            } else if let Some(Place { path, .. }) = &own {
                // Kept here before it goes there.
                if write(path, &written_in(&kept)).is_ok() {
                    std::fs::remove_file(&place.path).ok();
                }
            }
        }
        (Self { home: home.to_owned(), base: shared, own }, kept)
    }

    /// Writes down what this room changed.
    ///
    /// # Errors
    /// Where the files cannot be written.
    pub(super) fn keep(&mut self, kept: &Kept) -> std::io::Result<()> {
        let _turn = lock(&self.home.join("room.json.lock"), FlockArg::LockExclusive);
        let path = self.home.join(SHARED);
        let before: Kept = read(&path);
        let mut shared = merged(before.clone(), &self.base, kept);
        match &self.own {
            Some(place) => {
                (shared.draft, shared.notes) = (None, std::collections::BTreeMap::new());
                write(&place.path, &written_in(kept))?;
            }
            None => (shared.draft, shared.notes) = (kept.draft.clone(), kept.notes.clone()),
        }
        if shared != before {
            write(&path, &shared)?;
        }
        self.base = kept.clone();
        Ok(())
    }
}

/// Only what is being written.
fn written_in(kept: &Kept) -> Kept {
    Kept { draft: kept.draft.clone(), notes: kept.notes.clone(), ..Kept::default() }
}

/// Takes what was being written elsewhere. Where something is written here, a draft can be recalled, and a note stays as it is here.
fn take_over(kept: &mut Kept, left: Kept) {
    match (&kept.draft, left.draft) {
        (None, draft) => kept.draft = draft,
        (Some(own), Some(draft)) if *own != draft => kept.said.push(draft),
        (Some(_), _) => {}
    }
    for (name, note) in left.notes {
        kept.notes.entry(name).or_insert(note);
    }
}

/// What is shared, with what differs between `base` and `kept`.
fn merged(mut shared: Kept, base: &Kept, kept: &Kept) -> Kept {
    if kept.screen != base.screen {
        shared.screen = kept.screen;
    }
    if kept.has_mouse != base.has_mouse {
        shared.has_mouse = kept.has_mouse;
    }
    for (screen, width) in &kept.widths {
        if base.widths.get(screen) != Some(width) {
            shared.widths.insert(*screen, *width);
        }
    }
    for (shared, base, kept) in [
        (&mut shared.filter, &base.filter, &kept.filter),
        (&mut shared.theme, &base.theme, &kept.theme),
        (&mut shared.welcomed, &base.welcomed, &kept.welcomed),
    ] {
        if kept != base {
            shared.clone_from(kept);
        }
    }
    shared.said.extend(kept.said.iter().filter(|said| !base.said.contains(said)).cloned());
    shared.said.drain(..shared.said.len().saturating_sub(RECALLED));
    shared
}

fn lock(path: &Path, how: FlockArg) -> std::io::Result<Flock<File>> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    Flock::lock(file, how).map_err(|(_, err)| err.into())
}

/// Writes it so that a crash leaves the old one or the new one.
fn write(path: &Path, kept: &Kept) -> std::io::Result<()> {
    let next = path.with_extension("next");
    let mut file = private_file(&next)?;
    file.write_all(serde_json::to_string_pretty(kept)?.as_bytes())?;
    file.sync_data()?;
    std::fs::rename(&next, path)
}

fn read(path: &Path) -> Kept {
    let text = std::fs::read_to_string(path).ok();
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}
