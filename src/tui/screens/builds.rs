//! Builds: tools that are asked for, built or failed, and the registry of those that are there.
//!
//! Owns where its panes stand and what they say. Must never take what was asked for as done.

use ratatui::layout::{Constraint, Layout, Rect};

use super::Pane;
use super::content::{Entry, Target};
use crate::bus::{Key, State};
use crate::contracts::ServiceName;
use crate::contracts::untrusted::sanitize_line;
use crate::tools::registry::shelf::UNSANDBOXED;
use crate::tui::app::Model;
use crate::tui::draw::text::{self, Piece};
use crate::tui::store::builds::Build;
use crate::tui::theme::Role;

/// Its panes, in the order of the focus.
pub const ALL: &[Pane] = &[Pane::Builds, Pane::Tools];

/// Where they stand.
pub fn panes(area: Rect) -> Vec<(Pane, Rect)> {
    let halves: [Rect; 2] = if area.width >= 140 {
        Layout::horizontal([Constraint::Fill(1); 2]).areas(area)
    } else {
        Layout::vertical([Constraint::Fill(1); 2]).areas(area)
    };
    ALL.iter().copied().zip(halves).collect()
}

/// The note that a service is not there yet; empty where it is.
pub(super) fn absent(service: ServiceName, what: &str, columns: u16) -> Vec<Entry> {
    if service.is_built() {
        return Vec::new();
    }
    let words = format!("The service `{service}` is not in this version. {what}");
    let line = |(at, line): (usize, String)| Entry {
        id: format!("absent:{at}"),
        pieces: vec![Piece::new(Role::Warn, line)],
        target: None,
    };
    text::wrapped(&words, columns).into_iter().enumerate().map(line).collect()
}

/// What is asked for, with its stages: a line for each, and one that says what it is for, or why it failed.
pub fn builds(model: &Model, columns: u16) -> Vec<Entry> {
    let what = "What is asked for waits here, and is the builder's when it comes.";
    let mut lines = absent(ServiceName::Builder, what, columns);
    let mut told: Vec<&str> = Vec::new();
    for build in model.store.builds.all() {
        told.push(&build.id);
        lines.extend(build_lines(model, build));
    }
    for (key, state) in model.store.documents.of("tool_requests:") {
        let id = key.as_str().trim_start_matches("tool_requests:");
        if !told.contains(&id) {
            lines.push(request(key, id, state));
        }
    }
    lines
}

/// What the document of a request says of its state.
fn state(model: &Model, id: &str) -> Option<String> {
    let document = model.store.documents.document(&format!("tool_requests:{id}"))?;
    let said = ["stage", "state", "status"].into_iter().find_map(|field| document.get(field))?;
    Some(sanitize_line(said, 30))
}

fn build_lines(model: &Model, build: &Build) -> Vec<Entry> {
    let target = build.entry.map(|(channel, id)| Target::Entry(channel, id));
    let (sign, role) = match (&build.failed, build.ended, build.begun) {
        (Some(_), ..) => ("▼", Role::Danger),
        (None, Some(_), _) => ("●", Role::Ok),
        (None, None, Some(_)) => ("◐", Role::Accent),
        (None, None, None) => ("○", Role::Muted),
    };
    let mut pieces = vec![
        Piece::new(role, format!("{sign} ")),
        Piece::new(Role::Name, format!("{}  ", text::padded(&build.tool, 22))),
    ];
    let mut stages = Vec::new();
    let time = |at| text::when(at, model);
    if let Some(at) = build.asked {
        stages.push(Piece::new(Role::Text, format!("asked {}", time(at))));
    }
    if let Some(at) = build.begun {
        stages.push(Piece::new(Role::Accent, format!("begun {}", time(at))));
    }
    match (build.ended, &build.failed) {
        (Some(at), None) => stages.push(Piece::new(Role::Ok, format!("built {}", time(at)))),
        (Some(at), Some(_)) => stages.push(Piece::new(Role::Danger, format!("failed {}", time(at)))),
        (None, _) => match state(model, &build.id) {
            Some(state) => stages.push(Piece::new(Role::Accent, state)),
            None if build.begun.is_none() => stages.push(Piece::new(Role::Muted, "waits")),
            None => stages.push(Piece::new(Role::Muted, "under way")),
        },
    }
    for (at, stage) in stages.into_iter().enumerate() {
        if at > 0 {
            pieces.push(Piece::new(Role::Muted, " → "));
        }
        pieces.push(stage);
    }
    let mut lines = vec![Entry { id: build.id.clone(), pieces, target: target.clone() }];
    let mut about = Vec::new();
    if let Some(why) = &build.failed {
        about.push(Piece::new(Role::Danger, format!("  {why}")));
    } else if !build.purpose.is_empty() {
        about.push(Piece::new(Role::Text, format!("  {}", build.purpose)));
    }
    if !build.by.is_empty() {
        about.push(Piece::new(Role::Muted, format!("  asked by {}", build.by)));
    }
    if let Some(experiment) = &build.waits {
        about.push(Piece::new(Role::Warn, format!("  {experiment} waits for it")));
    }
    if !about.is_empty() {
        lines.push(Entry { id: format!("{} about", build.id), pieces: about, target });
    }
    lines
}

