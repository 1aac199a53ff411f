//! Experiments: the table, the selected one whole, and its numbers over time.
//!
//! Owns the order (what needs attention first) and the columns of each width. Whatever a later service will do is said in words that
//! name it. Must never judge: a verdict is what documents and alerts say.

mod detail;

use chrono::{DateTime, Utc};
pub use detail::detail;
use ratatui::layout::{Constraint, Layout, Rect};
use unicode_width::UnicodeWidthStr;

use super::content::{Entry, Target};
use super::{Pane, Screen};
use crate::bus::Key;
use crate::contracts::lifecycle::ExperimentState;
use crate::contracts::messages::Direction;
use crate::contracts::money::show_usd;
use crate::contracts::untrusted::sanitize_line;
use crate::experiments::judgement::{self, Judged, Outcome, Standing};
use crate::tui::app::{Mark, Model};
use crate::tui::draw::chart::{self, Level, TimeChart};
use crate::tui::draw::text::{self, Piece};
use crate::tui::store::experiments::{Experiment, Schedule};
use crate::tui::theme::Role;

/// Lines of a list in the detail.
const LISTED: usize = 12;

/// Where its panes stand.
pub fn panes(model: &Model, area: Rect) -> Vec<(Pane, Rect)> {
    let count = model.store.experiments.all().count();
    let [table, low] =
        Layout::vertical([Constraint::Length(list_height(count, area)), Constraint::Fill(1)]).areas(area);
    let [detail, chart] = Layout::horizontal([Constraint::Percentage(56), Constraint::Fill(1)]).areas(low);
    vec![(Pane::Experiments, table), (Pane::Experiment, detail), (Pane::Chart(Screen::Experiments), chart)]
}

/// How high a list of so many rows is above what shows one of them whole: no higher than it has rows, nor than two fifths.
pub fn list_height(count: usize, area: Rect) -> u16 {
    let most = area.height * 2 / 5;
    u16::try_from(count + 2).unwrap_or(most).clamp(6, most.max(6))
}

/// All experiments: what needs attention first.
pub fn sorted(model: &Model) -> Vec<&Experiment> {
    let rank = |it: &&Experiment| {
        let is_alarming = model.store.alerts.of(&it.id).is_some_and(|alert| alert.rank() > 0);
        match it.state {
            Some(ExperimentState::Archived) => 9,
            _ if is_alarming => 0,
            None => 1,
            Some(ExperimentState::Running) => 2,
            Some(ExperimentState::Measuring) => 3,
            Some(ExperimentState::Ready) => 4,
            Some(ExperimentState::Draft) => 5,
            Some(ExperimentState::Paused) => 6,
            Some(ExperimentState::Failed) => 7,
            Some(ExperimentState::Completed) => 8,
        }
    };
    let mut all: Vec<&Experiment> = model.store.experiments.all().collect();
    // They come by id, and those of the same rank stay so.
    all.sort_by_key(rank);
    all
}

/// The experiment that is selected in the table, or the first.
pub fn selected(model: &Model) -> Option<&Experiment> {
    let chosen = match model.lists.get(&Pane::Experiments).and_then(|list| list.selected.as_ref()) {
        Some(Mark::Entry(id)) => model.store.experiments.get(id),
        _ => None,
    };
    chosen.or_else(|| sorted(model).first().copied())
}

fn sign(state: Option<ExperimentState>) -> (&'static str, Role) {
    match state {
        Some(ExperimentState::Running | ExperimentState::Measuring) => ("●", Role::Ok),
        Some(ExperimentState::Ready) => ("◐", Role::Text),
        Some(ExperimentState::Draft) => ("○", Role::Text),
        Some(ExperimentState::Paused) => ("◌", Role::Warn),
        Some(ExperimentState::Failed) | None => ("▼", Role::Danger),
        Some(ExperimentState::Completed | ExperimentState::Archived) => ("·", Role::Muted),
    }
}

/// Columns of whether it reaches anybody, where there is little room.
const SHORT: usize = 5;

