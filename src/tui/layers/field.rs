//! A text field: one line or several.
//!
//! Must never draw the cursor where the terminal's own one is.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use tui_textarea::{CursorMove, TextArea, WrapMode};

use crate::contracts::untrusted::is_unseen;
use crate::tui::app::Model;
use crate::tui::theme::Role;

/// Most bytes that a field takes: more than a body may have.
pub const MOST: usize = 300_000;

/// A text field.
#[derive(Debug, Clone, Default)]
pub struct Field {
    area: TextArea<'static>,
}

impl Field {
    /// A field with this text, the cursor at its end.
    pub fn with(text: &str) -> Self {
        let mut area = TextArea::new(text.split('\n').map(str::to_owned).collect());
        area.move_cursor(CursorMove::Bottom);
        area.move_cursor(CursorMove::End);
        Self { area }
    }

    /// A field with this text, the cursor at its start.
    pub fn at_start(text: &str) -> Self {
        Self { area: TextArea::new(text.split('\n').map(str::to_owned).collect()) }
    }

    /// The text.
    pub fn text(&self) -> String {
        self.area.lines().join("\n")
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.area.is_empty()
    }

    /// Takes a key. Returns whether the text changed.
    pub fn key(&mut self, key: KeyEvent) -> bool {
        let adds = matches!(key.code, KeyCode::Char(_) | KeyCode::Enter | KeyCode::Tab);
        let is_command = key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
        (self.len() < MOST || !adds || is_command) && self.area.input(key)
    }

    /// Takes text, as far as there is room.
    pub fn paste(&mut self, text: &str) {
        if self.len() + text.len() <= MOST {
            self.area.insert_str(text);
        }
    }

    fn len(&self) -> usize {
        self.area.lines().iter().map(|line| line.len() + 1).sum()
    }

    /// As it may be drawn: characters that nobody would see have a sign in their place, each one, so that the cursor stays right.
    fn harmless(&self) -> TextArea<'static> {
        let is_odd = |c: char| is_unseen(c) && c != '\t';
        if !self.area.lines().iter().any(|line| line.contains(is_odd)) {
            return self.area.clone();
        }
        let lines = self.area.lines().iter().map(|line| line.replace(is_odd, "\u{fffd}"));
        let mut field = TextArea::new(lines.collect());
        let cursor = self.area.cursor();
        let whole = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
        field.move_cursor(CursorMove::Jump(whole(cursor.0), whole(cursor.1)));
        field
    }

    /// Draws it.
    pub fn draw(&self, frame: &mut Frame<'_>, area: Rect, model: &Model, hint: &str) {
        let mut field = self.harmless();
        field.set_style(model.theme.background.patch(model.theme.style(Role::Text)));
        field.set_cursor_line_style(Style::new());
        field.set_cursor_style(Style::new().add_modifier(Modifier::REVERSED));
        field.set_placeholder_text(hint);
        field.set_placeholder_style(model.theme.style(Role::Muted));
        field.set_wrap_mode(WrapMode::WordOrGlyph);
        frame.render_widget(&field, area);
    }
}
