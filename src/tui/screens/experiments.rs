//! Experiments: the table, the selected one whole, and its numbers over time.
//!
//! Owns the order (what needs attention first) and the columns of each width. Whatever a later service will do is said in words that
//! name it. Must never judge: a verdict is what documents and alerts say.

use chrono::{DateTime, Utc};
use ratatui::layout::{Constraint, Layout, Rect};
use unicode_width::UnicodeWidthStr;

use super::content::{Entry, Lines, Target};
use super::{Pane, Screen};
use crate::bus::{Document, Key};
use crate::contracts::lifecycle::ExperimentState;
use crate::contracts::messages::{Audit, AuditRecord, Direction};
use crate::contracts::money::show_usd;
use crate::contracts::untrusted::{sanitize, sanitize_line};
use crate::contracts::{Body, ChannelName, ServiceName};
use crate::experiments::criteria::Sample;
use crate::tui::app::{Mark, Model};
use crate::tui::draw::chart::{self, Level, TimeChart};
use crate::tui::draw::text::{self, Piece};
use crate::tui::store::experiments::{Criterion, Experiment, Schedule};
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

/// How wide each column is; 0 where there is no room for it.
#[derive(Debug, Clone, Copy, Default)]
struct Columns {
    id: usize,
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
            ..=29 => Self { value: 6, bars: 5, ..Self::default() },
            30..=59 => Self { value: 8, bars: 10, ..Self::default() },
            60..=99 => Self { state: 10, next: 8, value: 8, bars: 9, verdict: 13, cost: 8, ..Self::default() },
            100..=159 => {
                Self { state: 10, schedule: 14, next: 8, metric: 15, value: 8, bars: 13, verdict: 13, cost: 8, id: 0 }
            }
            160.. => {
                Self { state: 11, schedule: 20, next: 9, metric: 24, value: 9, bars: 25, verdict: 18, cost: 9, id: 0 }
            }
        };
        let Self { state, schedule, next, metric, value, bars, verdict, cost, .. } = columns;
        let taken = 2 + state + schedule + next + metric + value + bars + verdict + cost;
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
        heading("state", columns.state),
        heading("schedule", columns.schedule),
        heading("next", columns.next),
        heading("metric", columns.metric),
        heading("now", columns.value),
        heading("so far", columns.bars),
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
    let mut pieces = vec![Piece::new(role, format!("{sign} ")), Piece::new(Role::Text, text::padded(&id, columns.id))];
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
    let bars = chart::sparkline(values, columns.bars.saturating_sub(2), plain);
    column(Role::Accent, &format!("{bars}{}", chart::trend(values, plain)), columns.bars);
    let (role, words) = verdict(model, it);
    column(role, &words, columns.verdict);
    let cost = model.store.decisions.spent_on(&it.id).map_or_else(|| "-".to_owned(), show_usd);
    column(Role::Muted, &cost, columns.cost);
    Entry { id: it.id.clone(), pieces, target: Some(Target::Document(key(&it.id))) }
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
        date.bytes().all(|byte| byte.is_ascii_digit()).then(|| format!("exp_…{name}"))
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

