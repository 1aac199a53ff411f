//! An edit of what would happen on a yes: the intents as JSON, checked as they are written, and shown against the proposal.
//!
//! Must never let an edit be approved that cannot be done, or whose difference was not on the screen.

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;
use similar::{ChangeTag, TextDiff};

use super::super::field::Field;
use crate::approvals;
use crate::contracts::messages::{Intent, Proposal};
use crate::contracts::untrusted::{sanitize, sanitize_line};
use crate::tui::app::Model;
use crate::tui::draw::text::Piece;
use crate::tui::theme::Role;

/// Lines around a change that are shown.
const AROUND: usize = 3;

/// The intents while they are changed.
#[derive(Debug, Clone)]
pub struct Edit {
    field: Field,
}

/// An edit that can be done, and what it changes.
#[derive(Debug, Clone)]
pub struct Review {
    /// What would happen instead.
    pub intents: Vec<Intent>,
    /// As it was written.
    pub text: String,
    lines: Vec<Vec<Piece>>,
}

impl Edit {
    /// Begins with what was proposed.
    pub fn of(intents: &[Intent]) -> Self {
        Self::with(&pretty(intents))
    }

    /// Goes on with this text.
    pub fn with(text: &str) -> Self {
        Self { field: Field::at_start(text) }
    }

    /// The text.
    pub fn text(&self) -> String {
        self.field.text()
    }

    pub(super) fn replace(&mut self, text: &str) {
        self.field = Field::at_start(&sanitize(text, usize::MAX));
    }

    pub(super) fn key(&mut self, key: KeyEvent) {
        self.field.key(key);
    }

    pub(super) fn paste(&mut self, text: &str) {
        self.field.paste(text);
    }

    /// What is wrong with it, or that nothing is.
    pub(super) fn told(&self) -> Piece {
        match read(&self.text()) {
            Ok(intents) => Piece::new(Role::Ok, format!("✓ intents: {}; save to see what changes", intents.len())),
            Err(why) => Piece::new(Role::Danger, format!("✗ {why}")),
        }
    }

    /// The edit against the proposal.
    ///
    /// # Errors
    /// Where it changes nothing, or could never be done; in words.
    pub fn review(&self, proposal: &Proposal) -> Result<Review, String> {
        let text = self.text();
        let intents = read(&text)?;
        if intents == proposal.intents {
            return Err("nothing was changed; approve says yes to it as it is".to_owned());
        }
        approvals::check(&proposal.proposer, &intents).map_err(|bad| sanitize_line(&bad.to_string(), 300))?;
        let mut lines = vec![
            vec![Piece::new(Role::Title, "What your edit changes")],
            vec![Piece::new(Role::Muted, "A yes is to the edit, not to what was proposed.")],
            vec![],
        ];
        lines.extend(difference(&pretty(&proposal.intents), &pretty(&intents)));
        Ok(Review { intents, text, lines })
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>, area: Rect, model: &Model) {
        self.field.draw(frame, area, model, "the intents, as JSON");
    }
}

impl Review {
    pub(super) fn lines(&self) -> Vec<Vec<Piece>> {
        self.lines.clone()
    }
}

fn read(text: &str) -> Result<Vec<Intent>, String> {
    let mut reader = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut reader)
        .map_err(|err| format!("no intents: {}", sanitize_line(&err.to_string(), 300)))
}

fn pretty(intents: &[Intent]) -> String {
    serde_json::to_string_pretty(intents).unwrap_or_default()
}

/// What differs between two texts, line by line, harmless.
pub fn difference(was: &str, now: &str) -> Vec<Vec<Piece>> {
    let diff = TextDiff::from_lines(was, now);
    let mut lines = Vec::new();
    for (at, group) in diff.grouped_ops(AROUND).iter().enumerate() {
        if at > 0 {
            lines.push(vec![Piece::new(Role::Muted, "  …")]);
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let (sign, role) = match change.tag() {
                ChangeTag::Delete => ("- ", Role::Danger),
                ChangeTag::Insert => ("+ ", Role::Ok),
                ChangeTag::Equal => ("  ", Role::Muted),
            };
            lines.push(vec![Piece::new(role, sign), Piece::new(role, sanitize_line(change.value(), usize::MAX))]);
        }
    }
    lines
}
