//! Drawing: the frame, the panes, and the texts in them.
//!
//! [`draw`] is pure: it reads the model and writes cells. Nothing here names a colour; a role's style is the theme's.

pub mod banner;
pub mod chart;
pub mod frame;
pub mod markdown;
pub mod popup;
#[cfg(test)]
pub(crate) mod tests;
pub mod text;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::symbols::border;
use ratatui::widgets::{Block, Borders, Clear};
use unicode_width::UnicodeWidthStr;

use super::actions::Action;
use super::app::{ListState, Model, lists};
use super::layers;
use super::screens::content::{Content, Entry, content};
use super::screens::{self, Pane, Screen};
use super::store::{Rate, Ring, What};
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
    let (body, below) = banner::part(model, body);
    if let Some(below) = below {
        banner::draw(frame, below, model);
    }
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
    text::draw(frame, top, model, &title(model, pane, &content, &list, (is_focused, inner.width)), None);
    if let Pane::Chart(screen) = pane {
        return chart_pane(frame, inner, model, screen);
    }
    match content {
        Content::Messages(ring) => {
            let shown = Shown { ring, list: &list, is_focused, has_channel: pane == Pane::Traffic };
            messages(frame, inner, model, &shown);
        }
        Content::Entries { entries, at_end, empty } => {
            if entries.is_empty() {
                let lines: Vec<_> = text::wrapped(&empty, inner.width);
                for (row, line) in rows(inner).zip(lines) {
                    text::draw(frame, row, model, &[Piece::new(Role::Muted, line)], None);
                }
            }
            // What another pane shows whole stays marked.
            let marked = match (is_focused, is_master(model, pane)) {
                _ if at_end => None,
                (true, _) => Some(Role::Selection),
                (false, true) => Some(Role::SelectionBack),
                (false, false) => None,
            };
            listed(frame, inner, model, &entries, list.entry(&entries, at_end), marked);
        }
    }
}

/// The rows of an area, from the top.
pub(crate) fn rows(area: Rect) -> impl Iterator<Item = Rect> {
    (0..area.height).map(move |at| Rect { y: area.y + at, height: 1, ..area })
}

/// A pane's title and its chip.
fn title(
    model: &Model,
    pane: Pane,
    content: &Content<'_>,
    list: &ListState,
    (is_focused, width): (bool, u16),
) -> Vec<Piece> {
    let store = &model.store;
    let name = pane_name(model, pane);
    let mark = if is_focused { "▸" } else { " " };
    let role = if is_focused { Role::Accent } else { Role::Title };
    if pane == Pane::Experiments {
        let mut pieces = vec![Piece::new(role, mark)];
        pieces.extend(screens::experiments::title(model, width));
        return pieces;
    }
    let mut pieces = vec![Piece::new(role, format!("{mark}{name} "))];
    if let Pane::Channel(channel) = pane
        && let Some(channel) = store.channel(channel)
    {
        let lag = channel.lag.filter(|lag| *lag > 0).map(|lag| format!("lag {lag} ")).unwrap_or_default();
        pieces.push(Piece::new(Role::Muted, format!("{:.1}/s ", channel.rate.per_second())));
        pieces.push(Piece::new(Role::Warn, lag));
    }
    if let Pane::Note(name) = pane
        && model.screen == Screen::Notes
    {
        pieces.extend(screens::notes::about(model, name));
    }
    if let Content::Messages(ring) = content {
        let chips = chips(model, ring, list);
        let taken: usize = pieces.iter().chain(&chips).map(|piece| piece.words.width()).sum();
        // What is going on matters more than what everybody knows.
        let about = "· all channels ";
        if pane == Pane::Traffic && taken + about.width() <= usize::from(width) {
            pieces.push(Piece::new(role, about));
        }
        pieces.extend(chips);
    }
    let reached = if is_focused { screens::reached(model) } else { Vec::new() };
    let is_part = !model.is_zoomed && reached.len() > screens::panes(model, model.body()).len();
    let next = if is_focused { screens::hidden_next(model) } else { None };
    if is_part || next.is_some() {
        let at = reached.iter().position(|it| *it == pane).map_or(0, |at| at + 1);
        let place = if is_part { format!("{at}/{} ", reached.len()) } else { String::new() };
        let key = model.keymap.short(Action::NextPane).unwrap_or_default();
        let next = next.map(|next| format!("{key} {} ", pane_name(model, next))).unwrap_or_default();
        pieces.push(Piece::new(Role::Muted, format!("· {place}{next}")));
    }
    let rate = match pane {
        Pane::Channel(channel) => store.channel(channel).map(|channel| &channel.rate),
        Pane::Traffic => Some(&store.rate),
        _ => None,
    };
    let taken: usize = pieces.iter().map(|piece| piece.words.width()).sum();
    if let Some(rate) = rate.filter(|_| taken + PULSE + 8 <= usize::from(width)) {
        pieces.push(Piece::new(Role::Accent, format!("{} ", pulse(rate, model.about.is_plain))));
        if pane == Pane::Traffic {
            pieces.push(Piece::new(Role::Muted, format!("{:.1}/s ", rate.per_second())));
        }
    }
    pieces
}

