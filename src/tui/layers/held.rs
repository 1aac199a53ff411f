//! Held: the key of the hold was pressed while the team is held. It never lets go by itself: this asks what is meant.
//!
//! Must never let the team go on at the key that held it.

use ratatui::Frame;
use ratatui::layout::Rect;

use super::{Input, Then};
use crate::tui::actions::Action;
use crate::tui::app::{Model, let_go, stop_runs};
use crate::tui::draw::popup;
use crate::tui::draw::text::Piece;
use crate::tui::theme::Role;

pub(super) fn act(model: &mut Model, input: &Input) -> Then {
    match input {
        Input::Act(Action::HeldStop) => Then::close().and(stop_runs(model)),
        Input::Act(Action::HeldGo) => Then::close().and(let_go(model)),
        Input::Act(Action::Close) => Then::close(),
        _ => Then::stay(),
    }
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let key = |action| model.keymap.short(action).unwrap_or_default();
    let documents = &model.store.documents;
    let by = documents.held_by().map(|by| format!(" by {by}")).unwrap_or_default();
    let line = |action: Action, words: String| {
        vec![Piece::new(Role::Accent, format!("  {}  ", key(action))), Piece::new(Role::Text, words)]
    };
    let lines = vec![
        vec![Piece::new(Role::Text, format!("The team is held{by}: nothing new starts."))],
        vec![],
        line(Action::HeldStop, format!("stop what runs ({})", documents.runs("").count())),
        line(Action::HeldGo, "let the team go on".to_owned()),
        line(Action::Close, "leave it held".to_owned()),
    ];
    popup::lines(frame, area, model, "Hold", &lines, 64);
}
