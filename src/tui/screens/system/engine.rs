//! The engine, the services, and who says what to whom.

use super::super::content::Entry;
use super::{entry, fact};
use crate::bus::Level;
use crate::contracts::messages::RunState;
use crate::contracts::topology::{self, Party};
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::{ChannelKind, WIRING};
use crate::tools::registry::shelf::UNSANDBOXED;
use crate::tui::app::Model;
use crate::tui::draw::frame;
use crate::tui::draw::text::{self, Piece};
use crate::tui::store::Presence;
use crate::tui::theme::Role;

/// Characters of what an engine says of itself.
const WORDS_LIMIT: usize = 400;

/// How the engine is, as `fullsend doctor` says it, and how much of what it holds is kept here.
pub fn engine(model: &Model, columns: u16) -> Vec<Entry> {
    let store = &model.store;
    let mut lines = Vec::new();
    let mut say = |name: &str, role, value: &str| {
        lines.extend(fact(name, role, &sanitize_line(value, WORDS_LIMIT), columns));
    };
    match (frame::away(model), &store.engine) {
        (Some(away), crate::tui::store::EngineStatus::Away { reason, .. }) => {
            say("state", Role::Danger, &format!("▼ {away}: {reason}"));
        }
        (_, crate::tui::store::EngineStatus::Opening) => say("state", Role::Muted, "◐ opening"),
        _ => say("state", Role::Ok, "● live"),
    }
    // All the time, as long as it is so.
    let unsandboxed = store.documents.of("tools:").find_map(|(_, state)| state.document()?.get(UNSANDBOXED));
    if let Some(missing) = unsandboxed {
        say("▼ tools", Role::Danger, &format!("run without the whole sandbox (tools.unsandboxed); missing: {missing}"));
    }
    let Some(health) = &store.system.health else {
        say("engine", Role::Text, &model.about.engine);
        say("store", Role::Text, &model.about.location);
        return lines;
    };
    say("engine", Role::Text, &format!("{} ({})", health.engine, health.version));
    say("store", Role::Text, &health.location);
    if let Some(size) = health.size() {
        say("size", Role::Text, &size);
    }
    say("durability", Role::Text, &health.durability);
    let dropped = store.all.dropped() + store.missed;
    let forgotten = if dropped > 0 { format!(", {dropped} dropped") } else { String::new() };
    say("seen here", Role::Text, &format!("{} messages{forgotten}", store.all.len()));
    say("times here", Role::Text, &model.about.zone.words(model.now.wall));
    for finding in &health.findings {
        let (name, role) = match finding.level {
            Level::Note => ("note", Role::Text),
            Level::Warning => ("▲ warning", Role::Warn),
            Level::Error => ("▼ error", Role::Danger),
        };
        say(name, role, &format!("{} -> {}", finding.what, finding.fix));
    }
    lines
}

/// All instances of the services that were heard, with what they do, and those of the team that were not.
pub fn services(model: &Model, names: &[&str]) -> Vec<Entry> {
    let mut lines = Vec::new();
    for name in names {
        let instances: Vec<&Presence> = model.store.services.all().filter(|it| it.service == *name).collect();
        if instances.is_empty() {
            let is_built = name.parse().is_ok_and(crate::contracts::ServiceName::is_built);
            let words = match is_built {
                true if model.now.open < crate::supervisor::HEARTBEAT * 2 => "listening",
                true => "not heard",
                false => "not in this version",
            };
            let pieces = vec![Piece::new(Role::Muted, format!("○ {}{words}", text::padded(name, 13)))];
            lines.push(entry(*name, pieces));
        }
        lines.extend(instances.into_iter().map(|it| instance(model, it)));
    }
    lines
}

fn instance(model: &Model, it: &Presence) -> Entry {
    let (sign, role, word) = if it.is_silent(model.now.wall) {
        ("▲", Role::Warn, "silent")
    } else {
        match it.state {
            RunState::Running if it.reason.is_some() => ("▲", Role::Warn, "in trouble"),
            RunState::Running => ("●", Role::Ok, "running"),
            RunState::Starting => ("◐", Role::Muted, "starting"),
            RunState::Draining => ("◐", Role::Muted, "draining"),
            RunState::Restarting => ("▼", Role::Danger, "restarting"),
            RunState::Stopped => ("○", Role::Muted, "stopped"),
        }
    };
    let ago = text::ago(it.heard, model.now.wall);
    let mut pieces = vec![
        Piece::new(role, format!("{sign} ")),
        Piece::new(Role::Text, text::padded(&it.service, 13)),
        Piece::new(role, text::padded(word, 9)),
        Piece::new(Role::Muted, format!("{ago:>4} ago  ")),
        Piece::new(if it.restarts > 0 { Role::Warn } else { Role::Muted }, format!("{} restarts  ", it.restarts)),
        Piece::new(Role::Muted, format!("{} handled  ", it.handled)),
    ];
    if it.failed > 0 {
        pieces.push(Piece::new(Role::Warn, format!("{} failed  ", it.failed)));
    }
    if it.holding > 0 {
        pieces.push(Piece::new(Role::Accent, format!("{} held  ", it.holding)));
    }
    if let Some(reason) = &it.reason {
        pieces.push(Piece::new(Role::Warn, format!("{reason}  ")));
    }
    pieces.push(Piece::new(Role::Muted, it.instance.clone()));
    entry(format!("{} {}", it.service, it.instance), pieces)
}

/// The wiring table: who says what to whom. What is not in this version has a `*`.
pub fn wiring(columns: u16) -> Vec<Entry> {
    const NAME: usize = 19;
    let names = |parties: &[Party]| {
        let name = |party: &Party| format!("{}{}", party.service, if party.built { "" } else { "*" });
        parties.iter().map(name).collect::<Vec<_>>().join(", ")
    };
    let mut lines = Vec::new();
    for row in topology::rows(&WIRING, topology::VIEWERS) {
        let readers = match (row.kind, row.groups.is_empty()) {
            (ChannelKind::Notice, true) => "whoever listens".to_owned(),
            (_, true) => "viewers".to_owned(),
            _ => names(&row.groups),
        };
        let words = format!("{} → {readers}", names(&row.publishers));
        let room = columns.saturating_sub(u16::try_from(NAME).unwrap_or(0)).max(20);
        for (at, part) in text::wrapped(&words, room).into_iter().enumerate() {
            let head = if at == 0 { row.channel.short() } else { "" };
            let pieces = vec![Piece::new(Role::Channel, text::padded(head, NAME)), Piece::new(Role::Text, part)];
            lines.push(entry(format!("{}:{at}", row.channel), pieces));
        }
    }
    lines.push(entry("*", vec![Piece::new(Role::Muted, "* not in this version: says nothing yet, hears nothing yet")]));
    lines
}
