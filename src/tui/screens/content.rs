//! What is in a pane: a ring of messages, or entries.
//!
//! Owns how documents become entries. An entry has an id that stays, so that what is selected stays selected. Everything in an entry is
//! harmless text.

use std::sync::Arc;

use crate::bus::{Key, State};
use crate::contracts::ServiceName;
use crate::contracts::envelope::read_time;
use crate::contracts::lifecycle::ExperimentState;
use crate::contracts::messages::RunState;
use crate::contracts::untrusted::{sanitize, sanitize_line};
use crate::tui::app::Model;
use crate::tui::draw::text::{self, Piece};
use crate::tui::store::{Ring, Row};
use crate::tui::theme::Role;

use super::generic::listed;
use super::{Pane, Screen};

/// Lines of a text that a pane holds at most: the newest, or the first.
const LINES_LIMIT: usize = 2_000;
const WORDS_LIMIT: usize = 300;

/// What is in a pane.
#[derive(Debug)]
pub enum Content<'a> {
    /// Messages.
    Messages(&'a Ring),
    /// Something else, in lines.
    Entries {
        /// The lines.
        entries: Vec<Entry>,
        /// Whether the last one matters most, so that the pane follows it.
        at_end: bool,
        /// What is said where there are none.
        empty: &'static str,
    },
}

/// A line that is no message.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Names it within its pane.
    pub id: String,
    /// What is shown.
    pub pieces: Vec<Piece>,
    /// What it stands for.
    pub target: Option<Target>,
}

/// What a line stands for.
#[derive(Debug, Clone)]
pub enum Target {
    /// A message.
    Message(Arc<Row>),
    /// A document.
    Document(Key),
    /// An approval that waits.
    Need(String),
}

impl Target {
    /// The experiment that it is, or is about.
    pub fn experiment(&self) -> Option<&str> {
        match self {
            Self::Document(key) => key.as_str().strip_prefix("experiments:"),
            Self::Message(row) => {
                row.envelope.as_ref()?.subject.as_deref().filter(|subject| subject.starts_with("exp"))
            }
            Self::Need(_) => None,
        }
    }
}

/// What is in a pane that is so many columns wide inside.
pub fn content(model: &Model, pane: Pane, width: u16) -> Content<'_> {
    let store = &model.store;
    let entries = |entries, empty| Content::Entries { entries, at_end: false, empty };
    match pane {
        Pane::Traffic => Content::Messages(&store.all),
        Pane::Channel(channel) => {
            store.channel(channel).map_or_else(|| entries(Vec::new(), ""), |it| Content::Messages(&it.ring))
        }
        Pane::Messages(screen) => match listed(screen).channel.and_then(|channel| store.channel(channel)) {
            Some(channel) => Content::Messages(&channel.ring),
            None => entries(Vec::new(), ""),
        },
        Pane::Services => entries(services(model), "nobody was heard yet"),
        Pane::Needs => entries(needs(model), "nothing waits for you"),
        Pane::Alerts => entries(alerts(model), "no alerts"),
        Pane::Experiments => entries(experiments(model), "no experiments yet"),
        Pane::Worklist => entries(note(store.documents.note("worklist")), "the worklist is empty"),
        Pane::Learnings => entries(note(store.documents.note("learnings")), "nothing learned yet"),
        Pane::Reasoning => Content::Entries {
            entries: reasoning(model, width),
            at_end: true,
            empty: "nothing was thought or decided yet",
        },
        Pane::Chain => entries(super::trace::steps(model, width), listed(Screen::Trace).filled_by),
        Pane::Step => entries(super::trace::step(model, width), ""),
        Pane::Documents(screen) => entries(documents(model, screen), listed(screen).filled_by),
    }
}

