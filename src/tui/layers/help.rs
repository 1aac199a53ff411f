//! Help: the keys of this place first, then those that work everywhere. Generated from the table of actions.

use ratatui::Frame;
use ratatui::layout::Rect;

use super::{Input, Then};
use crate::tui::actions::{ACTIONS, Action, Row, Scope, scopes};
use crate::tui::app::Model;
use crate::tui::draw::popup;
use crate::tui::draw::text::{self, Piece};
use crate::tui::theme::Role;

/// Columns of its frame.
const WIDTH: u16 = 78;

/// How far it is scrolled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Help {
    top: usize,
}

impl Help {
    pub(super) fn act(&mut self, model: &mut Model, input: &Input) -> Then {
        let area = model.body();
        let rows = popup::laid(&lines(model), popup::inside(area, WIDTH)).len();
        let height = usize::from(area.height.saturating_sub(2)).max(1);
        let most = rows.saturating_sub(height);
        match input {
            Input::Act(Action::HelpPageUp) => self.top = self.top.saturating_sub(height),
            Input::Act(Action::HelpPageDown) => self.top = (self.top + height).min(most),
            Input::Act(Action::HelpFirst) => self.top = 0,
            Input::Act(Action::HelpLast) => self.top = most,
            Input::Act(Action::HelpUp) => self.top = self.top.saturating_sub(1),
            Input::Act(Action::HelpDown) => self.top = (self.top + 1).min(most),
            Input::Wheel(by) => self.top = self.top.saturating_add_signed(*by).min(most),
            Input::Act(Action::Close) => return Then::close(),
            _ => {}
        }
        Then::stay()
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>, area: Rect, model: &Model) {
        popup::scrolled(frame, area, model, "Help", &lines(model), self.top, WIDTH);
    }
}

/// Every action that works here, scope by scope, the innermost first, each with what it does; then those of layers, in few words: there,
/// this same help has all of them.
fn lines(model: &Model) -> Vec<Vec<Piece>> {
    let here = scopes(model.screen, model.store.playing.is_some());
    let mut further: Vec<Scope> = ACTIONS.iter().map(|row| row.scope).filter(|it| !here.contains(it)).collect();
    further.dedup();
    further.retain(|scope| !matches!(scope, Scope::Screen(_) | Scope::Replay));
    let mut lines = Vec::new();
    for scope in here {
        let rows: Vec<_> = ACTIONS.iter().filter(|row| row.scope == scope).collect();
        if rows.is_empty() {
            continue;
        }
        lines.push(vec![Piece::new(Role::Title, scope.title())]);
        for row in rows {
            lines.push(vec![
                Piece::new(Role::Accent, format!("  {} ", text::padded(&keys(model, row), 16))),
                Piece::new(Role::Text, row.help.to_owned()),
            ]);
        }
        lines.push(vec![]);
    }
    for scope in further {
        let rows = ACTIONS.iter().filter(|row| row.scope == scope);
        let words: Vec<String> = rows.map(|row| format!("{} {}", keys(model, row), row.short)).collect();
        lines.push(vec![
            Piece::new(Role::Title, text::padded(&scope.title(), 18)),
            Piece::new(Role::Text, format!(" {}", words.join(" · "))),
        ]);
    }
    lines
}

fn keys(model: &Model, row: &Row) -> String {
    model.keymap.chords(row.action).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
