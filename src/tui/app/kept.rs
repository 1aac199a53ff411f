//! What the room remembers from one start to the next: screen, filter, theme, what was being written.
//!
//! Must never be needed: a file that is missing or torn is an empty memory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::contracts::notes::NoteName;
use crate::tui::screens::Screen;

/// What is remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// The screen that was shown.
    pub screen: Screen,
    /// The filter.
    pub filter: String,
    /// The theme's name.
    pub theme: String,
    /// By how many columns the first column of a screen was made wider, or narrower.
    pub widths: BTreeMap<Screen, i16>,
    /// Whether the mouse selected here.
    pub has_mouse: bool,
    /// The version whose welcome was seen.
    pub welcomed: String,
    /// What was being written.
    pub draft: Option<Draft>,
    /// What was said, the newest last.
    pub said: Vec<Draft>,
    /// What was being written of notes.
    pub notes: BTreeMap<NoteName, NoteDraft>,
}

/// A note's text that is being written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteDraft {
    /// The version that it is made from.
    pub base: u64,
    /// The text.
    pub text: String,
}

/// Something written, or being written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// The channel, short.
    pub channel: String,
    /// The message type.
    pub kind: String,
    /// The text.
    pub text: String,
}