/// The services that make up the team, and those beside them that were heard.
fn services(model: &Model) -> Vec<Entry> {
    const TEAM: [ServiceName; 9] = [
        ServiceName::Discord,
        ServiceName::Watcher,
        ServiceName::Orchestrator,
        ServiceName::Gate,
        ServiceName::Fullsend,
        ServiceName::Builder,
        ServiceName::Executor,
        ServiceName::RedisAgent,
        ServiceName::Roundtable,
    ];
    let services = &model.store.services;
    let heard = services.all().map(|it| it.service.as_str());
    let mut names: Vec<&str> = TEAM.iter().map(|name| name.as_str()).collect();
    for name in heard {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.into_iter().map(|name| service(model, name)).collect()
}

fn service(model: &Model, name: &str) -> Entry {
    let (sign, role, word) = match model.store.services.of(name) {
        None if name.parse::<ServiceName>().is_ok_and(|it| !it.is_built()) => {
            ("○", Role::Muted, "not built".to_owned())
        }
        None => ("○", Role::Muted, "not heard".to_owned()),
        Some(it) if it.is_silent(model.now.wall) => ("▲", Role::Warn, "silent".to_owned()),
        Some(it) => match it.state {
            RunState::Stopped => ("○", Role::Muted, "stopped".to_owned()),
            RunState::Restarting => ("▲", Role::Danger, format!("restart {}", it.restarts)),
            RunState::Draining => ("◐", Role::Muted, "draining".to_owned()),
            RunState::Starting => ("◐", Role::Muted, "starting".to_owned()),
            RunState::Running if it.reason.is_some() => ("▲", Role::Warn, "in trouble".to_owned()),
            RunState::Running if model.store.calls.open_of(name).is_some() => ("◐", Role::Accent, "think".to_owned()),
            RunState::Running if it.holding > 0 => ("◐", Role::Accent, format!("{} held", it.holding)),
            RunState::Running => ("●", Role::Ok, format!("{}", it.handled)),
        },
    };
    let pieces = vec![
        Piece::new(role, format!("{sign} ")),
        Piece::new(Role::Text, text::padded(name, 13)),
        Piece::new(if role == Role::Ok { Role::Muted } else { role }, word),
    ];
    Entry { id: name.to_owned(), pieces, target: None }
}

fn needs(model: &Model) -> Vec<Entry> {
    let needs = model.store.documents.needs();
    let entry = |need: &crate::tui::store::Need| {
        let proposal = &need.record.proposal;
        let class = u8::from(proposal.class);
        let left = need.record.expires_at.map(|at| text::left(at, model.now.wall)).unwrap_or_default();
        let role = if class >= 3 { Role::Danger } else { Role::Warn };
        Entry {
            id: need.id().to_owned(),
            pieces: vec![
                Piece::new(role, format!("{class} ")),
                Piece::new(Role::Muted, format!("{left:>5} ")),
                Piece::new(Role::Text, sanitize_line(&proposal.title, WORDS_LIMIT)),
            ],
            target: Some(Target::Need(need.id().to_owned())),
        }
    };
    needs.iter().map(entry).collect()
}

fn alerts(model: &Model) -> Vec<Entry> {
    let alerts = model.store.documents.alerts();
    let entry = |alert: crate::tui::store::documents::Alert| {
        let is_new = alert.state == "triggered";
        let role = match alert.severity.as_str() {
            "critical" | "high" => Role::Danger,
            "warning" | "medium" | "warn" => Role::Warn,
            _ => Role::Text,
        };
        let role = if is_new { role } else { Role::Muted };
        Entry {
            pieces: vec![
                Piece::new(role, format!("{} {} ", if is_new { "▲" } else { "△" }, alert.severity)),
                Piece::new(Role::Text, alert.message),
            ],
            target: Some(Target::Document(Key::new(format!("alerts:{}", alert.id)))),
            id: alert.id,
        }
    };
    alerts.into_iter().map(entry).collect()
}

fn experiments(model: &Model) -> Vec<Entry> {
    let entry = |it: crate::tui::store::documents::Experiment| {
        let (sign, role) = match it.state {
            Some(ExperimentState::Running | ExperimentState::Measuring) => ("●", Role::Ok),
            Some(ExperimentState::Ready) => ("◐", Role::Text),
            Some(ExperimentState::Draft) => ("○", Role::Text),
            Some(ExperimentState::Paused) => ("◌", Role::Warn),
            Some(ExperimentState::Failed) | None => ("▼", Role::Danger),
            Some(ExperimentState::Completed | ExperimentState::Archived) => ("·", Role::Muted),
        };
        let state = it.state.map_or("?", ExperimentState::as_str);
        Entry {
            pieces: vec![
                Piece::new(role, format!("{sign} ")),
                Piece::new(Role::Text, format!("{} ", sanitize_line(&it.id, 60))),
                Piece::new(Role::Muted, format!("{state} {}", it.title)),
            ],
            target: Some(Target::Document(Key::new(format!("experiments:{}", it.id)))),
            id: it.id,
        }
    };
    model.store.documents.experiments().into_iter().map(entry).collect()
}

/// A note's lines. Its title is the pane's.
fn note(raw: &str) -> Vec<Entry> {
    let clean = sanitize(raw, WORDS_LIMIT);
    let lines = clean.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("# "));
    let entry = |(at, line): (usize, &str)| {
        let (role, line) = match line.trim_start_matches('#') {
            heading if heading.len() < line.len() => (Role::Title, heading.trim_start()),
            _ => (Role::Text, line),
        };
        Entry { id: at.to_string(), pieces: vec![Piece::new(role, line.replace("**", ""))], target: None }
    };
    lines.take(LINES_LIMIT).enumerate().map(entry).collect()
}