/// What a pane is called.
fn pane_name(model: &Model, pane: Pane) -> String {
    let store = &model.store;
    match pane {
        Pane::Services => "Services".to_owned(),
        Pane::Traffic => "Traffic".to_owned(),
        Pane::Needs => format!("Needs you ({})", store.documents.needs().len()),
        Pane::Reasoning => "Reasoning".to_owned(),
        Pane::Alerts => format!("Alerts ({})", store.alerts.open().len()),
        Pane::Alert => "Alert".to_owned(),
        Pane::Experiment => "Experiment".to_owned(),
        Pane::Chart(screen) => chart_title(model, screen),
        Pane::Decisions => format!("Decisions ({})", store.decisions.all().count()),
        Pane::Decision => "Decision".to_owned(),
        Pane::Minds => "Who answers".to_owned(),
        Pane::Note(name) => screens::notes::title(name).to_owned(),
        Pane::Experiments => "Experiments".to_owned(),
        Pane::Chain => screens::trace::title(model),
        Pane::Step => "Step".to_owned(),
        Pane::Engine => "Engine".to_owned(),
        Pane::Groups => "Groups".to_owned(),
        Pane::Letters => format!("Dead letters ({})", screens::system::open_letters(model)),
        Pane::Budgets => "Budgets".to_owned(),
        Pane::Models => "Models".to_owned(),
        Pane::Wiring => "Wiring".to_owned(),
        Pane::Logs => "Log".to_owned(),
        Pane::Builds => "Builds".to_owned(),
        Pane::Tools => "Tools".to_owned(),
        Pane::Topics => "Topics".to_owned(),
        Pane::Debate => "Debate".to_owned(),
        Pane::Conclusion => "What came of it".to_owned(),
        Pane::Channel(channel) => channel.short().to_owned(),
    }
}

/// Columns of the small bars that show how many messages came.
const PULSE: usize = 12;

/// How many came in each of the last seconds, as small bars.
fn pulse(rate: &Rate, is_plain: bool) -> String {
    let counts: Vec<f64> = rate.counts().iter().rev().skip(1).take(24).rev().map(|count| f64::from(*count)).collect();
    chart::sparkline(&counts, PULSE, is_plain)
}

/// Whether what is selected in a pane is shown whole in another one.
fn is_master(model: &Model, pane: Pane) -> bool {
    let screen = match pane {
        Pane::Experiments => Screen::Experiments,
        Pane::Decisions => Screen::Mind,
        Pane::Alerts => Screen::Alerts,
        _ => return false,
    };
    model.screen == screen
}

/// What a chart shows; or why there is none.
fn chart_of(model: &Model, screen: Screen) -> Result<(String, chart::TimeChart), &'static str> {
    if screen == Screen::Alerts {
        return screens::alerts::chart(model);
    }
    let it = screens::experiments::selected(model).ok_or("no experiment is selected")?;
    let (metric, at, count) =
        screens::experiments::charted(model, it).ok_or("it measures nothing, and nothing was counted for it")?;
    let name = if count > 1 { format!("{metric} ({} of {count})", at + 1) } else { metric.clone() };
    Ok((name, screens::experiments::chart_of(model, it, &metric)))
}

