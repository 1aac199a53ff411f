//! The banner of a replay: that it is one, where it stands, how fast it goes.

use ratatui::Frame;
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

use super::text::{self, Piece};
use crate::tui::app::Model;
use crate::tui::replay::Playing;
use crate::tui::theme::Role;

/// Columns of the shortest bar that tells something.
const LEAST: usize = 8;

/// What is left of a screen, and the line of the banner below it, while something is replayed.
pub fn part(model: &Model, body: Rect) -> (Rect, Option<Rect>) {
    if model.store.playing.is_none() || body.height == 0 {
        return (body, None);
    }
    let above = body.height - 1;
    (Rect { height: above, ..body }, Some(Rect { y: body.y + above, height: 1, ..body }))
}

/// Draws it.
pub fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let Some(playing) = &model.store.playing else { return };
    let state = match (playing.is_seeking, playing.goes_on, model.about.is_plain) {
        (true, ..) => "seeking".to_owned(),
        (_, true, false) => format!("▶ {}x", speed(playing.speed)),
        (_, true, true) => format!("playing {}x", speed(playing.speed)),
        (_, false, false) => format!("⏸ {}x", speed(playing.speed)),
        (_, false, true) => format!("stopped {}x", speed(playing.speed)),
    };
    let end = text::time(playing.span.1, model);
    let place = format!(" {} of {end} · {} of {} ", text::time(playing.at, model), playing.position, playing.total);
    let head = " REPLAY ";
    let room = |tail: &str| usize::from(area.width).saturating_sub(head.len() + state.width() + tail.width() + 3);
    // Where it stands is worth more than what every key says when it is pressed.
    let whole = format!("{place}· nothing can be said here ");
    let tail = if room(&whole) >= LEAST { whole } else { place };
    let room = room(&tail);
    let pieces = [
        Piece::new(Role::Danger, head),
        Piece::new(Role::Accent, format!("{state} ")),
        Piece::new(Role::Focus, bar(playing, room, model.about.is_plain)),
        Piece::new(Role::Footer, tail),
    ];
    frame.buffer_mut().set_style(area, model.theme.background.patch(model.theme.style(Role::Footer)));
    text::draw(frame, area, model, &pieces, None);
}

fn speed(speed: f64) -> String {
    let text = format!("{speed:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// How far it is, in so many columns; nothing where that is too few to tell.
fn bar(playing: &Playing, columns: usize, is_plain: bool) -> String {
    if columns < LEAST {
        return String::new();
    }
    let (first, last) = playing.span;
    let all = (last - first).num_milliseconds().max(1);
    let gone = (playing.at - first).num_milliseconds().clamp(0, all);
    let steps = i64::try_from(columns - 1).unwrap_or(0);
    let at = usize::try_from(gone * steps / all).unwrap_or(0);
    let (before, here, after) = if is_plain { ("=", "O", "-") } else { ("━", "●", "─") };
    format!("{}{here}{}", before.repeat(at), after.repeat(columns - 1 - at))
}
