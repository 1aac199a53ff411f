//! Drawing: the frame, the panes, and the texts in them.
//!
//! [`draw`] is pure: it reads the model and writes cells. Nothing here names a colour; a role's style is the theme's.

pub mod frame;
pub mod popup;
#[cfg(test)]
pub(crate) mod tests;
pub mod text;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::symbols::border;
use ratatui::widgets::{Block, Borders, Clear};

use super::app::{ListState, Model, lists};
use super::layers;
use super::screens::content::{Content, Entry, content};
use super::screens::{self, Pane};
use super::store::{Ring, What};
use super::theme::Role;
use text::Piece;

/// Below this many columns or rows one line says so.
pub const LEAST: (u16, u16) = (60, 18);

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, model: &Model) {
    let area = frame.area();
    frame.render_widget(Block::new().style(model.theme.background.patch(model.theme.style(Role::Text))), area);
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let words = format!("{}x{} is too small; {}x{} is needed", area.width, area.height, LEAST.0, LEAST.1);
        let line = Rect { height: area.height.min(1), ..area };
        text::draw(frame, line, model, &[Piece::new(Role::Warn, words)], None);
        return;
    }
    let (header, body, footer) = frame::parts(area);
    frame::header(frame, header, model);
    screens::draw(frame, body, model);
    layers::draw(frame, body, model);
    frame::footer(frame, footer, model);
}

/// The lines around a pane.
pub(crate) fn block<'a>(model: &Model, is_focused: bool) -> Block<'a> {
    let role = if is_focused { Role::Focus } else { Role::Border };
    let set = match (model.about.is_plain, is_focused) {
        (true, true) => ASCII_FOCUS,
        (true, false) => ASCII,
        (false, true) => border::THICK,
        (false, false) => border::PLAIN,
    };
    Block::new().borders(Borders::ALL).border_set(set).border_style(model.theme.style(role))
}

const ASCII: border::Set<'static> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};
const ASCII_FOCUS: border::Set<'static> =
    border::Set { horizontal_top: "=", horizontal_bottom: "=", vertical_left: "#", vertical_right: "#", ..ASCII };

/// Draws a pane: its frame with title and chip, and what is in it.
pub fn pane(frame: &mut Frame<'_>, area: Rect, model: &Model, pane: Pane) {
    let is_focused = model.focused().is_some_and(|(focused, _)| focused == pane);
    let block = block(model, is_focused);
    let inner = block.inner(area);
    frame.render_widget(Clear, area);
    frame.render_widget(block.style(model.theme.background.patch(model.theme.style(Role::Text))), area);
    let list = model.lists.get(&pane).cloned().unwrap_or_default();
    let content = content(model, pane, inner.width);
    let top =
        Rect { x: area.x.saturating_add(1), width: area.width.saturating_sub(2), height: area.height.min(1), ..area };
    text::draw(frame, top, model, &title(model, pane, &content, &list, is_focused), None);
    match content {
        Content::Messages(ring) => {
            let shown = Shown { ring, list: &list, is_focused, has_channel: pane == Pane::Traffic };
            messages(frame, inner, model, &shown);
        }
        Content::Entries { entries, at_end, empty } => {
            if entries.is_empty() {
                let lines: Vec<_> = text::wrapped(empty, inner.width);
                for (row, line) in rows(inner).zip(lines) {
                    text::draw(frame, row, model, &[Piece::new(Role::Muted, line)], None);
                }
            }
            listed(frame, inner, model, &entries, list.entry(&entries, at_end), is_focused && !at_end);
        }
    }
}

/// The rows of an area, from the top.
pub(crate) fn rows(area: Rect) -> impl Iterator<Item = Rect> {
    (0..area.height).map(move |at| Rect { y: area.y + at, height: 1, ..area })
}