fn chart_title(model: &Model, screen: Screen) -> String {
    let shown = chart_of(model, screen).ok();
    let now = |chart: &chart::TimeChart| chart.points.last().map(|(_, value)| chart::number(*value, chart.is_share));
    let words = |(name, chart): (String, chart::TimeChart)| format!("{name} {}", now(&chart).unwrap_or_default());
    shown.map_or_else(|| "Over time".to_owned(), |shown| words(shown).trim_end().to_owned())
}

fn chart_pane(frame: &mut Frame<'_>, area: Rect, model: &Model, screen: Screen) {
    let words = match chart_of(model, screen) {
        Ok((_, chart)) if !chart.points.is_empty() => return chart.draw(frame, area, model),
        Ok((name, _)) => format!("{name} was not counted since this room can remember"),
        Err(why) => why.to_owned(),
    };
    for (row, line) in rows(area).zip(text::wrapped(&words, area.width)) {
        text::draw(frame, row, model, &[Piece::new(Role::Muted, line)], None);
    }
}

fn chips(model: &Model, ring: &Ring, list: &ListState) -> Vec<Piece> {
    let mut chips = Vec::new();
    if let Some(away) = frame::away(model) {
        chips.push(Piece::new(Role::Danger, format!("· {away} ")));
    } else if model.store.playing.is_some() {
        chips.push(Piece::new(Role::Warn, "· replay ".to_owned()));
    } else if list.is_following() {
        chips.push(Piece::new(Role::Ok, "· live ".to_owned()));
    } else {
        chips.push(Piece::new(Role::Warn, format!("· paused +{} ", list.new_since(ring))));
    }
    if !model.filter.is_empty() {
        chips.push(Piece::new(Role::Match, format!("{} of {}", ring.shown().len(), ring.len())));
        chips.push(Piece::new(Role::Text, " ".to_owned()));
    }
    if let Some(past) = text::past(model, ring) {
        chips.push(past);
        chips.push(Piece::new(Role::Text, " "));
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
    let newest = view.len().checked_sub(1).and_then(|at| view.get(at)).map(|line| line.number);
    for (row, line) in free.zip(view.range(first.min(end), end)) {
        // While it follows, keys mean the newest line: it is marked, faintly.
        let is_meant = is_focused && list.is_following() && newest == Some(line.number);
        let selection = match list.line() == Some(line.number) {
            true if is_focused => Some(Role::Selection),
            true => Some(Role::SelectionBack),
            false => is_meant.then_some(Role::SelectionBack),
        };
        let mut pieces = match &line.what {
            What::Said(said) => text::message(said, model, area.width, has_channel),
            What::Log(line) => text::log(line, model),
            What::Gap(words) => vec![Piece::new(Role::Warn, format!("╌╌ {words} ╌╌"))],
        };
        if !list.is_following() && line.number > list.held_at {
            text::mark_new(&mut pieces);
        }
        text::draw(frame, row, model, &pieces, selection);
    }
    if view.is_empty() && area.height > 0 {
        let words =
            if ring.is_empty() { "nothing was said here yet" } else { "nothing matches the filter; esc shows all" };
        text::draw(frame, Rect { height: 1, ..area }, model, &[Piece::new(Role::Muted, words.to_owned())], None);
    }
}

fn listed(
    frame: &mut Frame<'_>,
    area: Rect,
    model: &Model,
    entries: &[Entry],
    selected: Option<usize>,
    marked: Option<Role>,
) {
    let first = lists::first_entry(selected, entries.len(), usize::from(area.height));
    for (row, (at, entry)) in rows(area).zip(entries.iter().enumerate().skip(first)) {
        text::draw(frame, row, model, &entry.pieces, marked.filter(|_| selected == Some(at)));
    }
}