/// The newest calls with what was thought, and the newest decisions with their reasons.
fn reasoning(model: &Model, width: u16) -> Vec<Entry> {
    let mut blocks: Vec<(chrono::DateTime<chrono::Utc>, Vec<Vec<Piece>>)> = Vec::new();
    for call in model.store.calls.all().rev().take(8) {
        let mut lines = vec![vec![
            Piece::new(Role::Source, format!("{} ", call.source)),
            Piece::new(Role::Muted, format!("{} {} ", call.operation, call.model)),
            call_end(call),
        ]];
        for (role, said) in [(Role::Muted, &call.reasoning), (Role::Text, &call.text)] {
            let newest = said.lines().rev().take(60).collect::<Vec<_>>();
            let wrapped = newest.into_iter().rev().flat_map(|line| text::wrapped(line, width));
            lines.extend(wrapped.map(|line| vec![Piece::new(role, line)]));
        }
        blocks.push((call.began, lines));
    }
    let mut decisions: Vec<_> = model
        .store
        .documents
        .of("decisions:")
        .filter_map(|(key, state)| {
            let document = state.document()?;
            Some((document.get("at").and_then(read_time)?, key, document))
        })
        .collect();
    decisions.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
    for (at, _, document) in decisions.into_iter().take(4) {
        let said = |field| document.get(field).map(|it| sanitize(it, WORDS_LIMIT)).unwrap_or_default();
        let mut lines = Vec::new();
        for line in said("reasoning").lines().take(40) {
            lines.extend(text::wrapped(line, width).into_iter().map(|line| vec![Piece::new(Role::Text, line)]));
        }
        lines.push(vec![
            Piece::new(Role::Accent, format!("→ {} ", said("action"))),
            Piece::new(Role::Muted, format!("{} {}", said("provider"), said("stage"))),
        ]);
        blocks.push((at, lines));
    }
    blocks.sort_by_key(|(at, _)| *at);
    let lines = blocks.into_iter().flat_map(|(_, lines)| lines);
    lines.enumerate().map(|(at, pieces)| Entry { id: at.to_string(), pieces, target: None }).collect()
}

fn call_end(call: &crate::tui::store::Call) -> Piece {
    match &call.end {
        None => Piece::new(Role::Accent, "…".to_owned()),
        Some(end) => match (&end.error, end.took_ms) {
            (Some(error), _) => Piece::new(Role::Danger, format!("failed: {error}")),
            (None, Some(ms)) => Piece::new(Role::Muted, format!("{ms:.0} ms")),
            (None, None) => Piece::new(Role::Muted, "done".to_owned()),
        },
    }
}

fn documents(model: &Model, screen: Screen) -> Vec<Entry> {
    if screen == Screen::Experiments {
        return experiments(model);
    }
    let all = listed(screen).prefixes.iter().flat_map(|prefix| model.store.documents.of(prefix));
    let entry = |(key, state): (&Key, &State)| Entry {
        id: key.as_str().to_owned(),
        pieces: vec![
            Piece::new(Role::Name, format!("{}  ", sanitize_line(key.as_str(), 60))),
            Piece::new(Role::Text, told(state)),
        ],
        target: Some(Target::Document(key.clone())),
    };
    all.map(entry).collect()
}

/// What a document says, in a line.
fn told(state: &State) -> String {
    match state {
        State::String(text) => sanitize_line(text, WORDS_LIMIT),
        State::Hash(document) => {
            let fields =
                document.fields.iter().take(12).map(|(name, value)| format!("{name}={}", sanitize_line(value, 60)));
            sanitize_line(&fields.collect::<Vec<_>>().join("  "), WORDS_LIMIT)
        }
        State::List(all) => format!("{} items", all.len()),
        State::Set(all) => format!("{} members", all.len()),
        State::Sorted(all) => format!("{} members", all.len()),
    }
}
