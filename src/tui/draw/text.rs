//! Pieces of text: a role and words. The one way in which words reach the screen.
//!
//! Must never be given a text that was not made harmless. (ratatui drops control characters from cells; that is the second line of
//! defence, not the first.)

use chrono::{DateTime, FixedOffset, Utc};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use crate::bus::filter::Filter;
use crate::contracts::{ChannelName, Priority};
use crate::experiments::spec::Mode;
use crate::tui::app::Model;
use crate::tui::store::system::LogLine;
use crate::tui::store::{Reading, Ring, Row};
use crate::tui::theme::Role;

/// Words that look like their role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// What it is.
    pub role: Role,
    /// Harmless.
    pub words: String,
}

impl Piece {
    /// Words in a role.
    pub fn new(role: Role, words: impl Into<String>) -> Self {
        Self { role, words: words.into() }
    }
}

/// Draws a line, cut where it ends; all of it in `whole`, where that is given.
pub fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, pieces: &[Piece], whole: Option<Role>) {
    let area = area.intersection(frame.area());
    if area.is_empty() {
        return;
    }
    let ground = model.theme.background;
    let style = |role: Role| ground.patch(model.theme.style(whole.unwrap_or(role)));
    if let Some(role) = whole {
        frame.buffer_mut().set_style(Rect { height: 1, ..area }, style(role));
    }
    let mut x = area.x;
    for piece in pieces {
        let room = usize::from(area.right().saturating_sub(x));
        if room == 0 {
            break;
        }
        x = put(frame, (x, area.y), &piece.words, room, style(piece.role));
    }
}

/// Writes words at a place, in at most so many columns; where they are cut, the last column says so.
fn put(frame: &mut Frame<'_>, (x, y): (u16, u16), words: &str, room: usize, style: Style) -> u16 {
    let (end, _) = if words.len() > room && words.width() > room {
        frame.buffer_mut().set_stringn(x, y, clipped(words, room), room, style)
    } else {
        frame.buffer_mut().set_stringn(x, y, words, room, style)
    };
    end
}

/// The text in at most so many columns, cut between characters as people see them.
pub fn clipped(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut room = columns.saturating_sub(1);
    let mut kept = String::new();
    for grapheme in text.graphemes(true) {
        let width = grapheme.width();
        if width > room {
            break;
        }
        room -= width;
        kept.push_str(grapheme);
    }
    if columns > 0 {
        kept.push('…');
    }
    kept
}

/// The text with spaces up to so many columns; cut where it has more.
pub fn padded(text: &str, columns: usize) -> String {
    let mut text = clipped(text, columns);
    text.push_str(&" ".repeat(columns.saturating_sub(text.width())));
    text
}

/// The text in lines of at most so many columns, broken between words where there are any.
pub fn wrapped(text: &str, columns: u16) -> Vec<String> {
    let columns = usize::from(columns).max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut width = 0;
    for word in text.split_inclusive(' ') {
        let long = word.trim_end().width();
        if width > 0 && width + long > columns {
            lines.push(std::mem::take(&mut line).trim_end().to_owned());
            width = 0;
        }
        if long > columns {
            for grapheme in word.graphemes(true) {
                if width + grapheme.width() > columns {
                    lines.push(std::mem::take(&mut line));
                    width = 0;
                }
                line.push_str(grapheme);
                width += grapheme.width();
            }
        } else {
            line.push_str(word);
            width += word.width();
        }
    }
    lines.push(line.trim_end().to_owned());
    lines
}

/// A message as a line: time, channel (unless all are of one), who, what. The narrower, the less stands before what is said.
pub fn message(row: &Row, model: &Model, width: u16, has_channel: bool) -> Vec<Piece> {
    let is_wide = width >= 76;
    let time = row.at().map(|at| when(at, model)).unwrap_or_default();
    let mut pieces = vec![Piece::new(Role::Muted, format!("{time} "))];
    if has_channel && width >= 40 {
        let columns = if is_wide { 18 } else { 13 };
        pieces.push(Piece::new(Role::Channel, format!("{} ", padded(row.channel.short(), columns))));
    }
    let speaker = if is_wide { padded(row.speaker(), 12) } else { clipped(row.speaker(), 12) };
    pieces.push(Piece::new(Role::Source, format!("{speaker} ")));
    // Where there is little room, what was said matters more than of which type it is; unless there are no words in it.
    let is_wordless = row.gist().split(' ').next().is_some_and(|first| first.contains('=') || first.starts_with('{'));
    if row.channel != ChannelName::DiscordRaw && (is_wide || !has_channel || is_wordless) {
        pieces.push(Piece::new(Role::Muted, format!("{} · ", row.kind())));
    }
    match row.envelope.as_ref().map(|envelope| envelope.priority) {
        Some(Priority::Urgent) => pieces.push(Piece::new(Role::Danger, "urgent ")),
        Some(Priority::High) => pieces.push(Piece::new(Role::Warn, "high ")),
        _ => {}
    }
    if let Some(fault) = row.fault() {
        pieces.push(Piece::new(Role::Danger, format!("malformed: {} ", clipped(fault, 40))));
    }
    pieces.extend(marked(model.store.filter(), row.gist()));
    pieces
}

