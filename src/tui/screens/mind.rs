//! Mind: what is thought as it is thought, what was decided and why, and who answers.
//!
//! Owns how calls and decisions read. What the rules decide is shown as reasons, never as thinking. Must never show a text faster or
//! slower than it came.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use ratatui::layout::{Constraint, Layout, Rect};
use unicode_width::UnicodeWidthStr;

use super::content::{Entry, Lines, Target};
use super::experiments::list_height;
use super::{Pane, Screen};
use crate::approvals::{ApprovalState, Record as Approval};
use crate::bus::Key;
use crate::contracts::money::show_usd;
use crate::contracts::untrusted::{sanitize, sanitize_line};
use crate::services::orchestrator::record::{Record, Stage};
use crate::tui::app::{Mark, Model};
use crate::tui::draw::text::{self, Piece};
use crate::tui::layers::json;
use crate::tui::store::Call;
use crate::tui::theme::Role;

/// The provider that decides by rules, without a model.
const RULES: &str = "rules";
/// Calls that are shown with what was thought.
const CALLS: usize = 8;
/// Decisions that are shown between them on the Deck.
const BETWEEN: usize = 4;
/// Characters of a line.
const WORDS_LIMIT: usize = 400;

/// Where its panes stand.
pub fn panes(model: &Model, area: Rect) -> Vec<(Pane, Rect)> {
    if area.width < 100 || area.height < 24 {
        let [live, list, decision] =
            Layout::vertical([Constraint::Percentage(30), Constraint::Percentage(28), Constraint::Fill(1)]).areas(area);
        return vec![(Pane::Decisions, list), (Pane::Decision, decision), (Pane::Reasoning, live)];
    }
    let [left, right] = Layout::horizontal([Constraint::Percentage(58), Constraint::Fill(1)]).areas(area);
    let height = list_height(model.store.decisions.all().count(), area);
    let [list, decision] = Layout::vertical([Constraint::Length(height), Constraint::Fill(1)]).areas(left);
    let [live, minds] = Layout::vertical([Constraint::Fill(1), Constraint::Length(11)]).areas(right);
    vec![(Pane::Decisions, list), (Pane::Decision, decision), (Pane::Reasoning, live), (Pane::Minds, minds)]
}

/// All panes, also those for which there is no room now.
pub const ALL: [Pane; 4] = [Pane::Decisions, Pane::Decision, Pane::Reasoning, Pane::Minds];

/// The decision that is selected, or the newest.
pub fn selected(model: &Model) -> Option<&Record> {
    let decisions = &model.store.decisions;
    let chosen = match model.lists.get(&Pane::Decisions).and_then(|list| list.selected.as_ref()) {
        Some(Mark::Entry(id)) => decisions.get(id),
        _ => None,
    };
    chosen.or_else(|| decisions.all().next())
}

fn key(id: &str) -> Key {
    Key::new(format!("decisions:{id}"))
}

fn stage(stage: Stage) -> (&'static str, Role) {
    match stage {
        Stage::Open => ("◐", Role::Accent),
        Stage::Proposed => ("○", Role::Warn),
        Stage::Done => ("●", Role::Ok),
        Stage::Denied => ("▼", Role::Danger),
        Stage::Superseded => ("·", Role::Muted),
    }
}

/// The list of decisions, the newest first.
pub fn decisions(model: &Model, width: u16) -> Vec<Entry> {
    let row = |it: &Record| {
        let (sign, role) = stage(it.stage);
        let time = text::date_time(it.at, model);
        let time = if width >= 100 { time.as_str() } else { time.get(11..).unwrap_or_default() };
        let mut pieces = vec![Piece::new(role, format!("{sign} ")), Piece::new(Role::Muted, format!("{time} "))];
        if width >= 90 {
            pieces.push(Piece::new(Role::Name, format!("{} ", text::padded(&sanitize_line(&it.kind, 40), 18))));
        }
        pieces.push(Piece::new(Role::Accent, format!("{} ", text::padded(it.action.as_str(), 20))));
        pieces.push(Piece::new(role, format!("{} ", text::padded(it.stage.as_str(), 10))));
        if width >= 70 {
            let by = if it.model.is_empty() { &it.provider } else { &it.model };
            pieces.push(Piece::new(Role::Source, format!("{} ", text::padded(&sanitize_line(by, 40), 10))));
        }
        if width >= 100 {
            pieces.push(Piece::new(Role::Muted, format!("{:>8} ", cost(it.nano_usd))));
        }
        pieces.push(Piece::new(Role::Text, sanitize_line(&it.reasoning, WORDS_LIMIT)));
        Entry { id: it.id.clone(), pieces, target: Some(Target::Document(key(&it.id))) }
    };
    let unread = model.store.decisions.unread().map(|id| Entry {
        id: id.to_owned(),
        pieces: vec![
            Piece::new(Role::Warn, "? "),
            Piece::new(Role::Muted, format!("{} cannot be read as a decision", sanitize_line(id, 80))),
        ],
        target: Some(Target::Document(key(id))),
    });
    model.store.decisions.all().map(row).chain(unread).collect()
}