/// A request that has a document, and no message here.
fn request(key: &Key, id: &str, state: &State) -> Entry {
    let document = state.document();
    let said = |fields: &[&str]| {
        let found = fields.iter().find_map(|field| document.and_then(|it| it.get(field)));
        found.map(|text| sanitize_line(text, 100)).unwrap_or_default()
    };
    let by = said(&["requested_by"]);
    let by = if by.is_empty() { by } else { format!(" by {by}") };
    let pieces = vec![
        Piece::new(Role::Muted, "○ "),
        Piece::new(Role::Name, format!("{}  ", text::padded(&sanitize_line(id, 40), 22))),
        Piece::new(Role::Text, format!("asked{by}")),
        Piece::new(Role::Muted, " → "),
        Piece::new(Role::Accent, said(&["stage", "state", "status"])),
    ];
    Entry { id: key.as_str().to_owned(), pieces, target: Some(Target::Document(key.clone())) }
}

/// The tools that are there: name, version, state, what for, and who waits for it.
pub fn tools(model: &Model) -> Vec<Entry> {
    model.store.documents.of("tools:").map(|(key, state)| tool(model, key, state)).collect()
}

fn tool(model: &Model, key: &Key, state: &State) -> Entry {
    let name = key.as_str().trim_start_matches("tools:");
    let document = state.document();
    let said = |fields: &[&str], limit| {
        let found = fields.iter().find_map(|field| document.and_then(|it| it.get(field)));
        found.map(|text| sanitize_line(text, limit)).unwrap_or_default()
    };
    // The field is `status`; readers of old looked for `state`.
    let state = said(&["status", "state"], 20);
    let (sign, role) = match state.as_str() {
        "active" | "ready" => ("●", Role::Ok),
        "broken" | "failed" | "error" => ("▼", Role::Danger),
        "" => ("?", Role::Warn),
        _ => ("○", Role::Muted),
    };
    let version = said(&["tool_version", "version"], 20);
    let version = if version.is_empty() { "-".to_owned() } else { format!("v{version}") };
    let mut pieces = vec![
        Piece::new(role, format!("{sign} ")),
        Piece::new(Role::Name, format!("{} ", text::padded(&sanitize_line(name, 40), 22))),
        Piece::new(Role::Text, format!("{} ", text::padded(&version, 6))),
        Piece::new(role, format!("{} ", text::padded(if state.is_empty() { "no state" } else { &state }, 9))),
        Piece::new(Role::Text, said(&["description", "purpose"], 200)),
    ];
    if !said(&[UNSANDBOXED], 20).is_empty() {
        pieces.push(Piece::new(Role::Danger, "  NOT SHUT IN"));
    }
    let waiting = match model.store.documents.get(&format!("pending_experiments:{name}")) {
        Some(State::Set(waiting)) if !waiting.is_empty() => {
            let names: Vec<String> = waiting.iter().take(5).map(|id| sanitize_line(id, 40)).collect();
            let more = if waiting.len() > 5 { format!(" and {} more", waiting.len() - 5) } else { String::new() };
            format!("  {}{more} wait for it", names.join(", "))
        }
        _ => String::new(),
    };
    if !waiting.is_empty() {
        pieces.push(Piece::new(Role::Warn, waiting));
    }
    Entry { id: key.as_str().to_owned(), pieces, target: Some(Target::Document(key.clone())) }
}
