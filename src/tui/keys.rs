//! Keys: how a chord is written, read and matched, and a person's own keys (`keys.toml`).
//!
//! Owns the spelling (`ctrl-s`, `alt-enter`, `?`, `X`) and the resolved key map. Must never know what an action does.

mod file;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use thiserror::Error;

pub use file::{KeysError, load, read};

use super::actions::{ACTIONS, Action, Scope};

/// A key with what is held down beside it. A capital letter is its own character, without shift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Chord {
    /// The key.
    pub code: KeyCode,
    /// Control and alt; shift only where it does not change the character.
    pub held: KeyModifiers,
}

/// A text that names no chord.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no key; write it like `x`, `X`, `ctrl-s`, `alt-enter`, `shift-tab`, `space`, `f5`")]
pub struct NotAChord(pub String);

/// Keys with names, each under the name by which it is written.
const NAMED: [(&str, KeyCode); 15] = [
    ("enter", KeyCode::Enter),
    ("esc", KeyCode::Esc),
    ("tab", KeyCode::Tab),
    ("space", KeyCode::Char(' ')),
    ("backspace", KeyCode::Backspace),
    ("delete", KeyCode::Delete),
    ("insert", KeyCode::Insert),
    ("up", KeyCode::Up),
    ("down", KeyCode::Down),
    ("left", KeyCode::Left),
    ("right", KeyCode::Right),
    ("home", KeyCode::Home),
    ("end", KeyCode::End),
    ("pageup", KeyCode::PageUp),
    ("pagedown", KeyCode::PageDown),
];

impl Chord {
    /// What a terminal reports. Terminals differ in whether they say shift with a capital letter.
    pub fn of(event: KeyEvent) -> Self {
        let mut held = event.modifiers & (KeyModifiers::CONTROL | KeyModifiers::ALT | KeyModifiers::SHIFT);
        let code = match event.code {
            KeyCode::BackTab => {
                held |= KeyModifiers::SHIFT;
                KeyCode::Tab
            }
            // With control, terminals report capital and small letters alike.
            KeyCode::Char(c) if held.contains(KeyModifiers::CONTROL) => KeyCode::Char(c.to_ascii_lowercase()),
            code => code,
        };
        if matches!(code, KeyCode::Char(_)) {
            held -= KeyModifiers::SHIFT;
        }
        Self { code, held }
    }

    /// Whether it would type a character into a field, or move in it.
    pub fn is_text(self) -> bool {
        match self.code {
            KeyCode::Char(_) => self.held.is_empty(),
            KeyCode::Backspace | KeyCode::Delete | KeyCode::Left | KeyCode::Right | KeyCode::Home | KeyCode::End => {
                true
            }
            _ => false,
        }
    }

    /// As the footer writes it: short.
    pub fn short(self) -> String {
        let sign = match self.code {
            KeyCode::Enter => "⏎",
            KeyCode::Up => "↑",
            KeyCode::Down => "↓",
            KeyCode::Left => "←",
            KeyCode::Right => "→",
            _ => return self.to_string(),
        };
        let plain = self.to_string();
        match plain.rsplit_once('-') {
            Some((held, _)) if !self.held.is_empty() => format!("{held}-{sign}"),
            _ => sign.to_owned(),
        }
    }
}

impl fmt::Display for Chord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (modifier, name) in
            [(KeyModifiers::CONTROL, "ctrl-"), (KeyModifiers::ALT, "alt-"), (KeyModifiers::SHIFT, "shift-")]
        {
            if self.held.contains(modifier) {
                f.write_str(name)?;
            }
        }
        if let Some((name, _)) = NAMED.iter().find(|(_, code)| *code == self.code) {
            return f.write_str(name);
        }
        match self.code {
            KeyCode::Char(c) => write!(f, "{c}"),
            KeyCode::F(number) => write!(f, "f{number}"),
            _ => f.write_str("?"),
        }
    }
}

impl FromStr for Chord {
    type Err = NotAChord;

    fn from_str(text: &str) -> Result<Self, NotAChord> {
        let bad = || NotAChord(text.chars().take(40).collect());
        let mut rest = text;
        let mut held = KeyModifiers::NONE;
        loop {
            let lower = rest.to_ascii_lowercase();
            let found =
                [("ctrl-", KeyModifiers::CONTROL), ("alt-", KeyModifiers::ALT), ("shift-", KeyModifiers::SHIFT)]
                    .into_iter()
                    .find(|(name, _)| lower.starts_with(name) && lower.len() > name.len());
            let Some((name, modifier)) = found else { break };
            if held.contains(modifier) {
                return Err(bad());
            }
            held |= modifier;
            rest = &rest[name.len()..];
        }
        let lower = rest.to_ascii_lowercase();
        let named = NAMED.iter().find(|(name, _)| *name == lower).map(|(_, code)| *code);
        let function = lower.strip_prefix('f').and_then(|n| n.parse().ok()).filter(|n| (1..=12).contains(n));
        let mut single = rest.chars();
        let code = match (named, function, single.next(), single.next()) {
            (Some(code), ..) => code,
            (None, Some(number), ..) => KeyCode::F(number),
            (None, None, Some(c), None) if !c.is_control() && c != ' ' => KeyCode::Char(c),
            _ => return Err(bad()),
        };
        // `shift-x` is written `X`.
        if held.contains(KeyModifiers::SHIFT) && matches!(code, KeyCode::Char(_)) {
            return Err(bad());
        }
        Ok(Self::of(KeyEvent::new(code, held)))
    }
}

/// Which keys do what, everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keymap {
    chords: BTreeMap<Action, Vec<Chord>>,
}

impl Default for Keymap {
    /// The keys of the table of actions.
    fn default() -> Self {
        let chords = |keys: &[&str]| keys.iter().filter_map(|key| key.parse().ok()).collect();
        Self { chords: ACTIONS.iter().map(|row| (row.action, chords(row.keys))).collect() }
    }
}

impl Keymap {
    /// Gives an action these keys and no others.
    pub fn set(&mut self, action: Action, chords: Vec<Chord>) {
        self.chords.insert(action, chords);
    }

    /// The keys of an action, the first one first.
    pub fn chords(&self, action: Action) -> &[Chord] {
        self.chords.get(&action).map_or(&[], Vec::as_slice)
    }

    /// The first key of an action, as the footer writes it.
    pub fn short(&self, action: Action) -> Option<String> {
        self.chords(action).first().map(|chord| chord.short())
    }

    /// What this chord does here: the innermost scope wins.
    pub fn find(&self, chord: Chord, scopes: &[Scope]) -> Option<Action> {
        scopes.iter().find_map(|scope| {
            let here = ACTIONS.iter().filter(|row| row.scope == *scope);
            here.map(|row| row.action).find(|action| self.chords(*action).contains(&chord))
        })
    }

    /// Two actions of one scope with the same key.
    pub fn conflict(&self) -> Option<(Action, Action, Chord)> {
        ACTIONS.iter().enumerate().find_map(|(at, row)| {
            let later = ACTIONS[at + 1..].iter().filter(|other| other.scope == row.scope);
            later.into_iter().find_map(|other| {
                let shared = self.chords(row.action).iter().find(|chord| self.chords(other.action).contains(chord));
                shared.map(|chord| (row.action, other.action, *chord))
            })
        })
    }
}
