//! Settings of the control room: how a person is told, and how much is kept in memory.
//!
//! Owns their table. Keys and themes are files of their own (`keys.toml`, `themes/`).

use super::setting::{Row, Slot, choice};

choice! {
    /// Whether something is done.
    Switch {
        /// It is.
        On = "on",
        /// It is not.
        Off = "off",
    }
}

/// Settings of the control room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomConfig {
    /// Whether the bell rings when something needs the person.
    pub bell: Switch,
    /// Whether the terminal notifies him (OSC 9).
    pub notification: Switch,
    /// Whether the window's title counts what waits.
    pub title: Switch,
    /// Whether lines are drawn with `+-|` and nothing moves.
    pub plain: Switch,
    /// Messages that are kept in memory; what is older is read back from the streams.
    pub lines: u64,
}

impl Default for RoomConfig {
    fn default() -> Self {
        Self { bell: Switch::On, notification: Switch::On, title: Switch::On, plain: Switch::Off, lines: 100_000 }
    }
}

impl RoomConfig {
    pub(super) fn rows(&mut self) -> Vec<Row<'_>> {
        vec![
            Row::new(
                "room.bell",
                Slot::Choice(&mut self.bell),
                "Whether the control room rings the terminal's bell when something needs a person.",
            ),
            Row::new(
                "room.notification",
                Slot::Choice(&mut self.notification),
                "Whether the control room has the terminal notify (OSC 9) when something needs a person.",
            ),
            Row::new(
                "room.title",
                Slot::Choice(&mut self.title),
                "Whether the title of the control room's window counts what waits for a person.",
            ),
            Row::new(
                "room.plain",
                Slot::Choice(&mut self.plain),
                "Whether the control room draws with letters only, and nothing moves, for screen readers and old terminals. FULLSEND_PLAIN, ACCESSIBILITY_ENABLED or TERM=dumb in the environment ask for it too.",
            ),
            Row::new(
                "room.lines",
                Slot::Count(&mut self.lines, 1_000..=1_000_000),
                "Messages that the control room keeps in memory. What is older is read back when somebody scrolls there.",
            ),
        ]
    }
}