/// How wide each column is; 0 where there is no room for it.
#[derive(Debug, Clone, Copy, Default)]
struct Columns {
    id: usize,
    mode: usize,
    state: usize,
    schedule: usize,
    next: usize,
    metric: usize,
    value: usize,
    bars: usize,
    verdict: usize,
    cost: usize,
}

impl Columns {
    fn of(width: u16) -> Self {
        let mut columns = match width {
            ..=29 => Self { mode: SHORT, value: 6, bars: 2, ..Self::default() },
            30..=59 => Self { mode: SHORT, value: 7, bars: 6, ..Self::default() },
            60..=99 => {
                Self { mode: SHORT, state: 10, next: 7, value: 7, bars: 6, verdict: 16, cost: 8, ..Self::default() }
            }
            100..=159 => Self {
                mode: 11,
                state: 10,
                schedule: 12,
                next: 8,
                metric: 15,
                value: 8,
                bars: 9,
                verdict: 16,
                cost: 8,
                ..Self::default()
            },
            160.. => Self {
                mode: 11,
                state: 11,
                schedule: 20,
                next: 9,
                metric: 24,
                value: 9,
                bars: 25,
                verdict: 18,
                cost: 9,
                ..Self::default()
            },
        };
        let Self { mode, state, schedule, next, metric, value, bars, verdict, cost, .. } = columns;
        let taken = 2 + mode + state + schedule + next + metric + value + bars + verdict + cost;
        columns.id = usize::from(width).saturating_sub(taken);
        columns
    }
}

/// The title of the table, with its headings.
pub fn title(model: &Model, width: u16) -> Vec<Piece> {
    let columns = Columns::of(width);
    let count = model.store.experiments.all().count();
    let out = model.store.documents.left_out("experiments:");
    let more = if out > 0 { format!(", {out} older left out") } else { String::new() };
    let name = format!("Experiments ({count}{more}) ");
    if columns.state == 0 {
        return vec![Piece::new(Role::Title, name)];
    }
    let heading = |words: &str, columns: usize| {
        let words = text::clipped(words, columns.saturating_sub(1));
        Piece::new(Role::Muted, if columns == 0 { String::new() } else { text::padded(&words, columns) })
    };
    // The mark of the focus takes one column more than nothing.
    let first = text::padded(&name, columns.id + 1);
    vec![
        Piece::new(Role::Title, first),
        heading("mode", columns.mode),
        heading("state", columns.state),
        heading("schedule", columns.schedule),
        heading("next", columns.next),
        heading("metric", columns.metric),
        heading("now", columns.value),
        heading("trend", columns.bars),
        heading("verdict", columns.verdict),
        heading("cost", columns.cost),
    ]
}

/// The rows of the table.
pub fn entries(model: &Model, width: u16) -> Vec<Entry> {
    let columns = Columns::of(width);
    sorted(model).into_iter().map(|it| entry(model, it, columns)).collect()
}

