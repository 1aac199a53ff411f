//! The frame: the header, which says how things stand, and the footer, which says which keys work now.

use ratatui::Frame;
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

use super::text::{self, Piece};
use crate::contracts::money::show_usd;
use crate::contracts::untrusted::sanitize_line;
use crate::tui::actions::{ACTIONS, Action, Row, Scope, scopes};
use crate::tui::app::{Model, Toast, says};
use crate::tui::screens::Screen;
use crate::tui::store::EngineStatus;
use crate::tui::theme::Role;

/// From so many columns on the clock says whose time it is.
const ZONED: u16 = 100;

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
    // Each part whole, and as short as it can be.
    let needs = match documents.needs().len() {
        0 => (Role::Header, "needs you: 0".to_owned(), "needs 0".to_owned()),
        count => (Role::Danger, format!("NEEDS YOU {count}"), format!("NEEDS YOU {count}")),
    };
    let alerts = match (model.store.alerts.unseen(), model.store.alerts.open().len()) {
        (0, 0) => (Role::Header, "no alerts".to_owned(), String::new()),
        (0, count) => (Role::Header, format!("△ {count}"), format!("△ {count}")),
        (count, _) => (Role::Danger, format!("▲ {count}"), format!("▲ {count}")),
    };
    let engine = match away(model) {
        Some(away) => (Role::Danger, away),
        None => (Role::Header, format!("{workspace}{}", about.engine)),
    };
    let filter = if model.filter.is_empty() { String::new() } else { format!("/{}", sanitize_line(&model.filter, 60)) };
    // A part that is whole, what is left of it where there is no room, and how soon that is taken; the least first, 0 never.
    let same = |role: Role, words: String| (role, words.clone(), words);
    let mut parts = vec![
        (0, same(engine.0, engine.1)),
        (0, same(mode.0, mode.1)),
        (4, (Role::Header, text::clipped(&about.providers, 24), String::new())),
        (2, (Role::Header, format!("{}{limit}", show_usd(spent)), show_usd(spent))),
        (5, (Role::Match, text::clipped(&filter, 40), text::clipped(&filter, 14))),
        (1, needs),
        (3, alerts),
    ];
    let mut clock = text::time(model.now.wall, model);
    if area.width >= ZONED {
        clock = format!("{clock} {}", about.zone.short(model.now.wall));
    }
    let room = usize::from(area.width).saturating_sub(clock.width() + 2);
    let width = |parts: &[(u8, (Role, String, String))]| {
        let shown = parts.iter().map(|(_, (_, it, _))| it.width()).filter(|width| *width > 0);
        shown.map(|width| width + 3).sum::<usize>() + 10
    };
    for turn in 1..=5 {
        if width(&parts) > room {
            let part = parts.iter_mut().filter(|(soon, _)| *soon == turn);
            part.for_each(|(_, (_, words, short))| words.clone_from(short));
        }
    }
    if width(&parts) > room {
        // What was spent is on System as well.
        parts.retain(|(soon, _)| *soon != 2);
    }
    parts.retain(|(_, (_, words, _))| !words.is_empty());
    let between = if about.is_plain { " | " } else { " │ " };
    let mut pieces = vec![Piece::new(Role::Header, " FULLSEND ".to_owned())];
    for (at, (_, (role, words, _))) in parts.into_iter().enumerate() {
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

/// Rows that a word on what happened takes at most.
const TOLD: usize = 3;

/// Draws a word on what happened, with the ways out and to all keys beside it. What does not fit goes on in the rows above.
fn toast(frame: &mut Frame<'_>, area: Rect, model: &Model, toast: &Toast) {
    let keys = keys(model, &rows(model, true), area.width);
    let taken: usize = keys.iter().map(|piece| piece.words.width()).sum();
    let room = area.width.saturating_sub(u16::try_from(taken + 2).unwrap_or(0));
    let mut lines = text::wrapped(&toast.words, room.max(20));
    if lines.len() > TOLD {
        let rest = lines.split_off(TOLD - 1).join(" ");
        lines.push(text::clipped(&rest, usize::from(room)));
    }
    let count = u16::try_from(lines.len()).unwrap_or(1).min(area.y + 1);
    for (at, line) in (0..count).zip(lines) {
        let row = Rect { y: area.y + 1 + at - count, ..area };
        frame.buffer_mut().set_style(row, model.theme.background.patch(model.theme.style(Role::Footer)));
        let words = text::padded(&format!(" {line}"), usize::from(area.width));
        bar(frame, row, model, Role::Footer, &[Piece::new(toast.role, words)]);
    }
    let x = area.right().saturating_sub(u16::try_from(taken).unwrap_or(area.width));
    bar(frame, Rect { x, width: area.right().saturating_sub(x), ..area }, model, Role::Footer, &keys);
}

/// Draws the footer: a word on what happened, or the keys that work now, from the table of actions.
pub fn footer(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    frame.buffer_mut().set_style(area, model.theme.background.patch(model.theme.style(Role::Footer)));
    if let Some(told) = &model.toast {
        return toast(frame, area, model, told);
    }
    let tabs = if model.layers.is_empty() { tabs(model, area.width) } else { Vec::new() };
    let tabs_width: usize = tabs.iter().map(|piece| piece.words.width()).sum();
    let room = area.width.saturating_sub(u16::try_from(tabs_width).unwrap_or(0));
    let pieces = keys(model, &rows(model, false), room);
    bar(frame, area, model, Role::Footer, &pieces);
    let x = area.x + area.width.saturating_sub(u16::try_from(tabs_width).unwrap_or(area.width));
    let right = Rect { x, width: area.right().saturating_sub(x), ..area };
    bar(frame, right, model, Role::Footer, &tabs);
}

/// The actions that the footer shows here, those first that must not be missing: the ways out and to all other keys, what something waits
/// for, the keys of this screen, and then the rest.
fn rows(model: &Model, is_least: bool) -> Vec<&'static Row> {
    let scopes = match model.layers.last() {
        Some(layer) => vec![Scope::In(layer.kind()), Scope::Layer],
        None => scopes(model.screen, model.store.playing.is_some()),
    };
    let is_out = |row: &Row| matches!(row.action, Action::Help | Action::Quit | Action::Close);
    let is_shown = |row: &&Row| {
        let is_possible = !(model.store.playing.is_some() && says(row.action)) && has_object(model, row.action);
        row.footer > 0 && scopes.contains(&row.scope) && is_possible && (!is_least || is_out(row))
    };
    let mut rows: Vec<_> = ACTIONS.iter().filter(is_shown).collect();
    let documents = &model.store.documents;
    rows.sort_by_key(|row| {
        let is_waited_for = match row.action {
            Action::Hold => documents.is_held(),
            Action::NeedsYou => !documents.needs().is_empty(),
            _ => false,
        };
        let turn = match row.scope {
            _ if is_out(row) => 0,
            _ if is_waited_for => 1,
            Scope::Screen(_) | Scope::Replay => 2,
            _ => 3,
        };
        (turn, row.footer)
    });
    rows
}

