//! Screens that are lists so far: the documents that they are about, and the messages.
//!
//! Owns what each of them lists, and the words on what will fill them.

use ratatui::layout::{Constraint, Layout, Rect};

use super::{Pane, Screen};
use crate::contracts::ChannelName;

/// What a screen lists.
#[derive(Debug, Clone, Copy)]
pub struct Listed {
    /// Documents whose keys begin so.
    pub prefixes: &'static [&'static str],
    /// The messages of this channel.
    pub channel: Option<ChannelName>,
    /// What the list of documents is called.
    pub documents: &'static str,
    /// What fills it; said where it is empty.
    pub filled_by: &'static str,
}

/// What a screen lists.
pub fn listed(screen: Screen) -> Listed {
    let (prefixes, channel, documents, filled_by): (&[&str], _, _, _) = match screen {
        Screen::Notes => (
            &["notes:"],
            Some(ChannelName::Audit),
            "Notes",
            "The worklist, the learnings and the product context appear here once the team writes them.",
        ),
        Screen::Builds => (
            &["tools:", "tool_requests:"],
            Some(ChannelName::BuilderResults),
            "Tools",
            "Tools, and what is being made, appear here once the service `builder` runs.",
        ),
        Screen::Roundtable => (
            &[],
            Some(ChannelName::Roundtable),
            "Debates",
            "The debate appears here once the service `roundtable` runs and a topic was handed in.",
        ),
        Screen::Trace => (
            &[],
            None,
            "Chain",
            "Select a message anywhere and press the key for its trace: all that came of it appears here.",
        ),
        Screen::System | Screen::Deck | Screen::Channels | Screen::Mind | Screen::Experiments | Screen::Alerts => (
            &["budgets:", "fullsend:"],
            Some(ChannelName::DeadLetter),
            "State",
            "Budgets and the state of the team appear here once there are any.",
        ),
    };
    Listed { prefixes, channel, documents, filled_by }
}

/// Where its panes stand.
pub fn panes(screen: Screen, area: Rect) -> Vec<(Pane, Rect)> {
    if listed(screen).channel.is_none() {
        return vec![(Pane::Documents(screen), area)];
    }
    let [documents, messages] = if area.width >= 120 {
        Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(area)
    } else {
        Layout::vertical([Constraint::Fill(1), Constraint::Fill(1)]).areas(area)
    };
    vec![(Pane::Documents(screen), documents), (Pane::Messages(screen), messages)]
}
