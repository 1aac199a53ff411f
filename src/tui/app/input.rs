//! Keys, paste and mouse: which action is meant, or which field gets the text.
//!
//! Must never let a letter act while a text field has the keys.

use crossterm::event::{KeyEvent, KeyEventKind, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Position;

use super::lists::Step;
use super::{Effect, End, Model, TWICE, perform};
use crate::contracts::untrusted::{LINE_LIMIT, sanitize};
use crate::tui::actions::{Action, Scope, scopes};
use crate::tui::keys::Chord;
use crate::tui::layers::{self, Input};
use crate::tui::screens;

/// Lines that a turn of the wheel goes.
const WHEEL: isize = 3;

pub(super) fn key(model: &mut Model, event: KeyEvent) -> Vec<Effect> {
    if event.kind == KeyEventKind::Release {
        return Vec::new();
    }
    let chord = Chord::of(event);
    // A key that is held down is one order.
    if event.kind == KeyEventKind::Repeat
        && model.keymap.chords(Action::Hold).contains(&chord)
        && model.layers.is_empty()
    {
        return Vec::new();
    }
    if is_interrupt(chord) {
        return interrupt(model);
    }
    model.interrupted = None;
    if let Some(layer) = model.layers.last() {
        if layer.takes_text() && chord.is_text() {
            return layers::handle(model, Input::Key(event));
        }
        let scopes = [Scope::In(layer.kind()), Scope::Layer];
        return match model.keymap.find(chord, &scopes) {
            Some(action) => layers::handle(model, Input::Act(action)),
            None if layer.takes_text() => layers::handle(model, Input::Key(event)),
            None => Vec::new(),
        };
    }
    match model.keymap.find(chord, &scopes(model.screen, model.store.playing.is_some())) {
        Some(action) => perform::perform(model, action),
        None => Vec::new(),
    }
}

fn is_interrupt(chord: Chord) -> bool {
    "ctrl-c".parse() == Ok(chord)
}

/// Once: asks how to end. Twice: ends, whatever is open.
fn interrupt(model: &mut Model) -> Vec<Effect> {
    let twice = model.interrupted.is_some_and(|at| model.now.open.saturating_sub(at) <= TWICE);
    model.interrupted = Some(model.now.open);
    if twice {
        // A team that runs elsewhere is nobody's to stop by two keys.
        let end = if model.about.is_inside { End::Stop } else { End::Leave };
        return vec![Effect::Keep(Box::new(model.kept())), Effect::Quit(end)];
    }
    if model.layers.is_empty() {
        perform::perform(model, Action::Quit)
    } else {
        model.tell(crate::tui::theme::Role::Warn, "Ctrl-C again ends");
        Vec::new()
    }
}

pub(super) fn paste(model: &mut Model, text: &str) -> Vec<Effect> {
    if model.layers.last().is_some_and(layers::Layer::takes_text) {
        let clean = sanitize(text, LINE_LIMIT);
        return layers::handle(model, Input::Paste(clean));
    }
    Vec::new()
}

pub(super) fn mouse(model: &mut Model, event: MouseEvent) -> Vec<Effect> {
    if !model.layers.is_empty() {
        return match event.kind {
            MouseEventKind::ScrollUp => layers::handle(model, Input::Wheel(-WHEEL)),
            MouseEventKind::ScrollDown => layers::handle(model, Input::Wheel(WHEEL)),
            _ => Vec::new(),
        };
    }
    let at = Position::new(event.column, event.row);
    let panes = screens::panes(model, model.body());
    let Some((pane, area)) = panes.into_iter().find(|(_, area)| area.contains(at)) else { return Vec::new() };
    match event.kind {
        MouseEventKind::ScrollUp => return model.go(pane, area, Step::By(-WHEEL)),
        MouseEventKind::ScrollDown => return model.go(pane, area, Step::By(WHEEL)),
        MouseEventKind::Down(MouseButton::Left) => {
            model.focus.insert(model.screen, pane);
            if let Some(row) = usize::from(event.row).checked_sub(usize::from(area.y) + 1) {
                model.select_row(pane, area, row);
            }
        }
        _ => {}
    }
    Vec::new()
}