/// Whether there is something that it could be done with.
fn has_object(model: &Model, action: Action) -> bool {
    let store = &model.store;
    let has_experiment = || store.experiments.all().next().is_some();
    match action {
        Action::Kill | Action::PauseExperiment | Action::RecordNumber | Action::EditSpec | Action::CloneSpec => {
            has_experiment()
        }
        Action::RunExperiment | Action::NextMetric => has_experiment(),
        Action::SampleExperiment => {
            crate::tui::screens::experiments::selected(model).is_some_and(|it| it.writes_mail == Some(true))
        }
        Action::SampleNeed => crate::tui::layers::needs_you::can_sample(model),
        Action::AcknowledgeAlert | Action::ResolveAlert => !store.alerts.open().is_empty(),
        Action::ReplayLetter | Action::DropLetter => crate::tui::screens::system::open_letters(model) > 0,
        _ => true,
    }
}

/// The keys of these actions and what they do, as many as have room, in the order of the table.
fn keys(model: &Model, rows: &[&'static Row], width: u16) -> Vec<Piece> {
    let word = |row: &Row| {
        let is_held = row.action == Action::Hold && model.store.documents.is_held();
        let key = model.keymap.short(row.action)?;
        Some((key, format!(" {}  ", if is_held { "go on" } else { row.short })))
    };
    let mut room = usize::from(width).saturating_sub(1);
    let mut shown = rows.to_vec();
    shown.retain(|row| {
        let wide = word(row).map_or(usize::MAX, |(key, word)| key.width() + word.width());
        let fits = wide <= room;
        room -= if fits { wide } else { 0 };
        fits
    });
    shown.sort_by_key(|row| row.footer);
    let mut pieces = vec![Piece::new(Role::Footer, " ")];
    for (key, word) in shown.into_iter().filter_map(word) {
        pieces.push(Piece::new(Role::Accent, key));
        pieces.push(Piece::new(Role::Footer, word));
    }
    pieces
}

/// The screens with their keys; where there is little room the one that is shown, and the first and the last key.
fn tabs(model: &Model, width: u16) -> Vec<Piece> {
    let is_wide = width >= 180;
    let mut pieces = Vec::new();
    if (70..100).contains(&width) {
        let key = |action| model.keymap.short(action).unwrap_or_default();
        let here = ACTIONS.iter().find(|row| crate::tui::actions::screen_of(row.action) == Some(model.screen));
        let here = here.map(|row| format!("{} {} ", key(row.action), model.screen.title())).unwrap_or_default();
        let all = format!("{}-{} ", key(Action::Deck), key(Action::System));
        return vec![Piece::new(Role::Accent, here), Piece::new(Role::Footer, all)];
    }
    for screen in Screen::ALL {
        let is_here = screen == model.screen;
        let action = ACTIONS.iter().find(|row| crate::tui::actions::screen_of(row.action) == Some(screen));
        let key = action.and_then(|row| model.keymap.short(row.action)).unwrap_or_default();
        let words = if is_wide || is_here { format!("{key} {} ", screen.title()) } else { format!("{key} ") };
        pieces.push(Piece::new(if is_here { Role::Accent } else { Role::Footer }, words));
    }
    if width < 70 { Vec::new() } else { pieces }
}
