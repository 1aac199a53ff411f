//! Welcome: what this is, in a few lines; shown once for each version.

use ratatui::Frame;
use ratatui::layout::Rect;

use super::{Input, Then};
use crate::tui::actions::Action;
use crate::tui::app::Model;
use crate::tui::draw::popup;
use crate::tui::draw::text::Piece;
use crate::tui::theme::Role;

pub(super) fn act(model: &mut Model, input: &Input) -> Then {
    if let Input::Act(Action::WelcomeDone | Action::Close) = input {
        env!("CARGO_PKG_VERSION").clone_into(&mut model.welcomed);
        model.is_unsaved = true;
        return Then::close();
    }
    Then::stay()
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let about = &model.about;
    let key = |action| model.keymap.short(action).unwrap_or_default();
    let team = if about.is_inside { "runs inside this program" } else { "runs elsewhere; this is a window on it" };
    let line =
        |head: &str, words: String| vec![Piece::new(Role::Muted, format!("{head:9}")), Piece::new(Role::Text, words)];
    let lines = vec![
        line("Team", format!("{team}, on {} ({})", about.engine, about.location)),
        line(
            "Minds",
            format!("{}; mode {}: what the policy does not allow waits for you", about.providers, about.mode),
        ),
        line(
            "Say it",
            format!("{} then type, then {}: an idea, a question, a link", key(Action::Inject), key(Action::Send)),
        ),
        line(
            "Answer",
            format!("{} shows what waits for you; {} shows all keys", key(Action::NeedsYou), key(Action::Help)),
        ),
        line("Files", about.home.clone()),
        vec![],
        vec![Piece::new(Role::Accent, format!("{} begins", key(Action::WelcomeDone)))],
    ];
    popup::lines(frame, area, model, "Fullsend", &lines, 76);
}