/// A pane's title and its chip.
fn title(model: &Model, pane: Pane, content: &Content<'_>, list: &ListState, is_focused: bool) -> Vec<Piece> {
    let store = &model.store;
    let name = match pane {
        Pane::Services => "Services".to_owned(),
        Pane::Traffic if model.filter.is_empty() && list.is_following() => "Traffic · all channels".to_owned(),
        Pane::Traffic => "Traffic".to_owned(),
        Pane::Needs => format!("Needs you ({})", store.documents.needs().len()),
        Pane::Reasoning => "Reasoning".to_owned(),
        Pane::Alerts => format!("Alerts ({})", store.documents.alerts().len()),
        Pane::Worklist => "Worklist".to_owned(),
        Pane::Learnings => "Learnings".to_owned(),
        Pane::Experiments => "Experiments".to_owned(),
        Pane::Channel(channel) => channel.short().to_owned(),
        Pane::Chain => screens::trace::title(model),
        Pane::Step => "Step".to_owned(),
        Pane::Documents(screen) => screens::generic::listed(screen).documents.to_owned(),
        Pane::Messages(screen) => {
            screens::generic::listed(screen).channel.map_or_else(String::new, |channel| channel.short().to_owned())
        }
    };
    let mark = if is_focused { "▸" } else { " " };
    let mut pieces = vec![Piece::new(if is_focused { Role::Accent } else { Role::Title }, format!("{mark}{name} "))];
    if let Pane::Channel(channel) = pane
        && let Some(channel) = store.channel(channel)
    {
        let lag = channel.lag.filter(|lag| *lag > 0).map(|lag| format!("lag {lag} ")).unwrap_or_default();
        pieces.push(Piece::new(Role::Muted, format!("{:.1}/s ", channel.rate.per_second())));
        pieces.push(Piece::new(Role::Warn, lag));
    }
    if let Content::Messages(ring) = content {
        pieces.extend(chips(model, ring, list));
    }
    pieces
}

fn chips(model: &Model, ring: &Ring, list: &ListState) -> Vec<Piece> {
    let mut chips = Vec::new();
    if let Some(away) = frame::away(model) {
        chips.push(Piece::new(Role::Danger, format!("· {away} ")));
    } else if list.is_following() {
        chips.push(Piece::new(Role::Ok, "· live ".to_owned()));
    } else {
        chips.push(Piece::new(Role::Warn, format!("· paused +{} ", list.new_since(ring))));
    }
    if let Some(past) = text::past(model, ring) {
        chips.push(past);
        chips.push(Piece::new(Role::Text, " "));
    }
    if !model.filter.is_empty() {
        chips.push(Piece::new(Role::Match, format!("{} of {}", ring.shown().len(), ring.len())));
        chips.push(Piece::new(Role::Text, " ".to_owned()));
    }
    let dropped = ring.dropped() + model.store.missed;
    if dropped > 0 {
        chips.push(Piece::new(Role::Muted, format!("dropped {dropped} ")));
    }
    chips
}

/// Messages, and how they are shown.
struct Shown<'a> {
    ring: &'a Ring,
    list: &'a ListState,
    is_focused: bool,
    has_channel: bool,
}

fn messages(frame: &mut Frame<'_>, area: Rect, model: &Model, shown: &Shown<'_>) {
    let Shown { ring, list, is_focused, has_channel } = *shown;
    let (first, end) = list.window(ring, usize::from(area.height));
    let view = ring.view();
    let mut free = rows(area);
    if first == 0 && end < usize::from(area.height) && ring.back().is_beginning() {
        let words = vec![Piece::new(Role::Muted, "╌╌ the beginning ╌╌")];
        free.next().into_iter().for_each(|row| text::draw(frame, row, model, &words, None));
    }
    for (row, line) in free.zip(view.range(first.min(end), end)) {
        let is_selected = list.line() == Some(line.number);
        let selection = if is_focused { Role::Selection } else { Role::SelectionBack };
        let pieces = match &line.what {
            What::Said(said) => text::message(said, model, area.width, has_channel),
            What::Gap(words) => vec![Piece::new(Role::Warn, format!("╌╌ {words} ╌╌"))],
        };
        text::draw(frame, row, model, &pieces, is_selected.then_some(selection));
    }
    if view.is_empty() && area.height > 0 {
        let words = if ring.is_empty() { "nothing was said here yet" } else { "nothing matches the filter" };
        text::draw(frame, Rect { height: 1, ..area }, model, &[Piece::new(Role::Muted, words.to_owned())], None);
    }
}

fn listed(
    frame: &mut Frame<'_>,
    area: Rect,
    model: &Model,
    entries: &[Entry],
    selected: Option<usize>,
    is_marked: bool,
) {
    let first = lists::first_entry(selected, entries.len(), usize::from(area.height));
    for (row, (at, entry)) in rows(area).zip(entries.iter().enumerate().skip(first)) {
        let is_selected = is_marked && selected == Some(at);
        text::draw(frame, row, model, &entry.pieces, is_selected.then_some(Role::Selection));
    }
}
