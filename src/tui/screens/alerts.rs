//! Alerts: those that are open first, those that are over after them; the selected one whole, and its metric over time.
//!
//! Must never hide an alert because nobody acted on it.

use ratatui::layout::{Constraint, Layout, Rect};

use super::content::{Entry, Lines, Target};
use super::experiments::list_height;
use super::{Pane, Screen};
use crate::bus::Key;
use crate::contracts::messages::Direction;
use crate::contracts::untrusted::sanitize_line;
use crate::tui::actions::Action;
use crate::tui::app::{Mark, Model};
use crate::tui::draw::chart::{self, Level, TimeChart};
use crate::tui::draw::text::{self, Piece};
use crate::tui::store::Alert;
use crate::tui::store::alerts::Standing;
use crate::tui::theme::Role;

/// Alerts that are over and are shown.
const OVER: usize = 500;

/// Where its panes stand.
pub fn panes(model: &Model, area: Rect) -> Vec<(Pane, Rect)> {
    let height = list_height(model.store.alerts.all().len(), area);
    let [list, low] = Layout::vertical([Constraint::Length(height), Constraint::Fill(1)]).areas(area);
    let [detail, chart] = Layout::horizontal([Constraint::Percentage(52), Constraint::Fill(1)]).areas(low);
    vec![(Pane::Alerts, list), (Pane::Alert, detail), (Pane::Chart(Screen::Alerts), chart)]
}

/// The alert that is selected, or the first.
pub fn selected(model: &Model) -> Option<&Alert> {
    let all = model.store.alerts.all();
    let chosen = match model.lists.get(&Pane::Alerts).and_then(|list| list.selected.as_ref()) {
        Some(Mark::Entry(id)) => all.iter().find(|alert| alert.id == *id),
        _ => None,
    };
    chosen.or(all.first())
}

fn role(alert: &Alert) -> Role {
    match (alert.standing, alert.rank(), alert.direction) {
        (Standing::Resolved | Standing::Acknowledged, ..) => Role::Muted,
        (_, _, Some(Direction::Success)) => Role::Ok,
        (_, 2.., _) => Role::Danger,
        (_, 1, _) => Role::Warn,
        _ => Role::Text,
    }
}

/// The lines of the list: on the Deck only what is open, in few words.
pub fn entries(model: &Model, width: u16) -> Vec<Entry> {
    let alerts = &model.store.alerts;
    let open = alerts.open();
    if model.screen != Screen::Alerts {
        return open.iter().map(|alert| brief(model, alert)).collect();
    }
    let over = alerts.all().get(open.len()..).unwrap_or_default();
    open.iter().chain(over.iter().take(OVER)).map(|alert| row(model, alert, width)).collect()
}

fn sign(alert: &Alert) -> &'static str {
    match alert.standing {
        Standing::Triggered => "▲",
        Standing::Acknowledged => "△",
        Standing::Resolved => "·",
    }
}

fn target(alert: &Alert) -> Target {
    Target::Document(Key::new(format!("alerts:{}", alert.id)))
}

/// Whether the experiment that an alert is about reaches anybody, as a word.
fn mode(model: &Model, alert: &Alert, columns: usize) -> Option<Piece> {
    let mode = model.store.experiments.mode(alert.experiment.as_deref()?)?;
    Some(text::mode(mode, columns))
}

fn brief(model: &Model, alert: &Alert) -> Entry {
    let mut pieces = vec![Piece::new(role(alert), format!("{} {} ", sign(alert), alert.severity))];
    pieces.extend(mode(model, alert, 5));
    pieces.push(Piece::new(Role::Text, alert.message.clone()));
    Entry { id: alert.id.clone(), pieces, target: Some(target(alert)) }
}

fn row(model: &Model, alert: &Alert, width: u16) -> Entry {
    let time = alert.since.or(alert.changed).map(|at| text::date_time(at, model)).unwrap_or_default();
    let time = if width >= 100 { time } else { time.get(5..16).unwrap_or_default().to_owned() };
    let mut pieces = vec![
        Piece::new(role(alert), format!("{} {} ", sign(alert), text::padded(alert.standing.as_str(), 9))),
        Piece::new(role(alert), format!("{} ", text::padded(&alert.severity, 8))),
        Piece::new(Role::Muted, format!("{} ", text::padded(&time, if width >= 100 { 19 } else { 11 }))),
    ];
    if width >= 100 {
        let experiment = alert.experiment.as_deref().map(|id| sanitize_line(id, 60)).unwrap_or_default();
        pieces.push(Piece::new(Role::Name, format!("{} ", text::padded(&experiment, 24))));
        let none = || Piece::new(Role::Muted, text::padded("", 11));
        pieces.push(mode(model, alert, 11).unwrap_or_else(none));
        pieces.push(Piece::new(role(alert), format!("{} ", text::padded(&crossed(alert), 16))));
    }
    if width < 100 {
        pieces.extend(mode(model, alert, 5));
    }
    pieces.push(Piece::new(if alert.is_open() { Role::Text } else { Role::Muted }, alert.message.clone()));
    Entry { id: alert.id.clone(), pieces, target: Some(target(alert)) }
}

