//! Roundtable: the debate as it goes, and what came of it.
//!
//! Owns where its panes stand and what they say. The topic that is selected is the one that the other panes are about. Must never show a
//! debate that nobody holds.

use ratatui::layout::{Constraint, Layout, Rect};

use super::Pane;
use super::builds::absent;
use super::content::{Entry, Target};
use crate::contracts::ServiceName;
use crate::tui::app::{Mark, Model};
use crate::tui::draw::markdown;
use crate::tui::draw::text::{self, Piece};
use crate::tui::store::Call;
use crate::tui::store::debates::Debate;
use crate::tui::theme::Role;

/// Its panes, in the order of the focus.
pub const ALL: &[Pane] = &[Pane::Topics, Pane::Debate, Pane::Conclusion];

/// Where they stand.
pub fn panes(area: Rect) -> Vec<(Pane, Rect)> {
    if area.width >= 110 {
        let [left, right] = Layout::horizontal([Constraint::Fill(2), Constraint::Fill(3)]).areas(area);
        let [topics, conclusion] = Layout::vertical([Constraint::Fill(1); 2]).areas(left);
        return vec![(Pane::Topics, topics), (Pane::Debate, right), (Pane::Conclusion, conclusion)];
    }
    let [topics, debate, conclusion] =
        Layout::vertical([Constraint::Fill(2), Constraint::Fill(3), Constraint::Fill(2)]).areas(area);
    vec![(Pane::Topics, topics), (Pane::Debate, debate), (Pane::Conclusion, conclusion)]
}

/// The debate that is selected, or the newest.
fn selected(model: &Model) -> Option<&Debate> {
    let chosen = match model.lists.get(&Pane::Topics).and_then(|list| list.selected.as_ref()) {
        Some(Mark::Entry(id)) => model.store.debates.all().find(|debate| debate.id == *id),
        _ => None,
    };
    chosen.or_else(|| model.store.debates.all().next())
}

/// What the round table says in this debate, oldest first.
fn calls<'a>(model: &'a Model, debate: &'a Debate) -> impl Iterator<Item = &'a Call> {
    let of_table =
        |call: &&Call| call.source == ServiceName::Roundtable.as_str() || call.operation.starts_with("llm.roundtable");
    model.store.calls.all().filter(of_table).filter(|call| debate.trace.is_some() && call.trace == debate.trace)
}

/// The topics, the newest first.
pub fn topics(model: &Model, columns: u16) -> Vec<Entry> {
    let what = "Topics wait here, and are the round table's when it comes.";
    let mut lines: Vec<Entry> = model.store.debates.all().map(|debate| topic(model, debate)).collect();
    lines.extend(absent(ServiceName::Roundtable, what, columns));
    lines
}

fn topic(model: &Model, debate: &Debate) -> Entry {
    let (sign, role, word) = match &debate.end {
        Some(end) if end.error.is_some() => ("▼", Role::Danger, "came to nothing"),
        Some(_) => ("●", Role::Ok, "concluded"),
        None if calls(model, debate).next().is_some() => ("◐", Role::Accent, "goes on"),
        None => ("○", Role::Muted, "waits"),
    };
    let at = debate.at.map(|at| text::when(at, model)).unwrap_or_default();
    let pieces = vec![
        Piece::new(role, format!("{sign} ")),
        Piece::new(Role::Muted, format!("{at} ")),
        Piece::new(role, format!("{word}  ")),
        Piece::new(Role::Text, debate.prompt.clone()),
    ];
    let target = debate.entry.map(|(channel, id)| Target::Entry(channel, id));
    Entry { id: debate.id.clone(), pieces, target }
}

/// What is said in the debate: as it goes, or the transcript of one that is over.
pub fn debate(model: &Model, columns: u16) -> Vec<Entry> {
    let Some(debate) = selected(model) else { return Vec::new() };
    let mut lines: Vec<Vec<Piece>> = Vec::new();
    let mut say = |role, words: &str| {
        lines.extend(text::wrapped(words, columns).into_iter().map(|line| vec![Piece::new(role, line)]));
    };
    say(Role::Title, &debate.prompt);
    if !debate.by.is_empty() {
        say(Role::Muted, &format!("asked by {}", debate.by));
    }
    if !debate.context.is_empty() {
        say(Role::Text, &debate.context);
    }
    for learning in &debate.learnings {
        say(Role::Muted, &format!("known: {learning}"));
    }
    lines.push(Vec::new());
    match &debate.end {
        Some(end) if !end.transcript.is_empty() => lines.extend(markdown::lines(&end.transcript, columns)),
        _ => {
            let before = lines.len();
            for call in calls(model, debate) {
                lines.push(vec![
                    Piece::new(Role::Source, format!("{} ", call.operation)),
                    Piece::new(Role::Muted, format!("{} {}", text::time(call.began, model), call.model)),
                ]);
                lines.extend(markdown::lines(&call.text, columns));
            }
            if lines.len() == before {
                lines.push(vec![Piece::new(Role::Muted, "Nothing was said yet.")]);
            }
        }
    }
    numbered(lines)
}

/// What came of it: tasks with their owners, or why it came to nothing.
pub fn conclusion(model: &Model, columns: u16) -> Vec<Entry> {
    let Some(debate) = selected(model) else { return Vec::new() };
    let Some(end) = &debate.end else { return Vec::new() };
    let mut lines: Vec<Vec<Piece>> = Vec::new();
    let at = end.at.map(|at| text::date_time(at, model)).unwrap_or_default();
    let rounds = end.rounds.map(|rounds| format!(", {rounds} rounds")).unwrap_or_default();
    lines.push(vec![Piece::new(Role::Muted, format!("concluded {at}{rounds}"))]);
    if let Some(why) = &end.error {
        lines.extend(text::wrapped(why, columns).into_iter().map(|line| vec![Piece::new(Role::Danger, line)]));
    }
    for (at, task) in end.tasks.iter().enumerate() {
        for (row, line) in text::wrapped(task, columns.saturating_sub(4)).into_iter().enumerate() {
            let head = if row == 0 { format!("{:>2}. ", at + 1) } else { "    ".to_owned() };
            lines.push(vec![Piece::new(Role::Muted, head), Piece::new(Role::Text, line)]);
        }
    }
    numbered(lines)
}

fn numbered(lines: Vec<Vec<Piece>>) -> Vec<Entry> {
    let entry = |(at, pieces): (usize, Vec<Piece>)| Entry { id: at.to_string(), pieces, target: None };
    lines.into_iter().enumerate().map(entry).collect()
}