/// A line of the log: time, how bad it is, which part of the program, what.
pub fn log(line: &LogLine, model: &Model) -> Vec<Piece> {
    let time = line.at.map(|at| format!("{} ", time(at, model))).unwrap_or_default();
    let role = match line.level.as_str() {
        "ERROR" => Role::Danger,
        "WARN" => Role::Warn,
        "INFO" => Role::Text,
        _ => Role::Muted,
    };
    let mut pieces = vec![Piece::new(Role::Muted, time)];
    if !line.level.is_empty() {
        pieces.push(Piece::new(role, format!("{:<5} ", line.level)));
        pieces.push(Piece::new(Role::Source, format!("{} ", line.target)));
    }
    pieces.push(Piece::new(role, line.words.clone()));
    pieces
}

/// Whether an experiment reaches anybody, as a word of so many columns in a row; in few of them the beginning of the word.
pub fn mode(mode: Mode, columns: usize) -> Piece {
    let words = match mode {
        _ if mode.words().len() < columns => mode.words(),
        Mode::Live => "LIVE",
        Mode::DryRun => "dry",
        Mode::Simulation => "sim",
    };
    Piece::new(mode_role(mode), padded(words, columns))
}

/// How it looks whether something reaches anybody.
pub const fn mode_role(mode: Mode) -> Role {
    match mode {
        Mode::Live => Role::Warn,
        Mode::DryRun => Role::Muted,
        Mode::Simulation => Role::Name,
    }
}

/// Marks a line that came after the person stopped following: a `+` behind its time.
pub fn mark_new(pieces: &mut [Piece]) {
    if let Some(time) = pieces.first_mut()
        && time.words.ends_with(' ')
    {
        time.words.pop();
        time.words.push('+');
        time.role = Role::Accent;
    }
}

/// A text with what a filter found in it marked.
fn marked(filter: &Filter, text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut end = 0;
    for spot in if filter.is_empty() { Vec::new() } else { filter.spots(text) } {
        pieces.push(Piece::new(Role::Text, &text[end..spot.start]));
        pieces.push(Piece::new(Role::Match, &text[spot.clone()]));
        end = spot.end;
    }
    pieces.push(Piece::new(Role::Text, &text[end..]));
    pieces
}

/// How far back a list was read, or why not further; none where nobody looked.
pub fn past(model: &Model, ring: &Ring) -> Option<Piece> {
    let back = ring.back();
    let reached = back.reached().map(|at| {
        let is_today = local(at, model).date_naive() == local(model.now.wall, model).date_naive();
        if is_today {
            local(at, model).format("%H:%M").to_string()
        } else {
            local(at, model).format("%b %-d %H:%M").to_string()
        }
    });
    let is_search = !model.store.filter().is_empty();
    Some(match (back.reading(), reached) {
        (Reading::Failed(why), _) => Piece::new(Role::Danger, format!("the past cannot be read: {why}")),
        (Reading::Going(_), Some(at)) if is_search => {
            Piece::new(Role::Accent, format!("searching back, at {at}, {} found", back.found()))
        }
        (Reading::Going(_), _) if is_search => Piece::new(Role::Accent, "searching back …"),
        (Reading::Going(_), _) => Piece::new(Role::Accent, "reading …"),
        (Reading::Idle, _) if is_search && back.is_beginning() => {
            let found = if back.found() == 0 { "no".to_owned() } else { back.found().to_string() };
            Piece::new(Role::Muted, format!("{found} more in the past"))
        }
        (Reading::Idle, Some(at)) if is_search => {
            Piece::new(Role::Muted, format!("{} more back to {at}", back.found()))
        }
        (Reading::Idle, _) if back.is_beginning() => Piece::new(Role::Muted, "from the beginning"),
        (Reading::Idle, Some(at)) => Piece::new(Role::Muted, format!("read back to {at}")),
        (Reading::Idle, None) => return None,
    })
}

fn local(at: DateTime<Utc>, model: &Model) -> DateTime<FixedOffset> {
    model.about.zone.local(at)
}

/// The time of day, where the person is.
pub fn time(at: DateTime<Utc>, model: &Model) -> String {
    local(at, model).format("%H:%M:%S").to_string()
}

/// The time of day where it was today, else the date too; where the person is.
pub fn when(at: DateTime<Utc>, model: &Model) -> String {
    let (then, now) = (local(at, model), local(model.now.wall, model));
    let is_today = then.date_naive() == now.date_naive();
    then.format(if is_today { "%H:%M:%S" } else { "%m-%d %H:%M" }).to_string()
}

/// The date and the time, where the person is.
pub fn date_time(at: DateTime<Utc>, model: &Model) -> String {
    local(at, model).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// How long ago it was: `3s`, `2m`, `5h`, `2d`.
pub fn ago(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    short(u64::try_from((now - at).num_seconds()).unwrap_or(0))
}

/// So many seconds as people say it: `3s`, `2m`, `5h`, `2d`.
pub fn short(seconds: u64) -> String {
    match seconds {
        ..=99 => format!("{seconds}s"),
        100..=5_999 => format!("{}m", seconds / 60),
        6_000..=172_799 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// How long it is until then: `42s`, `3m`, `5h`, `2d`; `over` where it has passed.
pub fn left(until: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (until - now).num_seconds();
    match u64::try_from(seconds) {
        Err(_) | Ok(0) => "over".to_owned(),
        Ok(seconds) => short(seconds),
    }
}