/// The value against its line.
fn crossed(alert: &Alert) -> String {
    let is_share = alert.metric.as_deref().is_some_and(crate::tui::store::experiments::is_share);
    let words = |value: f64| chart::number(value, is_share);
    match (alert.value, alert.threshold) {
        (Some(value), Some(line)) if value < line => format!("{} < {}", words(value), words(line)),
        (Some(value), Some(line)) if value > line => format!("{} > {}", words(value), words(line)),
        (Some(value), Some(line)) => format!("{} at {}", words(value), words(line)),
        (Some(value), None) => words(value),
        (None, _) => String::new(),
    }
}

/// The selected alert, whole.
pub fn detail(model: &Model, width: u16) -> Vec<Entry> {
    let Some(alert) = selected(model) else { return Vec::new() };
    let mut lines = Lines::new(&alert.id, width, Some(target(alert)));
    lines.line(vec![
        Piece::new(role(alert), format!("{} {} · {}  ", sign(alert), alert.severity, alert.standing.as_str())),
        Piece::new(Role::Muted, sanitize_line(&alert.id, 120)),
    ]);
    lines.text(Role::Text, &alert.message);
    let when = |at: chrono::DateTime<chrono::Utc>| {
        let ago =
            if at < model.now.wall { format!(" ({} ago)", text::left(model.now.wall, at)) } else { String::new() };
        format!("{}{ago}", text::date_time(at, model))
    };
    let mut field = |name: &str, words: Option<String>| {
        if let Some(words) = words.filter(|words| !words.is_empty()) {
            lines.field(name, Role::Text, &words);
        }
    };
    field("since", alert.since.map(when));
    field(
        "experiment",
        alert.experiment.as_deref().map(|id| {
            let mode = model.store.experiments.mode(id).map(|mode| format!(" ({})", mode.words())).unwrap_or_default();
            format!("{}{mode}", sanitize_line(id, 120))
        }),
    );
    field("criterion", alert.criterion.clone());
    field("metric", alert.metric.clone());
    field("value", Some(crossed(alert)));
    let sample = alert.sample.map(|count| format!("{count} observations"));
    let sure = alert.confidence.map(|share| chart::number(share, true));
    field("how sure", Some([sure, sample].into_iter().flatten().collect::<Vec<_>>().join(", of ")));
    field("what to do", alert.advice.clone());
    field("seen by", alert.seen_by.clone());
    field("quiet until", alert.quiet_until.map(|at| text::date_time(at, model)));
    field("over", alert.ended.clone());
    if alert.is_open() {
        let key = |action| model.keymap.short(action).unwrap_or_default();
        let words = format!(
            "{} it was seen · {} it is over · {} kills its experiment",
            key(Action::AcknowledgeAlert),
            key(Action::ResolveAlert),
            key(Action::Kill)
        );
        lines.text(Role::Muted, "");
        lines.text(Role::Muted, &words);
    }
    lines.entries
}

/// The chart of the selected alert's metric.
///
/// # Errors
/// Where there is none; why, in words.
pub fn chart(model: &Model) -> Result<(String, TimeChart), &'static str> {
    let alert = selected(model).ok_or("no alerts")?;
    let (Some(id), Some(metric)) = (&alert.experiment, &alert.metric) else {
        return Err("this alert is about no number of an experiment");
    };
    let series = &model.store.series;
    let mut chart = match model.store.experiments.get(id) {
        Some(it) => super::experiments::chart_of(model, it, metric),
        None => TimeChart {
            points: series.of(id, metric).map(|found| found.points().collect()).unwrap_or_default(),
            is_share: crate::tui::store::experiments::is_share(metric),
            ..TimeChart::default()
        },
    };
    if let Some(line) = alert.threshold
        && !chart.levels.iter().any(|level| (level.value - line).abs() < f64::EPSILON)
    {
        let label = format!("line {}", chart::number(line, chart.is_share));
        chart.levels.push(Level { value: line, label, role: Role::Warn });
    }
    if chart.points.is_empty() {
        // What the alert says itself is a point.
        chart.points.extend(alert.since.zip(alert.value));
    }
    Ok((metric.clone(), chart))
}