fn cost(nano: u64) -> String {
    if nano == 0 { "-".to_owned() } else { show_usd(nano) }
}

/// The selected decision, whole.
pub fn decision(model: &Model, width: u16) -> Vec<Entry> {
    let Some(it) = selected(model) else { return Vec::new() };
    let mut lines = Lines::new(&it.id, width, Some(Target::Document(key(&it.id))));
    let (sign, role) = stage(it.stage);
    lines.line(vec![
        Piece::new(role, format!("{sign} {} ", it.stage)),
        Piece::new(Role::Accent, format!("→ {} ", it.action)),
        Piece::new(Role::Muted, text::date_time(it.at, model)),
    ]);
    let told = it.told();
    let said = |name: &str| told.iter().find(|(it, _)| *it == name).map(|(_, words)| sanitize(words, WORDS_LIMIT));
    for (name, heading, role) in [
        ("why", "Why", Role::Text),
        ("outcome", "What came of it", Role::Text),
        ("thoughts", if it.provider == RULES { "Reasons of the rules" } else { "What was thought" }, Role::Muted),
    ] {
        // The rules have no more reasons than they gave.
        if let Some(words) = said(name).filter(|words| name == "why" || Some(words) != said("why").as_ref()) {
            lines.heading(heading);
            lines.text(role, &words);
        }
    }
    lines.heading("How");
    for name in ["about", "action", "experiment", "by", "cost", "made from", "flags"] {
        if let Some(words) = said(name) {
            lines.field(name, Role::Text, &words);
        }
    }
    for (name, heading) in [("payload", "What it does"), ("message", "What it was about")] {
        let json = told.iter().find(|(it, words)| *it == name && words != "{}").and_then(|(_, it)| json::lines(it));
        if let Some(json) = json {
            lines.heading(heading);
            json.into_iter().take(400).for_each(|line| lines.line(line));
        }
    }
    if let Some(id) = &it.approval_id {
        lines.heading("The approval");
        approval(&mut lines, model, id);
    }
    lines.heading("Names");
    lines.field("decision", Role::Muted, &sanitize_line(&it.id, 120));
    if let Some(trace) = it.trace {
        lines.field("trace", Role::Muted, &trace.to_string());
    }
    lines.entries
}

fn approval(lines: &mut Lines, model: &Model, id: &str) {
    let document = model.store.documents.document(&format!("approvals:{id}"));
    let shown = sanitize_line(id, 80);
    let Some(found) = document.and_then(Approval::read) else {
        return lines.field("approval", Role::Muted, &format!("{shown}: its record is not kept any more"));
    };
    let target = if found.state == ApprovalState::Pending {
        Target::Need(id.to_owned())
    } else {
        Target::Document(Key::new(format!("approvals:{id}")))
    };
    lines.target(target);
    lines.field("approval", Role::Text, &shown);
    let said = |field: &str| document.and_then(|it| it.get(field)).map(|text| sanitize_line(text, 200));
    let by = said("decided_by").or(said("by")).map(|by| format!(" by {by}")).unwrap_or_default();
    lines.field("state", Role::Text, &format!("{}{by}", format!("{:?}", found.state).to_lowercase()));
    if let Some(reason) = said("reason") {
        lines.field("reason", Role::Text, &reason);
    }
    lines.untarget();
}

/// The newest calls with what was thought; on the Deck also the newest decisions with their reasons.
pub fn reasoning(model: &Model, width: u16) -> Vec<Entry> {
    let mut blocks: Vec<(DateTime<Utc>, Vec<Entry>)> = Vec::new();
    for call in model.store.calls.all().rev().take(CALLS) {
        let mut lines = Lines::new(&format!("{}:{}", call.id, call.began.timestamp_millis()), width, None);
        for line in heading(model, call, usize::from(width)) {
            lines.line(line);
        }
        let is_rules = call.provider() == RULES;
        if call.missed > 0 {
            lines.text(Role::Warn, &format!("{} pieces were missed", call.missed));
        }
        let what = if is_rules { "reasons" } else { "thinking" };
        for (what, role, said) in [(what, Role::Muted, &call.reasoning), ("answer", Role::Text, &call.text)] {
            if said.trim().is_empty() {
                continue;
            }
            let from = said.lines().count().saturating_sub(60);
            // Beside an answer it is said which of both is which.
            if !is_rules && !call.reasoning.is_empty() {
                lines.line(vec![Piece::new(Role::Name, format!("{what}:"))]);
            }
            lines.text(role, &said.lines().skip(from).collect::<Vec<_>>().join("\n"));
        }
        blocks.push((call.began, lines.entries));
    }
    if model.screen != Screen::Mind {
        for it in model.store.decisions.all().take(BETWEEN) {
            let mut lines = Lines::new(&it.id, width, Some(Target::Document(key(&it.id))));
            lines.text(Role::Text, &sanitize(&it.reasoning, WORDS_LIMIT));
            lines.line(vec![
                Piece::new(Role::Accent, format!("→ {} ", it.action)),
                Piece::new(Role::Muted, format!("{} {}", sanitize_line(&it.provider, 40), it.stage)),
            ]);
            blocks.push((it.at, lines.entries));
        }
    }
    blocks.sort_by_key(|(at, _)| *at);
    blocks.into_iter().flat_map(|(_, lines)| lines).collect()
}

