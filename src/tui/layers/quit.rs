//! Quit: stop the team, or leave it running without a screen. A team of another process goes on unless it is told to stop.

use ratatui::Frame;
use ratatui::layout::Rect;

use super::{Input, Then};
use crate::contracts::lifecycle::ExperimentState;
use crate::tui::actions::Action;
use crate::tui::app::{Effect, End, Model};
use crate::tui::draw::popup;
use crate::tui::draw::text::Piece;
use crate::tui::theme::Role;

/// Experiments that do something now.
fn running(model: &Model) -> usize {
    let runs = |state| matches!(state, Some(ExperimentState::Running | ExperimentState::Measuring));
    model.store.experiments.all().filter(|it| runs(it.state)).count()
}

/// What is done unless something else is said: where something runs, or others sit at it, it goes on.
pub fn default(model: &Model) -> End {
    if running(model) > 0 || !model.about.is_inside { End::Leave } else { End::Stop }
}

pub(super) fn act(model: &mut Model, input: &Input) -> Then {
    let end = match input {
        Input::Act(Action::QuitStop) => End::Stop,
        Input::Act(Action::QuitLeave) => End::Leave,
        Input::Act(Action::QuitDefault) => default(model),
        Input::Act(Action::Close) => return Then::close(),
        _ => return Then::stay(),
    };
    Then::close().and([Effect::Keep(Box::new(model.kept())), Effect::Quit(end)])
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let running = running(model);
    let what = match running {
        0 => "No experiment is running.".to_owned(),
        1 => "One experiment is running; it is told before anything stops.".to_owned(),
        count => format!("{count} experiments are running; they are told before anything stops."),
    };
    let mark = |end| if default(model) == end { "▸ " } else { "  " };
    let key = |action| model.keymap.short(action).unwrap_or_default();
    let place = model.about.team.filter(|_| !model.about.is_inside);
    let place =
        place.map(|pid| format!("The team runs in process {pid}; this is a window on it. ")).unwrap_or_default();
    let lines = vec![
        vec![Piece::new(Role::Text, format!("{place}{what}"))],
        vec![],
        vec![
            Piece::new(Role::Accent, format!("{}{}  ", mark(End::Stop), key(Action::QuitStop))),
            Piece::new(Role::Text, "stop the team, and end".to_owned()),
        ],
        vec![
            Piece::new(Role::Accent, format!("{}{}  ", mark(End::Leave), key(Action::QuitLeave))),
            Piece::new(Role::Text, "leave it running without a screen; `fullsend` comes back to it".to_owned()),
        ],
        vec![
            Piece::new(Role::Accent, format!("  {}  ", key(Action::Close))),
            Piece::new(Role::Text, "stay".to_owned()),
        ],
    ];
    popup::lines(frame, area, model, "Quit", &lines, 70);
}