/// What is said of it: by its document, by an alert that is open, by its state.
fn verdict(model: &Model, it: &Experiment) -> (Role, String) {
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

// ---- the selected one -------------------------------------------------------------------------------------------------------

/// The selected experiment, whole.
pub fn detail(model: &Model, width: u16) -> Vec<Entry> {
    let Some(it) = selected(model) else { return Vec::new() };
    let mut lines = Lines::new(&it.id, width, Some(Target::Document(key(&it.id))));
    let (sign, role) = sign(it.state);
    let state = it.state.map_or("its state cannot be read", ExperimentState::as_str);
    let (verdict_role, words) = verdict(model, it);
    lines.line(vec![
        Piece::new(role, format!("{sign} {state}  ")),
        Piece::new(Role::Title, sanitize_line(&it.id, 120)),
        Piece::new(verdict_role, format!("  {words}")),
    ]);
    lines.text(Role::Text, if it.title.is_empty() { "its document does not say what it is about" } else { &it.title });
    for (name, words) in &it.facts {
        // A time is one where the person is.
        let time = crate::contracts::envelope::read_time(words).map(|at| text::date_time(at, model));
        lines.field(name, Role::Text, time.as_deref().unwrap_or(words));
    }
    if !it.steps.is_empty() {
        lines.heading("Steps");
        for (at, step) in (1..).zip(&it.steps) {
            lines.text(Role::Text, &format!("{at}. {step}"));
        }
    }
    schedule(&mut lines, model, it);
    criteria(&mut lines, model, it);
    variants(&mut lines, it);
    numbers(&mut lines, model, it);
    runs(&mut lines, model, it);
    replies(&mut lines, model, it);
    audit(&mut lines, model, it);
    spec(&mut lines, model, it);
    lines.entries
}

fn not_built(service: ServiceName, what: &str) -> Option<String> {
    (!service.is_built()).then(|| format!("The service `{service}`, which {what}, is not in this version yet."))
}

fn schedule(lines: &mut Lines, model: &Model, it: &Experiment) {
    lines.heading("Schedule");
    match &it.schedule {
        Some(schedule) => {
            let zone = schedule.zone.as_deref().unwrap_or("UTC");
            let state = schedule.state.as_deref().map(|state| format!(" · {state}")).unwrap_or_default();
            let next = schedule.next.map(|at| {
                format!(" · next {} ({})", text::date_time(at, model), next_run(Some(schedule), model.now.wall))
            });
            lines.text(Role::Text, &format!("{} {zone}{state}{}", schedule.cron, next.unwrap_or_default()));
        }
        None => lines.text(Role::Muted, "none: it runs when somebody starts it"),
    }
    if let Some(words) = not_built(ServiceName::Executor, "starts runs") {
        lines.text(Role::Muted, &words);
    }
}

fn criteria(lines: &mut Lines, model: &Model, it: &Experiment) {
    lines.heading("Criteria");
    if it.criteria.is_empty() {
        lines.text(Role::Muted, "its document names none");
    }
    for criterion in &it.criteria {
        let (sign, role) = match criterion.direction {
            Direction::Failure => ("▼ fails if", Role::Danger),
            Direction::Success => ("▲ works if", Role::Ok),
        };
        lines.field(sign, Role::Text, &criterion.text);
        let (role, words) = standing(model, it, criterion, role);
        lines.field("", role, &words);
    }
}

/// Where a criterion stands: the number now, on which side of its line, and how sure, where somebody said so.
fn standing(model: &Model, it: &Experiment, criterion: &Criterion, role: Role) -> (Role, String) {
    if let Some(judged) = it.judged(criterion) {
        return (if judged.holds == Some(true) { role } else { Role::Muted }, judged.words());
    }
    let Some(says) = &criterion.says else {
        return (Role::Muted, "prose: nothing measures it; `metric < number` would be measured".to_owned());
    };
    let Some(bound) = &criterion.bound else {
        return (Role::Muted, "nobody has judged it yet".to_owned());
    };
    let series = &model.store.series;
    let Some(value) = it.computes(&bound.of, series) else {
        return (Role::Muted, format!("{} was not measured yet", bound.name));
    };
    let after = says.sample.as_ref().map(|Sample { count, event }| {
        let so_far = it.value(event, series).map_or_else(|| "?".to_owned(), |value| chart::number(value, false));
        format!(", {so_far} of {count} {event}")
    });
    // What was said of another criterion says nothing of this one.
    let sure = model.store.alerts.measure(&it.id, &bound.name);
    let sure = sure.filter(|said| said.direction.is_none_or(|direction| direction == criterion.direction));
    let sure = sure.and_then(|it| Some((it.confidence?, it.sample_size))).map(|(share, sample)| {
        let sample = sample.map(|count| format!(" of {count}")).unwrap_or_default();
        format!(", {} sure{sample}", chart::number(share, true))
    });
    let holds = bound.how.holds(value, bound.line);
    let words = format!(
        "now {}: {}{}{}",
        chart::number(value, it.is_share(&bound.name)),
        if holds { "it is so" } else { "it is not so" },
        after.unwrap_or_default(),
        sure.unwrap_or_else(|| ", nobody said how sure".to_owned()),
    );
    (if holds { role } else { Role::Muted }, words)
}

/// Its variants, compared: each with its share and where that can lie, and how sure it is that the first is better.
fn variants(lines: &mut Lines, it: &Experiment) {
    let Some(found) = it.outcome.as_ref().and_then(|outcome| outcome.variants.as_ref()) else { return };
    lines.heading(&format!("Variants by {}", sanitize_line(&found.metric, 60)));
    for arm in found.arms.iter().take(LISTED) {
        lines.line(vec![
            Piece::new(Role::Muted, text::padded(&sanitize_line(&arm.name, 20), 22)),
            Piece::new(Role::Text, arm.figures()),
        ]);
    }
    lines.text(if found.decided { Role::Ok } else { Role::Muted }, &found.claim());
}

fn numbers(lines: &mut Lines, model: &Model, it: &Experiment) {
    let series = &model.store.series;
    let names = it.charted(series);
    if names.is_empty() {
        return;
    }
    lines.heading("Numbers");
    for name in names.iter().take(LISTED) {
        let value = it.value(name, series);
        let points: Vec<f64> = it.history(name, series).into_iter().map(|(_, value)| value).collect();
        let bars = chart::sparkline(&points, 16, model.about.is_plain);
        let value = value.map_or_else(|| "not measured".to_owned(), |value| chart::number(value, it.is_share(name)));
        lines.line(vec![
            Piece::new(Role::Muted, text::padded(name, 22)),
            Piece::new(Role::Title, format!("{} ", text::padded(&value, 12))),
            Piece::new(Role::Accent, bars),
        ]);
    }
    if names.len() > LISTED {
        lines.text(Role::Muted, &format!("and {} more", names.len() - LISTED));
    }
}

fn runs(lines: &mut Lines, model: &Model, it: &Experiment) {
    let prefix = format!("experiment_runs:{}:", it.id);
    let mut runs: Vec<(&Key, &Document)> =
        model.store.documents.of(&prefix).filter_map(|(key, state)| Some((key, state.document()?))).collect();
    lines.heading(&format!("Runs ({})", runs.len()));
    if runs.is_empty() {
        lines.text(Role::Muted, "none yet");
    }
    runs.reverse();
    for (key, run) in runs.into_iter().take(LISTED) {
        let said = |field: &str| run.get(field).map(|text| sanitize_line(text, 160)).unwrap_or_default();
        let status = [said("status"), said("state")].into_iter().find(|it| !it.is_empty()).unwrap_or_default();
        let (sign, role) = match status.as_str() {
            "completed" | "success" => ("●", Role::Ok),
            "failed" | "error" => ("▼", Role::Danger),
            "running" => ("◐", Role::Accent),
            "waiting" => ("◌", Role::Warn),
            _ => ("·", Role::Muted),
        };
        let name = key.as_str().strip_prefix(&prefix).unwrap_or_default();
        let took = [said("duration_seconds"), said("duration")].into_iter().find(|it| !it.is_empty());
        let took = took.map(|seconds| format!(" {seconds} s")).unwrap_or_default();
        let under_way = match status.as_str() {
            "running" | "waiting" => crate::memory::experiments::under_way(run),
            _ => String::new(),
        };
        let what =
            [under_way, said("error"), said("result_summary"), said("partial")].into_iter().find(|it| !it.is_empty());
        lines.target(Target::Document(key.clone()));
        lines.line(vec![
            Piece::new(role, format!("{sign} {status} ")),
            Piece::new(Role::Muted, format!("{}{took} ", sanitize_line(name, 60))),
            Piece::new(Role::Text, what.unwrap_or_default()),
        ]);
        lines.untarget();
    }
}

fn replies(lines: &mut Lines, model: &Model, it: &Experiment) {
    let replies: Vec<_> = model.store.experiments.replies(&it.id).take(LISTED).collect();
    lines.heading(&format!("What people wrote ({})", replies.len()));
    if replies.is_empty() {
        lines.text(Role::Muted, "nothing yet");
    }
    for reply in replies {
        let Some((event, from, words)) = reply.told() else { continue };
        let time = reply.row.at().map(|at| text::date_time(at, model)).unwrap_or_default();
        lines.target(Target::Message(std::sync::Arc::clone(&reply.row)));
        lines.line(vec![
            Piece::new(Role::Muted, format!("{time} ")),
            Piece::new(Role::Source, format!("{from} ")),
            Piece::new(Role::Muted, event),
        ]);
        for line in words.lines().take(6) {
            lines.text(Role::Value, &format!("  {line}"));
        }
        lines.untarget();
    }
}

fn audit(lines: &mut Lines, model: &Model, it: &Experiment) {
    let Some(channel) = model.store.channel(ChannelName::Audit) else { return };
    let rows = channel.ring.shown().iter().rev().filter_map(|line| line.row());
    let about = rows
        .filter(|row| row.is_believed())
        .filter(|row| row.envelope.as_ref().is_some_and(|of| of.subject.as_deref() == Some(it.id.as_str())));
    let mut is_first = true;
    for row in about.take(LISTED) {
        let Ok(Audit::Record(record)) = Audit::read(&row.body) else { continue };
        if std::mem::take(&mut is_first) {
            lines.heading("What was done to it");
        }
        lines.target(Target::Message(std::sync::Arc::clone(row)));
        lines.line(vec![
            Piece::new(Role::Muted, format!("{} ", text::date_time(record.at, model))),
            Piece::new(Role::Source, format!("{} ", sanitize_line(&record.by, 40))),
            Piece::new(Role::Text, done(&record)),
        ]);
        lines.untarget();
    }
}

fn done(record: &AuditRecord) -> String {
    let said = |name: &str| record.details.get(name).and_then(serde_json::Value::as_str);
    let step = said("from").zip(said("to")).map(|(from, to)| format!(" {from} → {to}")).unwrap_or_default();
    let reason = said("reason").map(|reason| format!(": {reason}")).unwrap_or_default();
    sanitize_line(&format!("{} {}{step}{reason}", record.event, said("order").unwrap_or_default()), 300)
}

fn spec(lines: &mut Lines, model: &Model, it: &Experiment) {
    let Some(spec) = spec_of(model, &it.id) else { return };
    lines.heading("Specification, as it was written");
    for line in sanitize(&spec, 2_000).lines().take(400) {
        lines.text(Role::Value, line);
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