/// Who answers what, with what; and what it took, in the same line where there is room for it.
fn heading(model: &Model, call: &Call, width: usize) -> Vec<Vec<Piece>> {
    let operation = call.operation.rsplit('.').next().unwrap_or(&call.operation);
    let mut who = vec![
        Piece::new(Role::Source, format!("{} ", call.source)),
        Piece::new(Role::Accent, format!("{operation} ")),
        Piece::new(Role::Muted, format!("{} ", call.model)),
    ];
    let is_paid = call.provider() != RULES;
    let took = match &call.end {
        None => vec![Piece::new(Role::Accent, format!("… {}s", (model.now.wall - call.began).num_seconds().max(0)))],
        Some(end) => {
            let failed = end.error.as_ref().map(|error| Piece::new(Role::Danger, format!("failed: {error} ")));
            let took = end.took_ms.filter(|ms| ms.is_finite()).map(|ms| format!("{ms:.0} ms "));
            let cost = end.nano_usd.filter(|_| is_paid).map(|nano| show_usd(nano) + " ");
            let tokens = end.tokens.as_ref().filter(|_| is_paid).map(|it| {
                let read = it.uncached.saturating_add(it.cache_write).saturating_add(it.cache_read);
                format!("{read} tokens read, {} written", it.output)
            });
            let said = [took, cost, tokens].into_iter().flatten().map(|words| Piece::new(Role::Muted, words));
            failed.into_iter().chain(said).collect()
        }
    };
    let wide = |pieces: &[Piece]| pieces.iter().map(|it| it.words.trim_end().width() + 1).sum::<usize>();
    if wide(&who) + wide(&took) <= width + 1 {
        who.extend(took);
        return vec![who];
    }
    vec![who, took]
}

/// What is known of one who answers.
#[derive(Default)]
struct Answers {
    answered: u32,
    failed: u32,
    /// Failures since the last answer.
    in_a_row: u32,
    took_ms: f64,
    nano_usd: u64,
    error: String,
    is_asked: bool,
}

/// Who answered lately, how well, and who failed.
pub fn minds(model: &Model, width: u16) -> Vec<Entry> {
    let mut all: BTreeMap<&str, Answers> = BTreeMap::new();
    for call in model.store.calls.all().filter(|call| !call.model.is_empty()) {
        let it = all.entry(&call.model).or_default();
        match &call.end {
            None => it.is_asked = true,
            Some(end) => match &end.error {
                Some(error) => {
                    it.failed += 1;
                    it.in_a_row += 1;
                    it.error.clone_from(error);
                }
                None => {
                    it.answered += 1;
                    it.in_a_row = 0;
                    it.took_ms += end.took_ms.filter(|ms| ms.is_finite()).unwrap_or(0.0);
                }
            },
        }
        let paid = call.end.as_ref().and_then(|end| end.nano_usd).unwrap_or(0);
        it.nano_usd = it.nano_usd.saturating_add(paid);
    }
    let mut lines = Lines::new("minds", width, None);
    lines.field("chain", Role::Text, &model.about.providers);
    for (name, it) in all {
        let (sign, role) = match (it.in_a_row, it.is_asked) {
            (1.., _) => ("▲", Role::Warn),
            (0, true) => ("◐", Role::Accent),
            (0, false) => ("●", Role::Ok),
        };
        let mean = if it.answered > 0 {
            format!(", {:.0} ms each", it.took_ms / f64::from(it.answered))
        } else {
            String::new()
        };
        let failed = if it.failed > 0 { format!(", {} failed", it.failed) } else { String::new() };
        let paid = if it.nano_usd > 0 { format!(", {}", show_usd(it.nano_usd)) } else { String::new() };
        lines.line(vec![Piece::new(role, format!("{sign} ")), Piece::new(Role::Source, name)]);
        lines.text(Role::Muted, &format!("  answered {}{mean}{failed}{paid}", it.answered));
        if it.in_a_row > 0 {
            let words = format!("  {} failed in a row: {}", it.in_a_row, it.error);
            lines.text(Role::Warn, &words);
        }
    }
    lines.text(Role::Muted, "Whose breaker is open is said by `fullsend models`.");
    lines.entries
}