fn entry(model: &Model, it: &Experiment, columns: Columns) -> Entry {
    let (sign, role) = sign(it.state);
    let plain = model.about.is_plain;
    let shown = sanitize_line(&it.id, 120);
    let id = shortened(&shown, columns.id.saturating_sub(1));
    let mut pieces = vec![
        Piece::new(role, format!("{sign} ")),
        Piece::new(Role::Text, text::padded(&id, columns.id)),
        text::mode(it.mode, columns.mode),
    ];
    let mut column = |role: Role, words: &str, columns: usize| {
        if columns > 0 {
            let words = text::clipped(words, columns - 1);
            pieces.push(Piece::new(role, text::padded(&words, columns)));
        }
    };
    let state = it.state.map_or("?", ExperimentState::as_str);
    column(role, state, columns.state);
    let schedule = it.schedule.as_ref();
    column(Role::Muted, schedule.map_or("-", |it| it.cron.as_str()), columns.schedule);
    column(Role::Text, &next_run(schedule, model.now.wall), columns.next);
    let figure = it.figure.as_ref();
    column(Role::Muted, figure.map_or("-", |it| it.name.as_str()), columns.metric);
    let value = figure.and_then(|it| Some(chart::number(it.value?, it.is_share)));
    match &value {
        Some(value) => column(Role::Title, value, columns.value),
        // Where there is no number, the state says more than nothing.
        None if columns.state == 0 => {
            column(Role::Muted, state, columns.value + columns.bars);
            return Entry { id: it.id.clone(), pieces, target: Some(Target::Document(key(&it.id))) };
        }
        None => column(Role::Muted, "-", columns.value),
    }
    let values = figure.map(|it| it.trend.as_slice()).unwrap_or_default();
    // Where there is no room for bars, there is for where they go.
    let bars = columns.bars.checked_sub(2).filter(|room| *room > 0);
    let bars = bars.map(|room| chart::sparkline(values, room, plain)).unwrap_or_default();
    column(Role::Accent, &format!("{bars}{}", chart::trend(values, plain)), columns.bars);
    let (role, words) = verdict(model, it);
    column(role, &words, columns.verdict);
    let cost = cost(model, it).total().map_or_else(|| "-".to_owned(), show_usd);
    column(Role::Muted, &cost, columns.cost);
    Entry { id: it.id.clone(), pieces, target: Some(Target::Document(key(&it.id))) }
}

/// What its numbers were judged to be, where that says anything, with how sure it is.
fn judged(outcome: &Outcome) -> Option<(Role, String)> {
    let (role, words) = match outcome.verdict {
        Standing::Failing => (Role::Danger, "▼ fails"),
        Standing::AtRisk => (Role::Warn, "▼ at risk"),
        Standing::Promising => (Role::Text, "▲ promising"),
        Standing::Succeeded => (Role::Ok, "▲ works"),
        Standing::Undecided => return None,
    };
    // Less than even odds say nothing.
    let sure = decides(outcome).and_then(|judged| Some(judged.evidence.as_ref()?.sure)).filter(|sure| *sure >= 0.5);
    let sure = sure.map(judgement::sure);
    // As the numbers of the table are written.
    let sure = sure.map(|sure| format!(" {}", sure.replace(' ', ""))).unwrap_or_default();
    Some((role, format!("{words}{sure}")))
}

/// The criterion that a verdict comes from; while there is none, the first of which something is known.
fn decides(outcome: &Outcome) -> Option<&Judged> {
    let all = || outcome.criteria.iter();
    let holding = |direction| all().filter(move |it| it.direction == direction && it.holds == Some(true));
    let direction = match outcome.verdict {
        Standing::Failing | Standing::AtRisk => Direction::Failure,
        Standing::Succeeded | Standing::Promising => Direction::Success,
        Standing::Undecided => return all().find(|judged| judged.evidence.is_some()),
    };
    // What is proven makes the verdict, whatever else may hold.
    holding(direction).find(|judged| judged.proven).or_else(|| holding(direction).next())
}

/// What it cost, as far as that is known; in billionths of a dollar.
struct Cost {
    design: Option<u64>,
    decisions: Option<u64>,
}

impl Cost {
    fn total(&self) -> Option<u64> {
        let parts = [self.design, self.decisions];
        parts.iter().any(Option::is_some).then(|| parts.into_iter().flatten().fold(0, u64::saturating_add))
    }
}

fn cost(model: &Model, it: &Experiment) -> Cost {
    Cost { design: it.design_nano_usd, decisions: model.store.decisions.spent_on(&it.id) }
}

fn key(id: &str) -> Key {
    Key::new(format!("experiments:{id}"))
}

/// An id where there is little room: its date goes first.
pub fn shortened(id: &str, columns: usize) -> String {
    if id.width() <= columns {
        return id.to_owned();
    }
    let undated = id.strip_prefix("exp_").and_then(|rest| {
        let (date, name) = rest.split_once('_')?;
        let whole = format!("exp_…{name}");
        // That they are experiments is in the title of the pane.
        let shown = if whole.width() <= columns { whole } else { format!("…{name}") };
        date.bytes().all(|byte| byte.is_ascii_digit()).then_some(shown)
    });
    text::clipped(undated.as_deref().unwrap_or(id), columns)
}

