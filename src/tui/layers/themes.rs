//! Themes: each is shown as it is selected; enter keeps it, esc takes the former one.

use ratatui::Frame;
use ratatui::layout::Rect;

use super::{Input, Then};
use crate::tui::actions::Action;
use crate::tui::app::Model;
use crate::tui::draw::text::{self, Piece};
use crate::tui::draw::{popup, rows};
use crate::tui::theme::{Role, Theme};

/// What is selected, and what held before.
#[derive(Debug, Clone)]
pub struct Themes {
    before: Theme,
}

impl Themes {
    /// Begins with the theme that holds.
    pub fn open(model: &Model) -> Self {
        Self { before: model.theme.clone() }
    }

    pub(super) fn act(&mut self, model: &mut Model, input: &Input) -> Then {
        match input {
            Input::Act(Action::ThemeUp) => select(model, -1),
            Input::Act(Action::ThemeDown) => select(model, 1),
            Input::Wheel(by) => select(model, *by),
            Input::Act(Action::ThemeKeep) => {
                model.is_unsaved = true;
                model.tell(Role::Text, format!("theme: {}", model.theme.name));
                return Then::close();
            }
            Input::Act(Action::Close) => {
                model.theme = self.before.clone();
                return Then::close();
            }
            _ => {}
        }
        Then::stay()
    }

    pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model) {
        let height = u16::try_from(model.themes.len() + 2).unwrap_or(u16::MAX);
        let inner = popup::frame(frame, area, model, "Themes", 40, height);
        let at = at(model);
        let first = (at + 1).saturating_sub(usize::from(inner.height));
        for (row, (index, theme)) in rows(inner).zip(model.themes.iter().enumerate().skip(first)) {
            let mark = if index == at { "▸ " } else { "  " };
            let pieces = [Piece::new(Role::Accent, mark), Piece::new(Role::Text, theme.name.clone())];
            text::draw(frame, row, model, &pieces, (index == at).then_some(Role::Selection));
        }
    }
}

fn at(model: &Model) -> usize {
    model.themes.iter().position(|theme| theme.name == model.theme.name).unwrap_or(0)
}

fn select(model: &mut Model, by: isize) {
    let to = at(model).saturating_add_signed(by).min(model.themes.len().saturating_sub(1));
    if let Some(theme) = model.themes.get(to) {
        model.theme = theme.clone();
    }
}
