//! The frame: the header, which says how things stand, and the footer, which says which keys work now.

use ratatui::Frame;
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

use super::text::{self, Piece};
use crate::contracts::money::show_usd;
use crate::tui::actions::{ACTIONS, Action, Row, Scope, scopes};
use crate::tui::app::{Model, says};
use crate::tui::screens::Screen;
use crate::tui::store::EngineStatus;
use crate::tui::theme::Role;

/// Header, screen and footer.
pub fn parts(area: Rect) -> (Rect, Rect, Rect) {
    let head = area.height.min(1);
    let foot = area.height.saturating_sub(head).min(1);
    let body = area.height - head - foot;
    (
        Rect { height: head, ..area },
        Rect { y: area.y + head, height: body, ..area },
        Rect { y: area.y + head + body, height: foot, ..area },
    )
}

/// For how long the bus has been away, in words.
pub fn away(model: &Model) -> Option<String> {
    let EngineStatus::Away { since, .. } = &model.store.engine else { return None };
    let seconds = (model.now.wall - *since).num_seconds().max(0);
    Some(format!("reconnecting {seconds}s"))
}

/// Draws the header. What matters least goes first where there is no room.
pub fn header(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let documents = &model.store.documents;
    let about = &model.about;
    let (spent, ordered) = documents.spent_on(model.now.wall);
    let limit = ordered.or(about.day_limit).map(|limit| format!(" of {}", show_usd(limit))).unwrap_or_default();
    let workspace = if about.workspace.is_empty() { String::new() } else { format!("{} ", about.workspace) };
    let mode = if documents.is_held() {
        let by = documents.held_by().map(|by| format!(" by {by}")).unwrap_or_default();
        (Role::Danger, format!("HOLD{}", text::clipped(&by, 30)))
    } else {
        (Role::Header, about.mode.clone())
    };
    let needs = match documents.needs().len() {
        0 => (Role::Header, "needs you: 0".to_owned()),
        count => (Role::Danger, format!("NEEDS YOU {count}")),
    };
    let alerts = match (model.store.alerts.unseen(), model.store.alerts.open().len()) {
        (0, 0) => (Role::Header, "no alerts".to_owned()),
        (0, count) => (Role::Header, format!("△ {count}")),
        (count, _) => (Role::Danger, format!("▲ {count}")),
    };
    let engine = match away(model) {
        Some(away) => (Role::Danger, away),
        None => (Role::Header, format!("{workspace}{}", about.engine)),
    };
    // The number says how soon a part goes where there is no room; 0 stays.
    let mut parts = vec![
        (0, engine),
        (0, mode),
        (1, (Role::Header, text::clipped(&about.providers, 24))),
        (2, (Role::Header, format!("{}{limit}", show_usd(spent)))),
        (0, needs),
        (3, alerts),
    ];
    let clock = text::time(model.now.wall, model);
    let room = usize::from(area.width).saturating_sub(clock.width() + 2);
    let width = |parts: &[(u8, (Role, String))]| parts.iter().map(|(_, (_, it))| it.width() + 3).sum::<usize>() + 10;
    for turn in 1..=3 {
        if width(&parts) > room {
            parts.retain(|(soon, _)| *soon != turn);
        }
    }
    let between = if about.is_plain { " | " } else { " │ " };
    let mut pieces = vec![Piece::new(Role::Header, " FULLSEND ".to_owned())];
    for (at, (_, (role, words))) in parts.into_iter().enumerate() {
        pieces.push(Piece::new(Role::Header, if at == 0 { " " } else { between }));
        pieces.push(Piece::new(role, words));
    }
    frame.buffer_mut().set_style(area, model.theme.background.patch(model.theme.style(Role::Header)));
    let left = Rect { width: area.width.saturating_sub(u16::try_from(clock.width() + 2).unwrap_or(10)), ..area };
    bar(frame, left, model, Role::Header, &pieces);
    let right = Rect { x: left.right(), width: area.width - left.width, ..area };
    bar(frame, right, model, Role::Header, &[Piece::new(Role::Header, format!(" {clock}"))]);
}

/// A line on the ground of the header or the footer.
fn bar(frame: &mut Frame<'_>, area: Rect, model: &Model, ground: Role, pieces: &[Piece]) {
    text::draw(frame, area, model, pieces, None);
    if let Some(colour) = model.theme.style(ground).bg {
        let area = area.intersection(frame.area());
        frame.buffer_mut().set_style(area, ratatui::style::Style::new().bg(colour));
    }
}

/// Draws the footer: a word on what happened, or the keys that work now, from the table of actions.
pub fn footer(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    frame.buffer_mut().set_style(area, model.theme.background.patch(model.theme.style(Role::Footer)));
    if let Some(toast) = &model.toast {
        bar(frame, area, model, Role::Footer, &[Piece::new(toast.role, format!(" {}", toast.words))]);
        return;
    }
    let scopes = match model.layers.last() {
        Some(layer) => vec![Scope::In(layer.kind()), Scope::Layer],
        None => scopes(model.screen, model.store.playing.is_some()),
    };
    let mut rows: Vec<_> = ACTIONS.iter().filter(|row| row.footer > 0 && scopes.contains(&row.scope)).collect();
    if model.store.playing.is_some() {
        rows.retain(|row| !says(row.action));
    }
    let tabs = if model.layers.is_empty() { tabs(model, area.width) } else { Vec::new() };
    let tabs_width: usize = tabs.iter().map(|piece| piece.words.width()).sum();
    let mut room = usize::from(area.width).saturating_sub(tabs_width + 1);
    let word = |row: &Row| {
        let is_held = row.action == Action::Hold && model.store.documents.is_held();
        let key = model.keymap.short(row.action)?;
        Some((key, format!(" {}  ", if is_held { "go on" } else { row.short })))
    };
    // The ways out and to all other keys are never those that have no room.
    rows.sort_by_key(|row| (!matches!(row.action, Action::Help | Action::Quit | Action::Close), row.footer));
    rows.retain(|row| {
        let wide = word(row).map_or(usize::MAX, |(key, word)| key.width() + word.width());
        let fits = wide <= room;
        room -= if fits { wide } else { 0 };
        fits
    });
    rows.sort_by_key(|row| row.footer);
    let mut pieces = vec![Piece::new(Role::Footer, " ")];
    for (key, word) in rows.into_iter().filter_map(word) {
        pieces.push(Piece::new(Role::Accent, key));
        pieces.push(Piece::new(Role::Footer, word));
    }
    bar(frame, area, model, Role::Footer, &pieces);
    let x = area.x + area.width.saturating_sub(u16::try_from(tabs_width).unwrap_or(area.width));
    let right = Rect { x, width: area.right().saturating_sub(x), ..area };
    bar(frame, right, model, Role::Footer, &tabs);
}

/// The screens with their keys, as many as have room beside the keys.
fn tabs(model: &Model, width: u16) -> Vec<Piece> {
    let is_wide = width >= 180;
    let mut pieces = Vec::new();
    for screen in Screen::ALL {
        let is_here = screen == model.screen;
        let action = ACTIONS.iter().find(|row| crate::tui::actions::screen_of(row.action) == Some(screen));
        let key = action.and_then(|row| model.keymap.short(row.action)).unwrap_or_default();
        let words = if is_wide || is_here { format!("{key} {} ", screen.title()) } else { format!("{key} ") };
        pieces.push(Piece::new(if is_here { Role::Accent } else { Role::Footer }, words));
    }
    if width < 70 { Vec::new() } else { pieces }
}