fn next_run(schedule: Option<&Schedule>, now: DateTime<Utc>) -> String {
    let Some(schedule) = schedule else { return "-".to_owned() };
    match (schedule.state.as_deref(), schedule.next) {
        (Some(state @ ("cancelled" | "paused")), _) => state.to_owned(),
        (_, Some(next)) if next <= now => "due".to_owned(),
        (_, Some(next)) => format!("in {}", text::left(next, now)),
        (_, None) => "-".to_owned(),
    }
}

/// What is said of it: by an alert that is open, by what its numbers were judged to be, by its document, by its state. How sure it is, is
/// what was found last.
fn verdict(model: &Model, it: &Experiment) -> (Role, String) {
    if let Some(judged) = it.outcome.as_ref().and_then(judged) {
        return judged;
    }
    if let Some(alert) = model.store.alerts.of(&it.id) {
        let sure = alert.confidence.map(|share| format!(" {}", chart::number(share, true))).unwrap_or_default();
        return match alert.direction {
            Some(Direction::Success) => (Role::Ok, format!("▲ works{sure}")),
            Some(Direction::Failure) => (Role::Danger, format!("▼ fails{sure}")),
            None => (Role::Warn, format!("▲ {}", alert.severity)),
        };
    }
    match (&it.verdict, it.state) {
        (Some(words), _) => (Role::Text, words.replace('_', " ")),
        (None, Some(ExperimentState::Completed)) => (Role::Muted, "completed".to_owned()),
        (None, Some(ExperimentState::Failed)) => (Role::Danger, "failed".to_owned()),
        (None, Some(ExperimentState::Archived)) => (Role::Muted, "put away".to_owned()),
        (None, Some(ExperimentState::Draft)) => (Role::Muted, "not approved".to_owned()),
        (None, _) => (Role::Muted, "not yet".to_owned()),
    }
}

/// The specification of an experiment as a person would edit it. Raw.
pub fn spec_of(model: &Model, id: &str) -> Option<String> {
    let document = model.store.documents.document(&format!("experiments:{id}"))?;
    let text =
        ["spec", "spec_json"].iter().find_map(|name| document.get(name).filter(|text| !text.trim().is_empty()))?;
    let pretty = serde_json::from_str::<serde_json::Value>(text).ok().filter(serde_json::Value::is_object);
    Some(pretty.and_then(|it| serde_json::to_string_pretty(&it).ok()).unwrap_or_else(|| text.to_owned()))
}

// ---- its numbers over time --------------------------------------------------------------------------------------------------

/// The metric that the chart shows: the one that was chosen, or the first.
pub fn charted(model: &Model, it: &Experiment) -> Option<(String, usize, usize)> {
    let names = it.charted(&model.store.series);
    let at = model.metric.as_ref().and_then(|name| names.iter().position(|it| it == name)).unwrap_or(0);
    let count = names.len();
    names.into_iter().nth(at).map(|name| (name, at, count))
}

/// The chart of a metric of an experiment, with the lines of its criteria.
pub fn chart_of(model: &Model, it: &Experiment, metric: &str) -> TimeChart {
    let is_share = it.is_share(metric);
    let level = |(direction, sign, value): (Direction, &str, f64)| {
        let (words, role) = match direction {
            Direction::Failure => ("fails", Role::Danger),
            Direction::Success => ("works", Role::Ok),
        };
        let sign = if sign.is_empty() { "at" } else { sign };
        Level { value, label: format!("{words} {sign} {}", chart::number(value, is_share)), role }
    };
    let levels = it.lines(metric).into_iter().map(level).collect();
    TimeChart { points: it.history(metric, &model.store.series), levels, is_share }
}
