//! `keys.toml`: a person's own keys.
//!
//! ```toml
//! inject = "n"
//! quit = ["q", "ctrl-q"]
//! kill = []          # no key
//! ```
//!
//! Must never start with keys that contradict each other: they are refused, with the line.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;

use super::{Chord, Keymap};
use crate::contracts::UnknownName;
use crate::tui::actions::{ACTIONS, Action};

/// Why a person's keys cannot be used.
#[derive(Debug, Error)]
#[error("{}:{line}: {what}", path.display())]
pub struct KeysError {
    /// The file.
    pub path: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong there, and what to do.
    pub what: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Keys {
    One(String),
    Several(Vec<String>),
}

/// The keys of the table, changed by the file, if it is there.
///
/// # Errors
/// Where the file cannot be read, or something in it cannot be used.
pub fn load(path: &Path) -> Result<Keymap, KeysError> {
    match std::fs::read_to_string(path) {
        Ok(text) => read(path, &text),
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => Ok(Keymap::default()),
        Err(err) => Err(KeysError { path: path.to_owned(), line: 0, what: format!("it cannot be read: {err}") }),
    }
}

/// The keys of the table, changed by this text.
///
/// # Errors
/// Where something in it cannot be used.
pub fn read(path: &Path, text: &str) -> Result<Keymap, KeysError> {
    let line_of = |at: usize| text.get(..at).map_or(1, |before| before.matches('\n').count() + 1);
    let refused = |line: usize, what: String| KeysError { path: path.to_owned(), line, what };
    let entries: std::collections::BTreeMap<Spanned<String>, Spanned<Keys>> = toml::from_str(text).map_err(|err| {
        let line = err.span().map_or(1, |span| line_of(span.start));
        refused(line, err.message().to_owned())
    })?;
    let mut keymap = Keymap::default();
    let mut lines: Vec<(Action, usize)> = Vec::new();
    for (name, keys) in entries {
        let line = line_of(name.span().start);
        let found = ACTIONS.iter().find(|row| row.name == name.get_ref().as_str());
        let Some(row) = found else {
            let known = ACTIONS.iter().map(|row| row.name);
            let unknown = UnknownName::among("action", name.get_ref(), known);
            return Err(refused(line, format!("{unknown}; `fullsend keys` lists them all")));
        };
        let line = line_of(keys.span().start);
        let keys = match keys.into_inner() {
            Keys::One(key) => vec![key],
            Keys::Several(keys) => keys,
        };
        let chords: Result<Vec<Chord>, _> = keys.iter().map(|key| key.parse::<Chord>()).collect();
        let chords = chords.map_err(|err| refused(line, err.to_string()))?;
        if chords.is_empty() && row.is_needed {
            return Err(refused(line, format!("`{}` cannot be without a key", row.name)));
        }
        keymap.set(row.action, chords);
        lines.push((row.action, line));
    }
    if let Some((one, other, chord)) = keymap.conflict() {
        let line = |action| lines.iter().find(|(it, _)| *it == action).map(|(_, line)| *line);
        let place = line(other).or(line(one)).unwrap_or(1);
        let what = format!(
            "`{chord}` is the key of `{}` and of `{}`, which work in the same place; give one of them another key",
            one.row().name,
            other.row().name
        );
        return Err(refused(place, what));
    }
    Ok(keymap)
}
